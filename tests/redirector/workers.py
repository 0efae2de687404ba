"""Redirector workers as processes of their own, to kill and to count over."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection

from tests.redirector.conftest import BROWSER

START_TIMEOUT_S = 30.0


class Worker:
    """One `python -m redirector --worker`, on a socket that this process keeps."""

    def __init__(self, environ: Mapping[str, str], seat: int) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._socket.set_inheritable(True)
        self.port: int = self._socket.getsockname()[1]
        self._argv = [sys.executable, "-m", "redirector", "--worker", str(seat)]
        self._environ = {
            **os.environ,
            **environ,
            "STAMPGATE_LISTEN_FD": str(self._socket.fileno()),
            "STAMPGATE_LOG_LEVEL": "error",
        }
        self.start()

    def start(self) -> None:
        """Start the process; connections made meanwhile wait."""
        self.process = subprocess.Popen(
            self._argv, env=self._environ, pass_fds=(self._socket.fileno(),)
        )

    def wait_until_ready(self) -> None:
        """Wait until it says that it is."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.get("/health/ready")[0] == 200:
                return
            time.sleep(0.02)
        raise TimeoutError("the redirector does not become ready")

    def get(self, path: str, connection: HTTPConnection | None = None) -> tuple[int, str]:
        """Status and Location of a browser's request."""
        own = connection or self.connect()
        try:
            own.request("GET", path, headers=BROWSER)
            answer = own.getresponse()
            answer.read()
            return answer.status, answer.getheader("Location", "")
        finally:
            if connection is None:
                own.close()

    def connect(self) -> HTTPConnection:
        """A connection that stays open."""
        return HTTPConnection("127.0.0.1", self.port, timeout=START_TIMEOUT_S)

    def kill(self) -> None:
        """Kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """The exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(START_TIMEOUT_S)

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.kill()
        self._socket.close()


@contextmanager
def workers(environ: Mapping[str, str], count: int) -> Iterator[list[Worker]]:
    """So many workers, ready."""
    started = [Worker(environ, seat) for seat in range(count)]
    try:
        for worker in started:
            worker.wait_until_ready()
        yield started
    finally:
        for worker in started:
            worker.close()
