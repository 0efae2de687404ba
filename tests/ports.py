"""Ports for processes of tests, which they bind some time after they were told."""

from __future__ import annotations

import itertools
import os
import random
import socket
from typing import Final

# Below those that the kernel gives away by itself, so that nobody gets one meanwhile; and each test
# process has its own, from a place on that is another one in each run.
FIRST: Final = 10_000
EACH: Final = 1_000
_own: Final = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 9
_numbers: Final = itertools.count(random.randrange(EACH))


def free_port() -> int:
    """One on which nobody listens, and that was not given away before or long ago."""
    while True:
        port = FIRST + EACH * _own + next(_numbers) % EACH
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
