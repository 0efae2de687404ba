"""An interrupt that reaches `make` alone."""

from __future__ import annotations

import subprocess
import sys

from deploy.local import up

SAY = "import signal, sys; {}; print('up', flush=True); sys.stdin.read()"


def started(preparation: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SAY.format(preparation)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def test_a_handler_shows_and_its_end_too() -> None:
    catching = started("signal.signal(signal.SIGINT, lambda *_: None)")
    deaf = started("signal.signal(signal.SIGINT, signal.SIG_DFL)")
    try:
        assert up.catches_interrupts(catching.pid)
        assert not up.catches_interrupts(deaf.pid)
    finally:
        for process in (catching, deaf):
            process.communicate("")
    assert not up.catches_interrupts(catching.pid)


def test_a_make_that_never_caught_interrupts_is_not_followed() -> None:
    deaf = started("signal.signal(signal.SIGINT, signal.SIG_DFL)")
    try:
        up.follow_make(deaf.pid)
    finally:
        deaf.communicate("")
