"""What kind of visitor sent a request, from its headers alone.

Every hit is stored with its class and the reasons; only humans count and pay. The redirector sees
headers only, so a class says what a visitor claims to be; it can be revised later from elsewhere.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

ClassName = Literal["human", "suspect", "bot", "preview", "prefetch", "monitor", "test"]
NAMES: Final[tuple[ClassName, ...]] = get_args(ClassName)
HUMAN, SUSPECT, BOT, PREVIEW, PREFETCH, MONITOR, TEST = range(len(NAMES))
