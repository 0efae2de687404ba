"""A bar chart as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple

WIDTH: Final = 860
LABELS_WIDTH: Final = 330
NUMBERS_WIDTH: Final = 110
BAR_HEIGHT: Final = 18
GAP: Final = 8
TOP: Final = 44
OURS_COLOR: Final = "#2f6f9f"
OTHER_COLOR: Final = "#9a9a9a"


class Bar(NamedTuple):
    """One bar, and the lowest and highest of its rounds."""

    label: str
    value: float
    lowest: float
    highest: float
    is_ours: bool


def bars(title: str, shown: Sequence[Bar]) -> str:
    """The chart; bars are to scale, from zero."""
    longest = max((bar.highest for bar in shown), default=1.0)
    scale = (WIDTH - LABELS_WIDTH - NUMBERS_WIDTH) / longest
    height = TOP + len(shown) * (BAR_HEIGHT + GAP) + GAP
    body = "\n".join(_bar(bar, TOP + place * (BAR_HEIGHT + GAP), scale)
                     for place, bar in enumerate(shown))  # fmt: skip
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="13">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n'
        f'<text x="12" y="24" font-size="16">{escape(title)}</text>\n{body}\n</svg>\n'
    )


def _bar(bar: Bar, top: int, scale: float) -> str:
    middle, text_y = top + BAR_HEIGHT / 2, top + BAR_HEIGHT - 5
    color = OURS_COLOR if bar.is_ours else OTHER_COLOR
    first, last = LABELS_WIDTH + bar.lowest * scale, LABELS_WIDTH + bar.highest * scale
    return (
        f'<text x="{LABELS_WIDTH - 8}" y="{text_y}" text-anchor="end">{escape(bar.label)}</text>'
        f'<rect x="{LABELS_WIDTH}" y="{top}" width="{bar.value * scale:.1f}" '
        f'height="{BAR_HEIGHT}" fill="{color}"/>'
        f'<line x1="{first:.1f}" x2="{last:.1f}" y1="{middle}" y2="{middle}" stroke="#222222"/>'
        f'<text x="{last + 8:.1f}" y="{text_y}">{bar.value:,.0f}</text>'
    )
