"""Steady load in raw bytes: requests leave when they are due, however long the answers take.

As a process of its own: `steady.py PORT PATH keep|close PER_S SECONDS CONNECTIONS`.
"""

from __future__ import annotations

import errno
import select
import socket
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import Final

import msgspec

LAST_ANSWER_S: Final = 20.0


@dataclass
class Outcome:
    """What a load came to; times in milliseconds."""

    sent: int
    statuses: dict[int, int]
    errors: dict[str, int]
    opened: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    # How late the generator itself was, at its worst.
    stall_ms: float


class Connection:
    """A connection with at most one request under way, due at `due` and not yet sent if `waits`."""

    __slots__ = ("due", "received", "sock", "waits")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.due: float | None = None
        self.waits = False
        self.received = b""


class Steady:
    """A load on a port of this machine; blocks, so that nothing else delays it.

    What is due while all connections are taken waits, and the wait counts as latency. Kept
    connections are used in turn; one whose answer says `Connection: close` is replaced, as is one
    that was closed while no request was under way. All else counts as an error.
    """

    def __init__(self, port: int, path: str, *, keeps: bool) -> None:
        self._address = ("127.0.0.1", port)
        self._keeps = keeps
        close = "" if keeps else "Connection: close\r\n"
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0 Firefox/128.0\r\n"
            f"Accept: text/html\r\n{close}\r\n"
        ).encode()
        self._statuses: Counter[int] = Counter()
        self._errors: Counter[str] = Counter()
        self._latencies_s: list[float] = []
        self._opened = 0
        self._stall_s = 0.0
        self._under_way = 0
        self._due: deque[float] = deque()
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._idle: deque[Connection] = deque()

    def run(self, per_s: float, seconds: float, connections: int) -> Outcome:
        """Send at a rate for a while, and wait for the last answers."""
        started, sent = time.monotonic(), 0
        while (elapsed := time.monotonic() - started) < seconds:
            while sent < elapsed * per_s:
                due = started + sent / per_s
                self._stall_s = max(self._stall_s, time.monotonic() - due)
                sent += 1
                self._due.append(due)
            self._send(connections)
            self._poll(max(0.0, started + sent / per_s - time.monotonic()))
        ends = time.monotonic() + LAST_ANSWER_S
        while (self._due or self._under_way) and time.monotonic() < ends:
            self._send(connections)
            self._poll(0.1)
        if unanswered := len(self._due) + self._under_way:
            self._errors["no answer"] = unanswered
        for connection in list(self._connections.values()):
            self._close(connection)
        self._epoll.close()
        return self._outcome(sent)

    def _outcome(self, sent: int) -> Outcome:
        in_order = sorted(self._latencies_s) or [0.0]
        p50, p99 = (in_order[int(len(in_order) * share)] for share in (0.5, 0.99))
        times = (p50, p99, in_order[-1], self._stall_s)
        return Outcome(
            sent,
            dict(self._statuses),
            dict(self._errors),
            self._opened,
            *(round(1000 * seconds, 2) for seconds in times),
        )

    def _open(self) -> Connection:
        self._opened += 1
        sock = socket.socket()
        sock.setblocking(False)
        connection = Connection(sock)
        self._connections[sock.fileno()] = connection
        self._epoll.register(sock, select.EPOLLIN)
        sock.connect_ex(self._address)
        return connection

    def _close(self, connection: Connection) -> None:
        del self._connections[connection.sock.fileno()]
        connection.sock.close()

    def _send(self, connections: int) -> None:
        while self._due and (self._idle or len(self._connections) < connections):
            connection = self._idle.popleft() if self._idle else self._open()
            connection.due = self._due.popleft()
            self._under_way += 1
            self._write(connection)

    def _write(self, connection: Connection) -> None:
        try:
            connection.sock.send(self._request)
        except BlockingIOError:
            # It is still being made.
            connection.waits = True
            self._epoll.modify(connection.sock, select.EPOLLIN | select.EPOLLOUT)
        except OSError as error:
            self._lose(connection, errno.errorcode[error.errno or 0])

    def _poll(self, timeout_s: float) -> None:
        for fd, events in self._epoll.poll(timeout_s):
            connection = self._connections[fd]
            if connection.waits and events & select.EPOLLOUT:
                connection.waits = False
                self._epoll.modify(fd, select.EPOLLIN)
                self._write(connection)
            else:
                self._read(connection)

    def _read(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(65_536)
        except OSError as error:
            self._lose(connection, errno.errorcode[error.errno or 0])
            return
        if not data:
            self._lose(connection, "end of file")
            return
        connection.received += data
        head, end, body = connection.received.partition(b"\r\n\r\n")
        lowered = head.lower()
        _, _, length = lowered.partition(b"content-length: ")
        if end and len(body) >= int(length.partition(b"\r\n")[0] or 0):
            is_last = b"\r\nconnection: close" in lowered
            self._answered(connection, int(head[9:12]), is_last=is_last)

    def _answered(self, connection: Connection, status: int, *, is_last: bool) -> None:
        assert connection.due is not None, "an answer to no request"
        self._under_way -= 1
        self._statuses[status] += 1
        self._latencies_s.append(time.monotonic() - connection.due)
        connection.due, connection.received = None, b""
        if is_last or not self._keeps:
            self._close(connection)
        else:
            self._idle.append(connection)

    def _lose(self, connection: Connection, cause: str) -> None:
        if connection.due is None:
            self._idle.remove(connection)
        else:
            self._under_way -= 1
            self._errors[cause] += 1
        self._close(connection)


def main(port: str, path: str, kind: str, *numbers: str) -> None:
    per_s, seconds, connections = map(int, numbers)
    load = Steady(int(port), path, keeps=kind == "keep")
    sys.stdout.buffer.write(msgspec.json.encode(load.run(per_s, seconds, connections)))


if __name__ == "__main__":
    main(*sys.argv[1:])
