"""TLS, as the URLs of all brokers say it."""

from __future__ import annotations

import ssl

from .url import Option, Url

__all__ = ["TLS_OPTIONS", "tls_context"]

TLS_OPTIONS = {
    "ssl_ca_certs": Option("str"),
    "ssl_certfile": Option("str"),
    "ssl_keyfile": Option("str"),
}
"""Files in PEM: the certificates that a server's is believed by (none said: the system's), and the client's own."""


def tls_context(url: Url) -> ssl.SSLContext:
    """What a client that takes a context connects with.

    Raises:
        OSError: a file cannot be read, or is none of its kind.
    """
    given = url.options
    context = ssl.create_default_context(cafile=given["ssl_ca_certs"])
    if given["ssl_certfile"]:
        context.load_cert_chain(given["ssl_certfile"], given["ssl_keyfile"])
    return context
