"""Appends one event per command to a peer's store for a while, and prints what that took as one line of JSON.

driver.py PEER URL CALLERS SECONDS PAYLOAD: PEER is `eventsourcing` (its Postgres application recorder, in the mode that
POSTGRES_ENABLE_DB_FUNCTIONS says) or `umadb` (its Python client). Callers are threads of as many processes as there are
cores, so that the interpreter's lock holds nobody up. The first tenth is not counted.
"""

import json
import multiprocessing
import os
import sys
import threading
import time
import uuid
from urllib.parse import unquote, urlparse


def eventsourcing(url, callers, first=False):
    from eventsourcing.persistence import StoredEvent
    from eventsourcing.postgres import PostgresFactory
    from eventsourcing.utils import Environment

    parts = urlparse(url)
    factory = PostgresFactory(
        Environment(
            name="bench",
            env={
                "POSTGRES_DBNAME": parts.path[1:],
                "POSTGRES_HOST": parts.hostname,
                "POSTGRES_PORT": str(parts.port),
                "POSTGRES_USER": parts.username,
                "POSTGRES_PASSWORD": unquote(parts.password or ""),
                "POSTGRES_POOL_SIZE": str(callers),
                "POSTGRES_MAX_OVERFLOW": str(callers),
                "POSTGRES_ENABLE_DB_FUNCTIONS": os.environ["POSTGRES_ENABLE_DB_FUNCTIONS"],
                # By one only: several at once would be in each other's way.
                "CREATE_TABLE": "yes" if first else "no",
            },
        )
    )
    recorder = factory.application_recorder()

    def append(payload):
        recorder.insert_events(
            [
                StoredEvent(
                    originator_id=uuid.uuid4(),
                    originator_version=1,
                    topic="notification:Notification.Drafted",
                    state=payload,
                )
            ]
        )

    return lambda: append


def umadb(url, callers):
    from umadb import Client, Event

    def connect():
        client = Client(url)

        def append(payload):
            stream = uuid.uuid4()
            client.append(
                [
                    Event(
                        event_type="notification.drafted",
                        data=payload,
                        tags=[f"notification:{stream}"],
                        uuid=stream,
                    )
                ]
            )

        return append

    return connect


PEERS = {"eventsourcing": eventsourcing, "umadb": umadb}


def call(append, payload, started, seconds, latencies):
    begin, end = started + seconds / 10, started + seconds
    time.sleep(max(0.0, started - time.time()))
    began = time.time()
    while began < end:
        append(payload)
        ended = time.time()
        if began >= begin and ended <= end:
            latencies.append(ended - began)
        began = ended


def process(peer, url, callers, started, seconds, payload, results):
    connect = PEERS[peer](url, callers)
    all_latencies = [[] for _ in range(callers)]
    threads = [
        threading.Thread(target=call, args=(connect(), payload, started, seconds, latencies))
        for latencies in all_latencies
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put([latency for latencies in all_latencies for latency in latencies])


def main():
    peer, url, callers, seconds, payload = sys.argv[1:]
    callers, seconds = int(callers), float(seconds)
    if peer == "eventsourcing":
        eventsourcing(url, 1, first=True)
    processes = min(callers, os.cpu_count() or 1)
    results = multiprocessing.Queue()
    started = time.time() + 1.5  # long enough for imports and connections
    running = [
        multiprocessing.Process(
            target=process,
            args=(
                peer,
                url,
                callers // processes,
                started,
                seconds,
                payload.encode(),
                results,
            ),
        )
        for _ in range(processes)
    ]
    for one in running:
        one.start()
    latencies = sorted(latency for _ in running for latency in results.get())
    for one in running:
        one.join()
    if not latencies:
        sys.exit("nothing was appended in time")
    print(
        json.dumps(
            {
                "commands": len(latencies),
                "seconds": seconds * 0.9,
                "p50_ms": latencies[len(latencies) // 2] * 1e3,
                "p99_ms": latencies[len(latencies) * 99 // 100] * 1e3,
            }
        )
    )


if __name__ == "__main__":
    main()
