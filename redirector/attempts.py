"""How often an address may try a password, counted in this process."""

from __future__ import annotations

from typing import Final

ATTEMPTS_MAX: Final = 10
WINDOW_S: Final = 300
ADDRESSES_MAX: Final = 10_000


class Attempts:
    """Attempts by address in fixed windows; the oldest address is forgotten when there are many."""

    def __init__(self) -> None:
        self._windows: dict[str, tuple[float, int]] = {}

    def take(self, address: str, now_s: float) -> int:
        """Use up one attempt: 0, or the seconds to wait when none is left."""
        ends_s, used = self._windows.pop(address, (0.0, 0))
        if ends_s <= now_s:
            ends_s, used = now_s + WINDOW_S, 0
        if len(self._windows) >= ADDRESSES_MAX:
            del self._windows[next(iter(self._windows))]
        self._windows[address] = (ends_s, min(used + 1, ATTEMPTS_MAX))
        return int(ends_s - now_s) + 1 if used >= ATTEMPTS_MAX else 0
