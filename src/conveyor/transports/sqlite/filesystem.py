"""On which file systems a queue may lie: those whose files all processes of this machine, and no others, share."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from ...errors import NotSupported

__all__ = ["check_local", "file_system_of"]

# Several machines may have these open, and neither locks nor memory maps reach from one to the other.
_NETWORK = frozenset(
    (
        *(
            "9p",
            "afs",
            "beegfs",
            "ceph",
            "cifs",
            "coda",
            "gfs",
            "gfs2",
            "glusterfs",
            "gpfs",
            "lustre",
            "ncpfs",
        ),
        *(
            "nfs",
            "nfs4",
            "ocfs2",
            "orangefs",
            "pvfs2",
            "smb2",
            "smb3",
            "smbfs",
            "vboxsf",
            "virtiofs",
            "vmhgfs",
        ),
    )
)
# Of those in user space, those that stand on a local file system.
_LOCAL_FUSE = frozenset(
    (
        *(
            "fuseblk",
            "fuse.bindfs",
            "fuse.cryfs",
            "fuse.encfs",
            "fuse.exfat",
            "fuse.fuse-overlayfs",
            "fuse.gocryptfs",
        ),
        *("fuse.mergerfs", "fuse.ntfs", "fuse.ntfs-3g", "fuse.overlayfs", "fuse.unionfs", "fuse.zfs"),
    )
)


def file_system_of(folder: Path, mounts: str | None = None) -> str:
    """The type of the file system that a folder lies on, as mount(8) calls it; "": it is not told.

    Args:
        folder: absolute, without symbolic links.
        mounts: what /proc/self/mountinfo says.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text()
        except OSError:
            return ""
    best, found = -1, ""
    for line in mounts.splitlines():
        before, dash, after = line.partition(" - ")
        fields = before.split()
        if not dash or len(fields) < 5:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
        # The last of several that are mounted at one place lies on top.
        if (point == "/" or folder == Path(point) or Path(point) in folder.parents) and len(point) >= best:
            best, found = len(point), after.split()[0]
    return found


def check_local(folder: Path, shown: str) -> None:
    """See to it that a queue may lie in this folder.

    Raises:
        NotSupported: the folder is on a network file system.
        FileNotFoundError: there is no such folder.
    """
    try:
        real = folder.resolve(strict=True)
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, f"{shown}: there is no folder {os.fspath(folder)!r}") from None
    kind = file_system_of(real)
    if kind in _NETWORK or (kind.startswith("fuse") and kind not in _LOCAL_FUSE):
        raise NotSupported(
            f"{shown}: {os.fspath(real)!r} is on a file system of type {kind}, which machines may share. SQLite's "
            "write-ahead log and the locks of this queue work in memory that processes map, and machines share none: "
            "two of them would give the same item twice, or damage the file. Use a folder on a local disk, or a "
            "broker; or say filesystem=local behind '?' if no other machine uses it"
        )
