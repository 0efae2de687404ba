"""What a client has is not sent again, and large answers are sent smaller."""

from __future__ import annotations

import pytest

from web import representations

TAG = representations.tag_of(b"body")


def test_a_tag_is_weak_and_names_the_content() -> None:
    assert TAG.startswith('W/"')
    assert representations.tag_of(b"body") == TAG
    assert representations.tag_of(b"other") != TAG


@pytest.mark.parametrize(
    ("values", "is_match"),
    [
        ([], False),
        ([""], False),
        ([TAG], True),
        ([TAG.removeprefix("W/")], True),
        (['"other"'], False),
        ([f'"other", {TAG}'], True),
        (['"other"', TAG], True),
        (['"a,b", "c"', TAG], True),
        (["*"], True),
        (["* "], True),
        ([f"*, {TAG}"], True),
        ([TAG.removeprefix('W/"').removesuffix('"')], False),
        ([f"W/{TAG}"], True),
    ],
)
def test_if_none_match_is_compared_weakly(values: list[str], is_match: bool) -> None:  # noqa: FBT001
    assert representations.matches(values, TAG) is is_match


@pytest.mark.parametrize(
    ("values", "coding"),
    [
        ([], None),
        ([""], None),
        (["gzip"], "gzip"),
        (["x-gzip"], "gzip"),
        (["br"], "br"),
        (["gzip, deflate, br"], "br"),
        (["gzip", "br"], "br"),
        (["GZIP"], "gzip"),
        (["br;q=0.5, gzip;q=0.8"], "gzip"),
        (["br;q=0, gzip"], "gzip"),
        (["br;q=0, gzip;q=0"], None),
        (["*"], "br"),
        (["*, br;q=0"], "gzip"),
        (["*;q=0"], None),
        (["identity"], None),
        (["identity;q=1, gzip;q=0.5"], None),
        (["identity;q=0.5, gzip"], "gzip"),
        (["deflate, zstd"], None),
        (["gzip;q=2"], None),
        (["gzip;level=9"], None),
        (["a," * 5_000 + "br"], None),
    ],
)
def test_the_coding_is_the_one_that_is_liked_best(values: list[str], coding: str | None) -> None:
    assert representations.accepted(values) == coding
