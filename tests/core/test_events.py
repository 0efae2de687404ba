"""Stream entries: what is written is what is read, whole or event by event."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import events

TEXT = st.none() | st.text(max_size=20)
WHOLE = st.integers(-(2**53), 2**53)
TYPES = ("award", "reversal", "spend", "hold", "capture", "release", "expire")

CLICKS = st.builds(
    events.Click,
    st.text(min_size=1, max_size=32),
    st.text(max_size=30),
    st.text(max_size=30),
    st.integers(0, 6),
    st.lists(st.text(max_size=9), max_size=3).map(tuple),
    *(TEXT, TEXT, TEXT, TEXT),
    st.booleans(),
    *(TEXT, TEXT),
    st.none() | st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    st.booleans(),
)
FACTS = st.builds(
    events.PointsFacts,
    st.sampled_from(TYPES),
    st.text(max_size=20),
    st.text(max_size=20),
    st.binary(max_size=16),
    *(TEXT, TEXT, WHOLE, WHOLE, TEXT),
    st.none() | WHOLE,
)
POINTS = st.builds(events.PointsEvent, WHOLE, WHOLE, WHOLE, st.text(max_size=40), FACTS)


@given(st.integers(0, 65_535), st.integers(0, 2**40), st.lists(CLICKS, max_size=4))
def test_a_batch_of_clicks_reads_as_it_was_written(
    boot: int, number: int, clicks: list[events.Click]
) -> None:
    batch = events.ClickBatch(boot, number, clicks)
    packed = events.encode(batch)
    assert events.decode_clicks(packed) == batch
    *marks, raws = events.split_clicks(packed)
    assert (marks, [events.decode_click(raw) for raw in raws]) == ([boot, number], clicks)


@given(st.lists(POINTS, max_size=4))
def test_points_events_read_as_they_were_written(decided: list[events.PointsEvent]) -> None:
    packed = events.encode(decided)
    assert events.decode_points(packed) == decided
    assert [events.decode_points_event(raw) for raw in events.split_points(packed)] == decided


@given(st.binary(max_size=40))
def test_bytes_that_are_no_entry_are_refused_as_bad_msgpack(payload: bytes) -> None:
    for decode in (events.decode_clicks, events.decode_points, events.split_points):
        try:
            decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        assert payload


def test_an_event_with_a_field_too_few_or_an_unknown_type_is_refused() -> None:
    facts = events.PointsFacts("award", "c", "k", b"", None, None, 1, 1, None, None)
    good = events.PointsEvent(1, 1, 0, "p:m:p", facts)
    for bad in (good[:4], good._replace(facts=facts._replace(type="gift"))):  # type: ignore[arg-type] # that is the point
        with pytest.raises(msgspec.ValidationError):
            events.decode_points(events.encode([bad]))


@pytest.mark.parametrize("unit", ["points", "stamps"])
def test_an_account_field_names_program_member_and_unit(unit: str) -> None:
    field = events.account_field("prg_1", "mem_1", unit)
    assert events.parse_account(field) == ("prg_1", "mem_1", unit)


@pytest.mark.parametrize("field", ["", "a:b", "a:b:x", "a:b:c:p", "a:b:ph"])
def test_another_field_names_no_account(field: str) -> None:
    with pytest.raises(ValueError):
        events.parse_account(field)
