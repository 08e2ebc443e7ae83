"""Writes into a catalog from a process of its own, and prints a line for each write that was acknowledged.

writer.py ROOT count PATH TIMES      counts up in one file
writer.py ROOT stream PREFIX         writes new values into ten files, on and on
writer.py ROOT once PATH VALUE       one write, and what became of it
writer.py ROOT serve                 holds the server's lock until its input ends
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from store_tools import increment, put

from catalogd.errors import CatalogdError
from catalogd.store import Store


def count(store: Store, path: str, times: str) -> None:
    for _ in range(int(times)):
        print(increment(store, path).commit, flush=True)


def stream(store: Store, prefix: str) -> None:
    for number in itertools.count():
        path = f"{prefix}/f{number % 10}.json"
        outcome = put(store, path, None if number % 7 == 6 else b"%d\n" % number)
        print(path, number, outcome.commit, flush=True)
        if number % 5 == 4:
            store.follow_index()


def once(store: Store, path: str, value: str) -> None:
    print("opened", flush=True)
    try:
        print("acknowledged", put(store, path, value.encode()).commit, flush=True)
    except CatalogdError as error:
        print(type(error).__name__, error.detail, flush=True)
        for attempt in ("another.json", "third.json"):
            try:
                print("acknowledged", put(store, attempt, b"again\n").commit, flush=True)
            except CatalogdError as later:
                print(type(later).__name__, flush=True)
        print("reads", store.snapshot().read("data/a/there.json"), flush=True)


def serve(store: Store) -> None:
    store.hold_server_lock()
    print("serving", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    opened = Store(Path(sys.argv[1]))
    {"count": count, "stream": stream, "once": once, "serve": serve}[sys.argv[2]](opened, *sys.argv[3:])
    opened.close()
