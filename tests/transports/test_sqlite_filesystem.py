"""sqlite:// is for file systems that no other machine shares."""

from __future__ import annotations

from pathlib import Path

import pytest

import conveyor
from conveyor import NotSupported
from conveyor.transports.sqlite import filesystem


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.db?queue=jobs"


class TestFileSystems:
    MOUNTS = (
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "30 22 0:40 / /home rw,relatime shared:1 - nfs4 server:/home rw\n"
        "31 30 8:2 / /home/local rw - xfs /dev/sdb rw\n"
        r"32 22 0:41 / /mnt/with\040space rw - fuse.sshfs host: rw" + "\n"
        "33 22 0:42 / /mnt/box rw - fuse.fuse-overlayfs overlay rw\n"
        "34 22 0:43 / /home rw - cifs //server/share rw\n"
    )

    @pytest.mark.parametrize(
        ("folder", "kind"),
        [
            ("/", "ext4"),
            ("/var/lib", "ext4"),
            ("/home", "cifs"),
            ("/home/me/x", "cifs"),
            ("/homer", "ext4"),
            ("/home/local/x", "xfs"),
            ("/mnt/with space/x", "fuse.sshfs"),
            ("/mnt/box", "fuse.fuse-overlayfs"),
        ],
    )
    def test_is_found(self, folder: str, kind: str) -> None:
        assert filesystem.file_system_of(Path(folder), self.MOUNTS) == kind

    @pytest.mark.parametrize(
        "kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "fuse.sshfs", "fuse.unheard-of"]
    )
    def test_of_a_network_is_refused(self, url: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(filesystem, "file_system_of", lambda folder: kind)
        with pytest.raises(NotSupported, match=kind) as error:
            conveyor.connect(url)
        for part in ("machines", "memory", "broker", "filesystem=local"):
            assert part in str(error.value)
        queue = conveyor.connect(url + "&filesystem=local")
        queue.close()

    def test_this_one_is_not(self, url: str, tmp_path: Path) -> None:
        conveyor.connect(url).close()
        assert filesystem.file_system_of(tmp_path.resolve()) not in ("", "nfs")
