"""A click as the redirector saw it → the row that is stored: device, country, hashed address."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable
from typing import Any, Final

import maxminddb
import msgspec

from core import base32, classes, clickid, useragents
from core.events import Click

# Remembered user agents and addresses; past this many the memory starts afresh.
MEMORY_MAX: Final = 50_000

COLUMNS: Final = (
    "day", "click_id", "program_id", "link_id", "clicked_at", "class", "reasons", "address_hash",
    "country", "device", "system", "browser", "user_agent", "referrer", "privacy_signal",
    "member_id", "variant", "parameters", "boot", "sequence",
)  # fmt: skip

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_encode_json = msgspec.json.Encoder().encode
Row = tuple[Any, ...]
Resolve = Callable[[str], str | None]


def open_resolver(path: str) -> Resolve:
    """Address → ISO country by a MaxMind database file; without a file no country is known."""
    if not path:
        return lambda _address: None
    reader = maxminddb.open_database(path)

    def resolve(address: str) -> str | None:
        record = reader.get(address)
        country = record.get("country") if isinstance(record, dict) else None
        code = country.get("iso_code") if isinstance(country, dict) else None
        return code if isinstance(code, str) else None

    return resolve


class Rows:
    """Makes rows. `salts` holds the daily salts that addresses are hashed under, by day."""

    def __init__(self, resolve: Resolve) -> None:
        self.salts: dict[dt.date, bytes] = {}
        self._resolve = resolve
        self._agents: dict[str | None, useragents.Agent] = {}
        self._addresses: dict[tuple[dt.date, str], tuple[bytes, str | None]] = {}
        self._days: dict[int, dt.date] = {}

    def forget(self) -> None:
        """Drop the salts, and what was hashed under them."""
        self.salts.clear()
        self._addresses.clear()

    def day(self, click: Click) -> dt.date:
        """The UTC day of the click's own milliseconds; BadClickId if the id is none."""
        return self._day(clickid.day_of(click.click_id))

    def row(self, click: Click) -> Row:
        """The row in the order of COLUMNS; ValueError for a click that makes no sense."""
        number = base32.decode(click.click_id)
        ms = (number >> 112 & 0xFFFFFFFFFFF) + clickid.EPOCH_MS
        day = self._day(ms // clickid.DAY_MS)
        agent = self._agents.get(click.user_agent)
        if agent is None:
            agent = self._describe(click.user_agent)
        address_hash, country = None, click.country
        if click.address is not None and not click.privacy_signal:
            address_hash, resolved = self._locate(day, click.address)
            country = country or resolved
        classes.NAMES[click.hit_class]
        return (
            day, click.click_id, click.program_id, click.link_id,
            _EPOCH + dt.timedelta(milliseconds=ms), click.hit_class, click.reasons, address_hash,
            country, *agent, click.user_agent, click.referrer, click.privacy_signal,
            click.member_id, click.variant,
            _encode_json(click.parameters).decode() if click.parameters else None,
            None if click.preminted else number >> 96 & 0xFFFF, number >> 64 & 0xFFFFFFFF,
        )  # fmt: skip

    def _day(self, days: int) -> dt.date:
        day = self._days.get(days)
        if day is None:
            day = self._days[days] = dt.date(1970, 1, 1) + dt.timedelta(days=days)
        return day

    def _describe(self, user_agent: str | None) -> useragents.Agent:
        if len(self._agents) >= MEMORY_MAX:
            self._agents.clear()
        agent = self._agents[user_agent] = useragents.parse(user_agent or "")
        return agent

    def _locate(self, day: dt.date, address: str) -> tuple[bytes, str | None]:
        known = self._addresses.get((day, address))
        if known is None:
            if len(self._addresses) >= MEMORY_MAX:
                self._addresses.clear()
            digest = hashlib.blake2s(address.encode(), key=self.salts[day], digest_size=16).digest()
            known = self._addresses[day, address] = (digest, self._resolve(address))
        return known
