"""A click as the redirector saw it → the row that is stored: device, country, hashed address."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import maxminddb
import msgspec

from core import base32, classes, clickid, useragents
from core.errors import BadClickId
from core.events import Click

# Remembered user agents and addresses; past this many the memory starts afresh.
MEMORY_MAX: Final = 50_000

COLUMNS: Final = (
    "day", "click_id", "program_id", "link_id", "clicked_at", "class", "reasons", "address_hash",
    "country", "device", "system", "browser", "user_agent", "referrer", "privacy_signal",
    "member_id", "variant", "parameters", "networks",
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


class SaltMissing(Exception):
    """The day's salt must be known before its addresses can be hashed."""

    def __init__(self, day: dt.date) -> None:
        super().__init__(day)
        self.day = day


class Made(NamedTuple):
    """A row in the order of COLUMNS, and whose click it is; a click made beforehand has no boot."""

    row: Row
    boot: int | None
    sequence: int


class Rows:
    """Makes rows. `salts` holds the daily salts that addresses are hashed under, by day; `listed`
    in which lists of its program an address stands, of those in `listing`, which have lists.
    """

    def __init__(self, resolve: Resolve) -> None:
        self.salts: dict[dt.date, bytes] = {}
        self.listing: frozenset[str] = frozenset()
        self.listed: dict[tuple[str, str], list[str]] = {}
        self._resolve = resolve
        self._agents: dict[str | None, useragents.Agent] = {}
        self._addresses: dict[tuple[dt.date, str], tuple[bytes, str | None]] = {}
        self._days: dict[int, dt.date] = {}

    def forget(self) -> None:
        """Drop the salts, and what was hashed under them."""
        self.salts.clear()
        self._addresses.clear()

    def unlisted(self, clicks: Iterable[Click]) -> set[tuple[str, str]]:
        """Programs and addresses of which `listed` has yet to know."""
        if not self.listing:
            return set()
        return {
            (click.program_id, click.address)
            for click in clicks
            if click.program_id in self.listing and click.address and not click.privacy_signal
        } - self.listed.keys()

    def make(self, click: Click) -> Made:
        """The row of a click; ValueError for one that makes no sense, SaltMissing. What is
        `unlisted` stands in no list."""
        if len(click.click_id) != clickid.LENGTH:
            raise BadClickId(f"Expected {clickid.LENGTH} characters of Crockford base32")
        number = base32.decode(click.click_id)
        ms = (number >> 112 & 0xFFFFFFFFFFF) + clickid.EPOCH_MS
        day = self._day(ms // clickid.DAY_MS)
        agent = self._agents.get(click.user_agent)
        if agent is None:
            agent = self._describe(click.user_agent)
        address_hash, country, networks = None, click.country, None
        if click.address is not None and not click.privacy_signal:
            address_hash, resolved = self._locate(day, click.address)
            country = country or resolved
            networks = self.listed.get((click.program_id, click.address)) or None
        classes.NAMES[click.hit_class]
        row = (
            day, click.click_id, click.program_id, click.link_id,
            _EPOCH + dt.timedelta(milliseconds=ms), click.hit_class, click.reasons, address_hash,
            country, *agent, click.user_agent, click.referrer, click.privacy_signal,
            click.member_id, click.variant,
            _encode_json(click.parameters).decode() if click.parameters else None, networks,
        )  # fmt: skip
        boot = None if click.preminted else number >> 96 & 0xFFFF
        return Made(row, boot, number >> 64 & 0xFFFFFFFF)

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
            salt = self.salts.get(day)
            if salt is None:
                raise SaltMissing(day)
            digest = hashlib.blake2s(address.encode(), key=salt, digest_size=16).digest()
            known = self._addresses[day, address] = (digest, self._resolve(address))
        return known


def roll_up(made: Iterable[Made]) -> list[list[Any]]:
    """The columns of `click_daily` that these rows add: its key, the program, and the clicks."""
    counts: Counter[Row] = Counter(
        [
            (row[3], row[0], row[5], row[9], row[8] or "", row[16] or "", row[2])
            for row, _, _ in made
        ]
    )
    return [*map(list, zip(*counts, strict=True)), list(counts.values())]


def boots(made: Iterable[Made]) -> list[list[Any]]:
    """The columns of `click_boot` for these rows: boot, highest sequence, rows, latest click."""
    seen: dict[int, tuple[int, int, dt.datetime]] = {}
    for row, boot, sequence in made:
        if boot is not None:
            highest, stored, latest = seen.get(boot, (0, 0, _EPOCH))
            seen[boot] = (max(highest, sequence), stored + 1, max(latest, row[4]))
    return [list(seen), *map(list, zip(*seen.values(), strict=True))] if seen else [[], [], [], []]
