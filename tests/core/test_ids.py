from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import ids
from core.errors import BadId

NOW_MS = 1_700_000_000_000
SUFFIX = "01hf7yat00e03r00010000001a"

kinds = st.sampled_from(list(ids.PREFIXES))
entropies = st.binary(min_size=ids.ENTROPY_BYTES, max_size=ids.ENTROPY_BYTES)
moments = st.integers(0, (1 << 48) - 1)
events = st.builds(
    ids.EventRef,
    partition=st.integers(0, 4095),
    generation=st.integers(0, (1 << 22) - 1),
    sequence=st.integers(0, (1 << 40) - 1),
    ms=moments,
)


def test_every_kind_has_its_own_prefix() -> None:
    assert set(ids.PREFIXES) == set(get_args(ids.Kind))
    assert len(set(ids.PREFIXES.values())) == len(ids.PREFIXES)


def test_ids_keep_their_form() -> None:
    assert ids.new("member", NOW_MS, bytes(range(10))) == "mem_01hf7yat00e02840r40m30e209"
    event = ids.EventRef(partition=7, generation=1, sequence=42, ms=NOW_MS)
    assert ids.event_id("award", event) == "awd_" + SUFFIX


@given(kinds, moments, entropies)
def test_a_new_id_is_of_its_kind_only(kind: ids.Kind, now_ms: int, entropy: bytes) -> None:
    text = ids.new(kind, now_ms, entropy)
    assert [other for other in ids.PREFIXES if ids.is_id(text, other)] == [kind]


@given(st.lists(moments, min_size=2, max_size=5, unique=True), entropies)
def test_ids_sort_by_time(times_ms: list[int], entropy: bytes) -> None:
    made = [ids.new("member", ms, entropy) for ms in sorted(times_ms)]
    assert made == sorted(made)


@given(kinds, events)
def test_an_event_id_finds_its_event(kind: ids.Kind, event: ids.EventRef) -> None:
    assert ids.parse_event_id(ids.event_id(kind, event), kind) == event


@pytest.mark.parametrize(
    "text",
    [
        "",
        "awd",
        "awd_",
        "awd_" + SUFFIX[:-1],
        "awd_" + SUFFIX + "a",
        "AWD_" + SUFFIX,
        "awd_" + SUFFIX.upper(),
        "spd_" + SUFFIX,
        "awd_" + SUFFIX[:-1] + "l",
        "awd_" + SUFFIX[:-1] + " ",
        "awd_" + SUFFIX[:-1] + "\u0661",
        "awd_-" + SUFFIX[1:],
        "awd_8" + SUFFIX[1:],  # more than 128 bits
        "awd_" + SUFFIX[:10] + "g" + SUFFIX[11:],  # another version
        "awd_" + SUFFIX[:13] + "0" + SUFFIX[14:],  # another variant
    ],
)
def test_anything_else_is_not_an_award(text: str) -> None:
    assert not ids.is_id(text, "award")
    with pytest.raises(BadId):
        ids.parse_event_id(text, "award")


@pytest.mark.parametrize(
    "event",
    [
        ids.EventRef(1 << 12, 0, 0, 0),
        ids.EventRef(0, 1 << 22, 0, 0),
        ids.EventRef(0, 0, 1 << 40, 0),
        ids.EventRef(0, 0, 0, 1 << 48),
        ids.EventRef(0, 0, -1, 0),
    ],
)
def test_an_event_that_does_not_fit_is_refused(event: ids.EventRef) -> None:
    with pytest.raises(OverflowError):
        ids.event_id("award", event)


def test_entropy_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError):
        ids.new("member", NOW_MS, b"short")


def test_link_bits_are_the_end_of_the_link_id() -> None:
    link_id = ids.new("link", NOW_MS, b"\0" * 7 + b"\xab\xcd\xef")
    assert ids.link_bits(link_id) == 0xABCDEF
    with pytest.raises(BadId):
        ids.link_bits("mem" + link_id[3:])


def test_a_member_stays_in_its_partition() -> None:
    assert ids.partition_of("prg_1", "mem_1") == 960_535_695 % 16
    assert {ids.partition_of("prg_1", f"mem_{n}") for n in range(500)} == set(range(16))


@given(st.integers(1, 2**47), entropies)
def test_ids_of_a_moment_begin_where_it_begins(ms: int, entropy: bytes) -> None:
    made = ids.new("conversion", ms, entropy)
    assert ids.first("conversion", ms) < made < ids.first("conversion", ms + 1)
    assert ids.new("conversion", ms - 1, entropy) < ids.first("conversion", ms)
