"""The real servers of the tests: RabbitMQ, Redis, Valkey, NATS, Kafka; a proxy that hurts; two networks.

    from servers import shared
    broker = shared("rabbitmq")      # started when first asked for; ends with the test run
    broker.url("jobs")               # amqp://conveyor:...@127.0.0.1:24711/jobs
    broker.kill(); broker.start()    # kill -9, and again on the same data and ports

Test files ask for fixtures instead: `from servers.fixtures import *` in their folder's conftest.py.
A person types `make servers`.
"""

from __future__ import annotations

from .namespaces import Network
from .proxy import Proxy
from .registry import KINDS, make, shared
from .server import Server, ServerMissing

__all__ = ["KINDS", "Network", "Proxy", "Server", "ServerMissing", "make", "shared"]
