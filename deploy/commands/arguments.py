"""What the commands share: types of arguments, and progress on the terminal."""

from __future__ import annotations

import argparse
import re
import sys
import time
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001
else:
    Commands = object

UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
INTERVAL_S: Final = 0.2


def duration_s(text: str) -> int:
    """`90`, `15m`, `24h` or `30d` in seconds."""
    match = re.fullmatch(r"(\d{1,6})([smhd]?)", text)
    if match is None or int(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 90s, 15m, 24h, 30d")
    return int(match[1]) * UNITS_S[match[2] or "s"]


class Progress:
    """One line that is written over, or on a pipe a line at the end."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._started = time.monotonic()
        self._shown = 0.0

    def __call__(self, done: int, total: int) -> None:
        """Show how far it is."""
        now = time.monotonic()
        is_last = done >= total
        if is_last or (sys.stderr.isatty() and now - self._shown > INTERVAL_S):
            self._shown = now
            end = "\n" if is_last else ""
            seconds = now - self._started
            text = f"\r{self._what}: {done:,} of {total:,} in {seconds:.1f} s"
            print(text if sys.stderr.isatty() else text[1:], end=end, file=sys.stderr, flush=True)
