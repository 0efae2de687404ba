"""A process that a parent (`web/parent.py`) started: its side of what passes between the two.

All of it comes in the environment. A process that is run alone finds none of it there.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Final

LISTEN_FD: Final = "STAMPGATE_LISTEN_FD"
PARENT_PID: Final = "STAMPGATE_PARENT_PID"
READY_FD: Final = "STAMPGATE_READY_FD"
SEAT: Final = "STAMPGATE_SEAT"
METRICS_DIR: Final = "PROMETHEUS_MULTIPROC_DIR"

# Net container objects made before the collector looks at the young, the middle and all of them.
# What requests and tasks leave behind goes by reference counts alone.
GC_THRESHOLDS: Final = (10_000, 50, 100)

_PR_SET_PDEATHSIG: Final = 1


def enter(environ: Mapping[str, str]) -> None:
    """The first act of a child: it shall not outlive its parent. Does nothing when run alone."""
    if PARENT_PID in environ:
        die_with_parent(int(environ[PARENT_PID]))
        # Whoever signals all processes of a service at once means the parent alone.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def die_with_parent(expected_ppid: int) -> None:
    """Ask the kernel for SIGTERM when the parent ends; exit now if it has ended already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != expected_ppid:
        sys.exit(0)


def spare_collector() -> None:
    """Once all is loaded: what lives now lives on, so the collector need not look at it again, and
    seldom at the rest.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def inherited_socket(environ: Mapping[str, str]) -> socket.socket:
    """The listening socket that the parent passed to this child."""
    sock = socket.socket(fileno=int(environ[LISTEN_FD]))
    sock.setblocking(False)
    sock.set_inheritable(False)
    return sock


def is_successor(environ: Mapping[str, str]) -> bool:
    """Whether another process serves until this one says that it does."""
    return READY_FD in environ


def say_ready(environ: Mapping[str, str]) -> None:
    """Tell the parent, once, that this process serves, so that its predecessor may go."""
    if READY_FD in environ:
        pipe = int(environ[READY_FD])
        # Nobody is left to be told when the parent has just died.
        with contextlib.suppress(BrokenPipeError):
            os.write(pipe, b"1")
        os.close(pipe)
