"""`make servers`: starts the servers for a person, says where they are, and stops them on Ctrl-C.

python tests/servers [KIND...]      without a KIND: all
python tests/servers --fetch        only fetches what is to be fetched, so that no test waits for it
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from servers.kafka_jars import CannotReachMaven, kafka_jars
from servers.registry import KINDS, kafka_is_mocked, make
from servers.server import Server, ServerFailed, ServerMissing


def fetch() -> int:
    try:
        kafka_jars()
    except CannotReachMaven as error:
        print(
            f"conveyor: Kafka will be librdkafka's mock, Maven Central cannot be reached:\n{error}",
            file=sys.stderr,
        )
    except (ServerMissing, ServerFailed) as error:
        print(f"conveyor: {error}", file=sys.stderr)
        return 1
    return 0


def main() -> int:
    if sys.argv[1:] == ["--fetch"]:
        return fetch()
    kinds = sys.argv[1:] or list(KINDS)
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        print(f"no such server: {', '.join(unknown)}; there are: {', '.join(KINDS)}", file=sys.stderr)
        return 2
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    started: list[Server] = []
    failed = False
    for kind in kinds:
        if ended.is_set():
            break
        begin = time.monotonic()
        try:
            server = make(kind)
            server.start()
        except (ServerMissing, ServerFailed) as error:
            print(f"{kind}: {error}", file=sys.stderr)
            failed = True
            continue
        started.append(server)
        print(f"{server.kind:10} {server.url('jobs')}   ({time.monotonic() - begin:.1f} s)", flush=True)
        if server.tls_port is not None:
            print(f"{'':10} {server.url('jobs', tls=True)}", flush=True)
    if kafka_is_mocked() is not None:
        print("kafka is librdkafka's mock: Maven Central cannot be reached")
    if started:
        print(f"certificates are signed by {started[0].certificates.ca}; Ctrl-C stops all", flush=True)
        ended.wait()
        for server in started:
            server.stop()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
