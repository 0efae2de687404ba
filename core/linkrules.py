"""The redirector's side of a link: which way a visit goes, and the Location it gets. Pure."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import zoneinfo
from collections.abc import Callable
from typing import Literal

import msgspec

from core import classes, clicks, destinations, ids, links, macros

# STATIC and SPLICE: one answer for every visit but for the click id; they may take the fast lane.
STATIC, SPLICE, RULES = range(3)

Outcome = Literal["redirect", "password", "fallback", "gone", "not_found"]
Closed = Literal["paused", "not_started", "expired", "cap_reached"]

_DEVICE_MACROS = frozenset({"device", "os", "browser"})
_PLACE_MACROS = frozenset({"country", "region", "city"})


class Link(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A snapshot made ready: for STATIC and SPLICE the Location is prefix + click id + suffix."""

    snapshot: links.Snapshot
    kind: int
    link_bits: int
    location_prefix: bytes
    location_suffix: bytes
    fallback: bytes
    needs_country: bool
    needs_device: bool
    is_capped: bool
    is_scheduled: bool
    has_password: bool
    accepts_path: bool


class Decision(msgspec.Struct, frozen=True, gc=False):
    """Where a visit goes and why; `template` stands for `redirect` only, `reason` for closed."""

    outcome: Outcome
    now_ms: int
    template: macros.Template | None = None
    variant: str | None = None
    rule: int | None = None
    reason: Closed | None = None


def build(snapshot: links.Snapshot) -> Link:
    """The runtime form of a snapshot; BadId if its link id is none."""
    templates = [
        snapshot.template,
        *(rule.template for rule in snapshot.rules),
        *(variant.template for variant in snapshot.variants),
    ]
    used = frozenset().union(*(template.macros for template in templates))
    whens = [rule.when for rule in snapshot.rules]
    kind, prefix, suffix = _form(snapshot)
    return Link(
        snapshot=snapshot,
        kind=kind,
        link_bits=ids.link_bits(snapshot.link_id),
        location_prefix=prefix.encode("ascii"),
        location_suffix=suffix.encode("ascii"),
        fallback=snapshot.fallback_url.encode("ascii"),
        needs_country=bool(used & _PLACE_MACROS) or any(when.country for when in whens),
        needs_device=bool(used & _DEVICE_MACROS)
        or any(when.device or when.os or when.browser for when in whens),
        is_capped=snapshot.cap is not None,
        is_scheduled=snapshot.starts_ms is not None or snapshot.expires_ms is not None,
        has_password=bool(snapshot.password_hash),
        accepts_path=snapshot.append_path or "path" in used,
    )


def decide(link: Link, visit: clicks.Visit, now_ms: int) -> Decision:
    """Where the visit goes. A cap is not looked at: who finds it reached asks `closed`."""
    snapshot = link.snapshot
    if visit.path and not link.accepts_path:
        return Decision("not_found", now_ms)
    reason = _closed_reason(snapshot, now_ms)
    if reason is not None:
        return closed(link, reason, now_ms)
    if link.has_password and not visit.is_unlocked:
        return Decision("password", now_ms)
    for place, rule in enumerate(snapshot.rules):
        if matches(rule.when, visit, now_ms):
            return Decision("redirect", now_ms, rule.template, rule=place)
    variant = _variant(snapshot, visit.visitor_key)
    if variant is not None:
        return Decision("redirect", now_ms, variant.template, variant=variant.name)
    return Decision("redirect", now_ms, snapshot.template)


def closed(link: Link, reason: Closed, now_ms: int) -> Decision:
    """A link that leads nowhere for now: to its fallback URL if it has one, else gone."""
    return Decision("fallback" if link.fallback else "gone", now_ms, reason=reason)


def location(link: Link, decision: Decision, visit: clicks.Visit, click_id: str) -> bytes:
    """The Location header of a redirect or a fallback; empty for any other outcome.

    Always printable ASCII. HEAD passes an empty `click_id`, which leaves the macro out.
    """
    if decision.outcome == "fallback":
        return link.fallback
    if decision.template is None:
        return b""
    if link.kind == STATIC and not visit.path:
        return link.location_prefix
    if link.kind == SPLICE and not visit.path:
        return link.location_prefix + click_id.encode("ascii") + link.location_suffix
    snapshot = link.snapshot
    pairs = clicks.shareable(visit.query, privacy_signal=visit.privacy_signal)
    # Reversed, so that of several values the first one stays.
    parameters = dict(reversed(pairs))

    def value(name: str) -> str:
        known = _VALUES.get(name)
        if known is not None:
            return known(visit, click_id, decision.now_ms)
        return parameters.get(name.removeprefix("query:"), "")

    url = decision.template.render(value)
    if snapshot.append_path:
        url = destinations.append_path(url, visit.path)
    merged = destinations.merge_query(
        url,
        pairs,
        snapshot.query_mode,
        allow=snapshot.query_allow,
        protected=snapshot.protected,
    )
    return merged.encode("ascii")


def matches(when: links.When, visit: clicks.Visit, now_ms: int) -> bool:
    """Whether all conditions hold; what is unknown about a visit matches no condition on it."""
    agent = visit.agent
    return (
        (not when.device or agent.device in when.device)
        and (not when.os or agent.system in when.os)
        and (not when.browser or agent.browser in when.browser)
        and (not when.country or visit.country in when.country)
        and (not when.click_class or classes.NAMES[visit.hit_class] in when.click_class)
        and (not when.lang or _speaks(visit.language, when.lang))
        and (not when.referrer_host or _is_under(visit.referrer_host, when.referrer_host))
        and all(_is_asked(name, wanted, visit.query) for name, wanted in when.query.items())
        and _is_time(when, now_ms)
    )


def _form(snapshot: links.Snapshot) -> tuple[int, str, str]:
    """Kind of the link, and the Location's text before and after the click id."""
    depends_on_visit = (
        snapshot.rules
        or snapshot.variants
        or snapshot.is_paused
        or snapshot.password_hash
        or snapshot.query_mode != "off"
        or not (snapshot.cap is snapshot.starts_ms is snapshot.expires_ms is None)
    )
    if depends_on_visit:
        return RULES, "", ""
    static = snapshot.template.static()
    if static is not None:
        return STATIC, static, ""
    splice = snapshot.template.splice()
    return (RULES, "", "") if splice is None else (SPLICE, *splice)


def _closed_reason(snapshot: links.Snapshot, now_ms: int) -> Closed | None:
    if snapshot.is_paused:
        return "paused"
    if snapshot.starts_ms is not None and now_ms < snapshot.starts_ms:
        return "not_started"
    if snapshot.expires_ms is not None and now_ms >= snapshot.expires_ms:
        return "expired"
    return None


def _variant(snapshot: links.Snapshot, visitor_key: bytes) -> links.SnapshotVariant | None:
    """The visitor's own variant: the same each time, independent from link to link."""
    total = sum(variant.weight for variant in snapshot.variants)
    if not total:
        return None
    digest = hashlib.blake2s(snapshot.link_id.encode() + b"\0" + visitor_key, digest_size=8)
    point = int.from_bytes(digest.digest(), "big") % total
    for variant in snapshot.variants:
        point -= variant.weight
        if point < 0:
            return variant
    raise AssertionError("the point is below the sum of the weights")


def _speaks(language: str, wanted: tuple[str, ...]) -> bool:
    return any(f"{language}-".startswith(f"{tag.lower()}-") for tag in wanted)


def _is_under(host: str, parents: tuple[str, ...]) -> bool:
    return any(f".{host}".endswith(f".{parent}") for parent in parents)


def _is_asked(name: str, wanted: str | None, query: clicks.Pairs) -> bool:
    return any(key == name and wanted in {None, value} for key, value in query)


def _is_time(when: links.When, now_ms: int) -> bool:
    if not (when.after or when.before or when.weekday or when.hour):
        return True
    zone = _zone(when.timezone)
    if zone is None:
        return False
    now = dt.datetime.fromtimestamp(now_ms / 1000, zone)
    return (
        (when.after is None or now >= when.after)
        and (when.before is None or now < when.before)
        and (not when.weekday or now.isoweekday() in when.weekday)
        and (not when.hour or now.hour in when.hour)
    )


@functools.lru_cache(maxsize=1024)
def _zone(name: str) -> zoneinfo.ZoneInfo | None:
    """The zone, or None on a host that does not know it: a click must not fail over that."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None


def _random(click_id: str) -> str:
    """Eight digits against caches, the same for the same click; none without a click id."""
    return hashlib.blake2s(click_id.encode(), digest_size=4).hexdigest() if click_id else ""


def _date(now_ms: int) -> str:
    return dt.datetime.fromtimestamp(now_ms / 1000, dt.UTC).date().isoformat()


# The macros that are not query parameters, of visit, click id and time.
_VALUES: dict[str, Callable[[clicks.Visit, str, int], str]] = {
    "click_id": lambda _visit, click_id, _now_ms: click_id,
    "domain": lambda visit, _click_id, _now_ms: visit.domain,
    "member_ref": lambda visit, _click_id, _now_ms: visit.member_ref,
    "country": lambda visit, _click_id, _now_ms: visit.country,
    "region": lambda visit, _click_id, _now_ms: visit.region,
    "city": lambda visit, _click_id, _now_ms: visit.city,
    "device": lambda visit, _click_id, _now_ms: visit.agent.device,
    "os": lambda visit, _click_id, _now_ms: visit.agent.system,
    "browser": lambda visit, _click_id, _now_ms: visit.agent.browser,
    "lang": lambda visit, _click_id, _now_ms: visit.language.partition("-")[0],
    "referrer_host": lambda visit, _click_id, _now_ms: visit.referrer_host,
    "path": lambda visit, _click_id, _now_ms: visit.path,
    "ts": lambda _visit, _click_id, now_ms: str(now_ms // 1000),
    "ts_ms": lambda _visit, _click_id, now_ms: str(now_ms),
    "date": lambda _visit, _click_id, now_ms: _date(now_ms),
    "random": lambda _visit, click_id, _now_ms: _random(click_id),
}
