"""Certificates of the run's own: an authority, a server's key, and an authority that nobody trusts."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from .keeper import keeper

__all__ = ["Certificates", "certificates"]


class Certificates:
    """PEM files in `folder`.

    Attributes:
        ca: the authority that signed the servers' certificate.
        other_ca: another one: with it alone a client must refuse the servers.
        chain, key: the servers' certificate (for 127.0.0.1 and localhost) and its key, unencrypted PKCS #8.
    """

    def __init__(self, folder: Path) -> None:
        import trustme
        from cryptography.hazmat.primitives import serialization

        folder.mkdir()
        self.ca, self.other_ca = folder / "ca.pem", folder / "other-ca.pem"
        self.chain, self.key = folder / "server.pem", folder / "server.key"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca)
        trustme.CA().cert_pem.write_to_path(self.other_ca)
        server = authority.issue_cert("127.0.0.1", "localhost")
        self.chain.write_bytes(b"".join(each.bytes() for each in server.cert_chain_pems))
        key = serialization.load_pem_private_key(server.private_key_pem.bytes(), None)
        # Java reads no other form.
        self.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


@cache
def certificates() -> Certificates:
    """Those of this test run."""
    return Certificates(keeper().folder / "certificates")
