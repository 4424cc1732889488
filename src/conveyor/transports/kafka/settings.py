"""The settings that librdkafka gets for a URL, and what its errors mean."""

from __future__ import annotations

import errno
import logging
from importlib import import_module
from typing import Any

from ..port import ConnectionLost
from ..url import Url

__all__ = [
    "ANSWER_SECONDS",
    "LONGEST",
    "KafkaError",
    "KafkaException",
    "consumer_settings",
    "group_of",
    "is_refusal",
    "meaning",
    "producer_settings",
    "raised",
    "shared_settings",
]

_kafka: Any = import_module("confluent_kafka")
KafkaError: Any = _kafka.KafkaError
KafkaException: Any = _kafka.KafkaException

# What the client writes to stderr at any level.
_SILENT = logging.Logger("conveyor.kafka")
_SILENT.addHandler(logging.NullHandler())

ANSWER_SECONDS = 10.0
"""A server that does not answer for so long is taken for lost."""
LONGEST = 64 * 2**20
"""Bytes of the largest item."""
_OVERHEAD = 2**16  # of a record, its key and its headers

_REFUSED = (
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
)
# What is the same however often it is tried. All else comes of a connection, or of a cluster that is changing.
_FOR_GOOD = (
    KafkaError._INVALID_ARG,
    KafkaError._NOT_IMPLEMENTED,
    KafkaError._UNSUPPORTED_FEATURE,
    KafkaError.GROUP_MAX_SIZE_REACHED,
    KafkaError.INCONSISTENT_GROUP_PROTOCOL,
    KafkaError.INVALID_CONFIG,
    KafkaError.INVALID_GROUP_ID,
    KafkaError.INVALID_PARTITIONS,
    KafkaError.INVALID_REPLICATION_FACTOR,
    KafkaError.INVALID_REQUEST,
    KafkaError.INVALID_SESSION_TIMEOUT,
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.OFFSET_METADATA_TOO_LARGE,
    KafkaError.POLICY_VIOLATION,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.TOPIC_DELETION_DISABLED,
    KafkaError.TOPIC_EXCEPTION,
    KafkaError.UNSUPPORTED_VERSION,
)


def group_of(url: Url) -> str:
    """The group of a queue's consumers."""
    return url.options["group"] or f"conveyor.{url.name}"


def shared_settings(url: Url) -> dict[str, Any]:
    """What all clients of a URL have in common."""
    options = url.options
    secure = url.scheme == "kafka+ssl"
    settings: dict[str, Any] = {
        "bootstrap.servers": ",".join(
            f"[{host}]:{port or 9092}" if ":" in host else f"{host}:{port or 9092}"
            for host, port in url.hosts
        ),
        "client.id": "conveyor",
        "security.protocol": ("SASL_SSL" if secure else "SASL_PLAINTEXT")
        if url.user
        else ("SSL" if secure else "PLAINTEXT"),
        # We say by exceptions what was lost, and heal what can be.
        "log_level": 0,
        "logger": _SILENT,
        "enable.metrics.push": False,
        "socket.nagle.disable": True,
        "socket.keepalive.enable": True,
        "socket.timeout.ms": int(ANSWER_SECONDS * 1000),
        "socket.connection.setup.timeout.ms": 5000,
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 500,
        "retry.backoff.ms": 50,
        "topic.metadata.refresh.fast.interval.ms": 50,
    }
    if url.user:
        settings |= {
            "sasl.mechanism": options["sasl_mechanism"],
            "sasl.username": url.user,
            "sasl.password": url.password,
        }
    if secure:
        for name, key in (
            ("ssl.ca.location", "ssl_ca_certs"),
            ("ssl.certificate.location", "ssl_certfile"),
            ("ssl.key.location", "ssl_keyfile"),
        ):
            if options[key]:
                settings[name] = options[key]
    return settings


def producer_settings(url: Url) -> dict[str, Any]:
    """Of who puts: what is sent again by the client is there once."""
    return {
        **shared_settings(url),
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": 0,
        "request.timeout.ms": int(ANSWER_SECONDS * 1000),
        "message.max.bytes": LONGEST + _OVERHEAD,
        "queue.buffering.max.messages": 1_000_000,
        # As Java's clients choose, so that a key has one place, whichever client wrote it.
        "partitioner": "murmur2_random",
    }


def consumer_settings(url: Url) -> dict[str, Any]:
    """Of who reads, by itself or in a group."""
    return {
        **shared_settings(url),
        "group.id": group_of(url),
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "allow.auto.create.topics": False,
        "fetch.wait.max.ms": 200,
        "fetch.error.backoff.ms": 50,
        "fetch.queue.backoff.ms": 20,
        "queued.max.messages.kbytes": 16 * 1024,
        "fetch.max.bytes": LONGEST + _OVERHEAD,
        "fetch.message.max.bytes": 4 * 2**20,
        "receive.message.max.bytes": 2 * LONGEST,
    }


def is_refusal(error: Any) -> bool:
    """Whether it will be the same however often it is tried."""
    code, text = error.code(), str(error)
    if code == KafkaError._AUTHENTICATION:
        return "Local: " not in text  # or the connection was lost just then
    return code in _REFUSED or (code == KafkaError._SSL and "certificate verify failed" in text)


def meaning(error: Any, url: Url) -> Exception:
    """The exception of a KafkaError."""
    text = f"{error.name()}: {error.str()}"
    if is_refusal(error):
        return PermissionError(errno.EACCES, f"{url}: {text}")
    if error.code() in _FOR_GOOD:
        return OSError(errno.EPROTO, f"{url}: {text}")
    return ConnectionLost(text)


def raised(exception: BaseException, url: Url) -> Exception:
    """The same of a KafkaException."""
    found: Any = exception.args[0] if exception.args else None
    return meaning(found, url) if hasattr(found, "code") else ConnectionLost(repr(exception))
