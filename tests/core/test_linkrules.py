"""Decisions: outcomes, rules, variants and the Location that comes out."""

from __future__ import annotations

import collections
import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import classes, clicks, destinations, ids, linkrules, links, macros, useragents

M = "https://m.example/"
F = "https://f.example/sorry"
LINK_ID = ids.new("link", 1_767_225_600_000, b"0123456789")
CLICK_ID = "04t1ma3q0000w0000000400000abcdef"
# Thursday 2026-01-01 00:00 UTC, which is 05:30 in India.
NOW_MS = 1_767_225_600_000
PHONE = useragents.Agent("mobile", "android", "chrome")


def _link(*, password_hash: str | None = None, **fields: Any) -> linkrules.Link:
    body = msgspec.json.encode({"slug": "demo", "destination": M, **fields})
    config = links.validate(msgspec.json.decode(body, type=links.LinkConfig))
    snapshot = links.compile_snapshot(LINK_ID, "prg_1", 1, config, password_hash)
    return linkrules.build(links.decode(links.encode(snapshot)))


def _go(link: linkrules.Link, visit: clicks.Visit, click_id: str = CLICK_ID) -> str:
    decision = linkrules.decide(link, visit, NOW_MS)
    return linkrules.location(link, decision, visit, click_id).decode("ascii")


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, linkrules.STATIC),
        ({"destination": f"{M}{{slug}}"}, linkrules.STATIC),
        ({"destination": f"{M}{{click_id}}"}, linkrules.SPLICE),
        ({"network": "awin", "utm": {"source": "x"}}, linkrules.SPLICE),
        ({"append_path": True}, linkrules.STATIC),
        ({"destination": f"{M}{{sub1}}"}, linkrules.RULES),
        ({"cap": 1}, linkrules.RULES),
        ({"state": "paused"}, linkrules.RULES),
        ({"starts_at": "1970-01-01T00:00:00Z"}, linkrules.RULES),
        ({"expires_at": "2027-01-01T00:00:00Z"}, linkrules.RULES),
        ({"password_hash": "x"}, linkrules.RULES),
        ({"query_mode": "append"}, linkrules.RULES),
        ({"rules": [{"when": {}, "destination": M}]}, linkrules.RULES),
        ({"variants": [{"name": "a", "weight": 1, "destination": M}]}, linkrules.RULES),
    ],
)
def test_link_has_kind(fields: dict[str, Any], kind: int) -> None:
    assert _link(**fields).kind == kind


def test_link_says_what_it_needs() -> None:
    plain = _link()
    flags = ("needs_country", "needs_device", "is_capped", "is_scheduled", "has_password")
    assert not any(getattr(plain, flag) for flag in (*flags, "accepts_path"))
    assert plain.link_bits == ids.link_bits(LINK_ID)
    assert _link(destination=f"{M}{{city}}").needs_country
    assert _link(destination=f"{M}{{os}}").needs_device
    assert _link(destination=f"{M}{{_path}}").accepts_path
    assert _link(rules=[{"when": {"country": ["IN"]}, "destination": M}]).needs_country
    assert _link(rules=[{"when": {"browser": ["edge"]}, "destination": M}]).needs_device
    assert _link(cap=1).is_capped
    assert _link(expires_at="2027-01-01T00:00:00Z").is_scheduled
    assert _link(password_hash="x").has_password


@pytest.mark.parametrize(
    ("fields", "outcome", "reason"),
    [
        ({}, "redirect", None),
        ({"state": "paused"}, "gone", "paused"),
        ({"state": "paused", "fallback_url": F}, "fallback", "paused"),
        ({"starts_at": "2026-01-01T00:00:00Z"}, "redirect", None),
        ({"starts_at": "2026-01-01T00:00:00.001Z"}, "gone", "not_started"),
        ({"expires_at": "2026-01-01T00:00:00.001Z"}, "redirect", None),
        ({"expires_at": "2026-01-01T00:00:00Z"}, "gone", "expired"),
        ({"expires_at": "2026-01-01T00:00:00Z", "fallback_url": F}, "fallback", "expired"),
        ({"password_hash": "x"}, "password", None),
        ({"password_hash": "x", "state": "paused"}, "gone", "paused"),
    ],
)
def test_link_is_open_or_closed(fields: dict[str, Any], outcome: str, reason: str | None) -> None:
    link = _link(**fields)
    decision = linkrules.decide(link, clicks.Visit(), NOW_MS)
    assert (decision.outcome, decision.reason) == (outcome, reason)
    expected = {"redirect": M, "fallback": F}.get(outcome, "")
    assert linkrules.location(link, decision, clicks.Visit(), CLICK_ID) == expected.encode()


def test_reached_cap_leads_to_the_fallback_or_nowhere() -> None:
    assert linkrules.closed(_link(cap=1), "cap_reached", NOW_MS).outcome == "gone"
    link = _link(cap=1, fallback_url=F)
    assert linkrules.closed(link, "cap_reached", NOW_MS).outcome == "fallback"


def test_password_lets_the_unlocked_through() -> None:
    link = _link(password_hash="x")
    assert _go(link, clicks.Visit(is_unlocked=True)) == M
    assert _go(link, clicks.Visit()) == ""


def test_path_needs_a_link_that_takes_one() -> None:
    visit = clicks.Visit(path="a/b")
    assert linkrules.decide(_link(), visit, NOW_MS).outcome == "not_found"
    assert _go(_link(append_path=True, network="cj"), visit) == f"{M}a/b?sid={CLICK_ID}"
    assert _go(_link(destination=f"{M}{{_path}}/x"), visit) == f"{M}a/b/x"


@pytest.mark.parametrize(
    ("when", "visit", "matches"),
    [
        ({}, {}, True),
        ({"device": ["mobile"]}, {"agent": PHONE}, True),
        ({"device": ["desktop"]}, {"agent": PHONE}, False),
        ({"os": ["android", "ios"], "browser": ["chrome"]}, {"agent": PHONE}, True),
        ({"os": ["android"], "browser": ["edge"]}, {"agent": PHONE}, False),
        ({"country": ["IN", "US"]}, {"country": "IN"}, True),
        ({"country": ["IN"]}, {}, False),
        ({"lang": ["hi"]}, {"language": "hi-in"}, True),
        ({"lang": ["en-IN"]}, {"language": "en-in"}, True),
        ({"lang": ["en-IN"]}, {"language": "en"}, False),
        ({"lang": ["h"]}, {"language": "hi"}, None),
        ({"lang": ["fil"]}, {"language": "fi"}, False),
        ({"lang": ["hi"]}, {}, False),
        ({"referrer_host": ["m.example"]}, {"referrer_host": "www.m.example"}, True),
        ({"referrer_host": ["m.example"]}, {"referrer_host": "evilm.example"}, False),
        ({"referrer_host": ["m.example"]}, {}, False),
        ({"query": {"a": "1"}}, {"query": (("a", "0"), ("a", "1"))}, True),
        ({"query": {"a": "1"}}, {"query": (("a", "2"),)}, False),
        ({"query": {"a": None}}, {"query": (("a", ""),)}, True),
        ({"query": {"a": None, "b": None}}, {"query": (("a", ""),)}, False),
        ({"click_class": ["bot", "preview"]}, {"hit_class": classes.BOT}, True),
        ({"click_class": ["bot"]}, {}, False),
        ({"weekday": [4]}, {}, True),
        ({"weekday": [5, 6, 7]}, {}, False),
        ({"hour": [0]}, {}, True),
        ({"hour": [0], "timezone": "Asia/Kolkata"}, {}, False),
        ({"hour": [5], "timezone": "Asia/Kolkata"}, {}, True),
        ({"weekday": [3], "timezone": "America/New_York"}, {}, True),
        ({"after": "2026-01-01T05:30:00+05:30"}, {}, True),
        ({"after": "2026-01-01T00:00:01Z"}, {}, False),
        ({"before": "2026-01-01T00:00:01Z"}, {}, True),
        ({"before": "2026-01-01T00:00:00Z"}, {}, False),
    ],
)
def test_condition_matches(
    when: dict[str, Any], visit: dict[str, Any], *, matches: bool | None
) -> None:
    if matches is None:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(when, links.When, strict=False)
        return
    conditions = msgspec.convert(when, links.When, strict=False)
    assert linkrules.matches(conditions, clicks.Visit(**visit), NOW_MS) is matches


def test_time_conditions_never_match_in_a_zone_the_host_does_not_know() -> None:
    when = links.When(hour=tuple(range(24)), timezone="Mars/Base")
    assert not linkrules.matches(when, clicks.Visit(), NOW_MS)


def test_first_rule_that_matches_wins_over_variants_and_destination() -> None:
    link = _link(
        rules=[
            {"when": {"country": ["US"]}, "destination": f"{M}us"},
            {"when": {"device": ["mobile"]}, "destination": f"{M}phone"},
            {"when": {"country": ["IN"]}, "destination": f"{M}in"},
        ],
        variants=[{"name": "a", "weight": 1, "destination": f"{M}a"}],
    )
    visit = clicks.Visit(country="IN", agent=PHONE)
    assert _go(link, visit) == f"{M}phone"
    assert linkrules.decide(link, visit, NOW_MS).rule == 1
    assert linkrules.decide(link, clicks.Visit(), NOW_MS).variant == "a"


def test_variants_get_their_share_and_stay_with_the_visitor() -> None:
    link = _link(
        variants=[
            {"name": "a", "weight": 3, "destination": f"{M}a"},
            {"name": "b", "weight": 1, "destination": f"{M}b"},
            {"name": "off", "weight": 0, "destination": f"{M}off"},
        ]
    )
    visits = [clicks.Visit(visitor_key=b"%d" % number) for number in range(4000)]
    chosen = [linkrules.decide(link, visit, NOW_MS).variant for visit in visits]
    counts = collections.Counter(chosen)
    assert set(counts) == {"a", "b"}
    assert 2800 < counts["a"] < 3200
    assert chosen == [linkrules.decide(link, visit, NOW_MS + 1).variant for visit in visits]


def test_every_macro_of_a_visit_is_filled() -> None:
    visit = clicks.Visit(
        domain="go.example",
        path="p",
        query=(("sub1", "s"), ("sub1", "late"), ("gclid", "g"), ("utm_source", "u"), ("x", "y")),
        language="en-in",
        referrer_host="news.example",
        country="IN",
        region="KA",
        city="Bengaluru",
        agent=PHONE,
        member_ref="m1",
    )
    names = ["click_id", "domain", "member_ref", "sub1", "gclid", "utm_source", "country"]
    names += ["region", "city", "device", "os", "browser", "lang", "referrer_host", "ts", "ts_ms"]
    names += ["date", "path", "query:x", "link_id", "slug", "sub2"]
    link = _link(destination=M + "/".join(f"{{{name}}}" for name in names))
    assert _go(link, visit).removeprefix(M).split("/") == [
        *(CLICK_ID, "go.example", "m1", "s", "g", "u", "IN"),
        *("KA", "Bengaluru", "mobile", "android", "chrome", "en", "news.example"),
        *("1767225600", "1767225600000", "2026-01-01", "p", "y", LINK_ID, "demo", ""),
    ]


def test_every_macro_has_its_source() -> None:
    bound_when_compiled = macros.LINK_MACROS | {"variant", "rule"}
    assert set(linkrules._VALUES) | bound_when_compiled | macros.QUERY_MACROS == macros.KNOWN


def test_random_differs_between_clicks_and_not_within_one() -> None:
    link = _link(destination=f"{M}{{random}}")
    first, second = _go(link, clicks.Visit()), _go(link, clicks.Visit(), "0" * 32)
    assert first != second
    assert first == _go(link, clicks.Visit())
    assert _go(link, clicks.Visit(), "") == M


def test_head_leaves_the_click_id_out() -> None:
    assert _go(_link(network="cj"), clicks.Visit(), "") == f"{M}?sid="
    assert _go(_link(network="cj", cap=5), clicks.Visit(), "") == f"{M}?sid="


def test_under_a_privacy_signal_no_ad_id_leaves() -> None:
    link = _link(
        destination=f"{M}{{gclid}}{{query:fbclid}}?subid={{click_id}}", query_mode="append"
    )
    query = (("gclid", "g"), ("fbclid", "f"), ("GBRAID", "b"), ("a", "1"))
    assert _go(link, clicks.Visit(query=query, privacy_signal=True)) == f"{M}?subid={CLICK_ID}&a=1"
    assert "g" in _go(link, clicks.Visit(query=query)).removeprefix(M)


@pytest.mark.parametrize("mode", ["append", "append_if_absent", "overwrite"])
def test_no_visitor_replaces_the_click_id(mode: str) -> None:
    link = _link(network="cj", query_mode=mode, append_path=True)
    visit = clicks.Visit(query=(("sid", "forged"), ("a", "1")), path="p")
    assert _go(link, visit) == f"{M}p?sid={CLICK_ID}&a=1"


def test_only_allowed_parameters_pass() -> None:
    link = _link(query_mode="append", query_allow=["a"])
    assert _go(link, clicks.Visit(query=(("a", "1"), ("b", "2")))) == f"{M}?a=1"


@given(prefix=st.text("ab/", max_size=9), suffix=st.text("cd&=", max_size=9))
def test_splice_is_render(prefix: str, suffix: str) -> None:
    link = _link(destination=f"{M}{prefix}?x={{click_id}}{suffix}")
    assert link.kind == linkrules.SPLICE
    rendered = link.snapshot.template.render(lambda _name: CLICK_ID)
    assert _go(link, clicks.Visit()) == rendered


ANY_TEXT = st.text(st.characters(codec=None), max_size=20)


@given(
    query=st.lists(st.tuples(st.sampled_from(["sub1", "x", "sid"]) | ANY_TEXT, ANY_TEXT)),
    path=ANY_TEXT,
    referrer_host=ANY_TEXT,
    country=ANY_TEXT,
    mode=st.sampled_from(["off", "append", "append_if_absent", "overwrite"]),
)
def test_whatever_a_visitor_sends_the_location_stays_well_formed(
    query: list[tuple[str, str]], path: str, referrer_host: str, country: str, mode: str
) -> None:
    link = _link(
        destination=f"{M}{{_sub1}}/{{_query:x}}?r={{referrer_host}}&c={{_country}}&n={{x}}",
        network="cj",
        append_path=True,
        query_mode=mode,
    )
    visit = clicks.Visit(
        query=tuple(query),
        path=destinations.clean_path(path),
        referrer_host=referrer_host,
        country=country,
    )
    location = _go(link, visit)
    assert re.fullmatch(r"[!-~]+", location)
    assert not {"{", "}"} & set(location)
    assert urlsplit(location).netloc == "m.example"


@given(st.lists(st.tuples(st.sampled_from(["sid", "a", "_r.t", "_t"]), ANY_TEXT), max_size=5))
def test_the_click_id_always_arrives_once(query: list[tuple[str, str]]) -> None:
    link = _link(network="cj", query_mode="overwrite")
    location = _go(link, clicks.Visit(query=tuple(query)))
    pairs = parse_qsl(urlsplit(location).query, keep_blank_values=True)
    assert [value for name, value in pairs if name == "sid"] == [CLICK_ID]
    assert not {"_r.t", "_t"} & {name for name, _ in pairs}
