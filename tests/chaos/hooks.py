"""Who hears of reversals: a webhook receiver in a thread, so that it outlives each load."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Hooks(NamedTuple):
    """Where it listens, and how often it was told of each event."""

    url: str
    told: Counter[str]


@contextmanager
def receiving() -> Iterator[Hooks]:
    """A receiver while the context lasts."""
    told: Counter[str] = Counter()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            told[self.headers["webhook-id"]] += 1
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Hooks(f"http://127.0.0.1:{server.server_port}/hook", told)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
