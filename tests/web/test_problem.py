from __future__ import annotations

import datetime as dt
import json
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from core import errors
from core.errors import InvalidJson, InvalidRequest
from web import problem


class Item(msgspec.Struct, forbid_unknown_fields=True):
    member: str
    amount: Annotated[int, msgspec.Meta(gt=0, le=2**53)]
    kind: Literal["points", "stamps"] = "points"


class Batch(msgspec.Struct, forbid_unknown_fields=True):
    awards: list[Item]
    notes: dict[str, str] = {}


class Page(msgspec.Struct, forbid_unknown_fields=True):
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    cursor: str | None = None


class Since(msgspec.Struct):
    since: dt.datetime | None = msgspec.field(default=None, name="from")


item = msgspec.json.Decoder(Item)
batch = msgspec.json.Decoder(Batch)
anything = msgspec.json.Decoder(Any)

NOT_JSON = {
    "nothing": b"",
    "cut off": b'{"member":"a"',
    "a word": b"nul",
    "two values": b'{"member":"a","amount":1}{}',
    "a byte order mark": b'\xef\xbb\xbf{"member":"a","amount":1}',
    "bytes that are not UTF-8": b'{"member":"\xff","amount":1}',
    "a surrogate as UTF-8": b'{"member":"\xed\xa0\x80","amount":1}',
    "a lone surrogate": b'{"member":"\\ud800","amount":1}',
    "a raw NUL": b'{"member":"a\x00","amount":1}',
    "NaN": b'{"member":"a","amount":NaN}',
    "Infinity": b'{"member":"a","amount":Infinity}',
    "a leading zero": b'{"member":"a","amount":01}',
    "arrays nested deeply": b"[" * 100_000,
    "objects nested deeply": b'{"x":' * 100_000,
    "a deep value of the wrong type": b'{"member":' + b"[" * 100_000,
    "a key twice": b'{"member":"a","amount":1,"amount":2}',
    "a key twice, once escaped": b'{"member":"a","amount":1,"am\\u006funt":2}',
    "a form": b"member=a&amount=1",
}

WRONG_SHAPE = {
    "null": (b"null", ""),
    "an array": (b"[]", ""),
    "a missing field": (b'{"member":"a"}', ""),
    "an unknown field": (b'{"member":"a","amount":1,"x":1}', ""),
    "a text for a number": (b'{"member":"a","amount":"1"}', "/amount"),
    "a fraction": (b'{"member":"a","amount":1.5}', "/amount"),
    "a number with a point": (b'{"member":"a","amount":1.0}', "/amount"),
    "2^70": (b'{"member":"a","amount":1180591620717411303424}', "/amount"),
    "a number of 5,000 digits": (b'{"member":"a","amount":' + b"9" * 5000 + b"}", "/amount"),
    "1e400": (b'{"member":"a","amount":1e400}', "/amount"),
    "less than nothing": (b'{"member":"a","amount":-1}', "/amount"),
    "true for a number": (b'{"member":"a","amount":true}', "/amount"),
    "another kind": (b'{"member":"a","amount":1,"kind":"money"}', "/kind"),
}


@pytest.mark.parametrize("end", [b"", b"]" * 100_000], ids=["cut off", "whole"])
def test_a_body_of_any_type_is_not_nested_deeply_either(end: bytes) -> None:
    """Where nothing says that no array may stand here, the reader goes down until it ends."""
    body = b"[" * 100_000 + end
    with pytest.raises(InvalidJson, match="nested too deeply"):
        problem.decode(anything, body)
    with pytest.raises(InvalidJson, match="nested too deeply"):
        problem.decode(msgspec.json.Decoder(dict[str, Any]), b'{"x":' + body + b"}")


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidJson):
        problem.decode(item, body)


@pytest.mark.parametrize(("body", "pointer"), WRONG_SHAPE.values(), ids=WRONG_SHAPE)
def test_the_wrong_shape_is_refused_and_pointed_at(body: bytes, pointer: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        problem.decode(item, body)
    assert caught.value.errors is not None
    assert caught.value.errors[0]["pointer"] == pointer


def test_the_pointer_leads_into_arrays_and_stops_at_a_dictionary() -> None:
    with pytest.raises(InvalidRequest) as caught:
        problem.decode(batch, b'{"awards":[{"member":"a","amount":1},{"member":1,"amount":1}]}')
    assert caught.value.errors == [
        {"detail": "Expected `str`, got `int`", "pointer": "/awards/1/member"}
    ]
    with pytest.raises(InvalidRequest) as caught:
        problem.decode(batch, b'{"awards":[],"notes":{"a":1}}')
    assert caught.value.errors == [{"detail": "Expected `str`, got `int`", "pointer": "/notes"}]


@pytest.mark.parametrize(
    "body",
    [
        b'{"awards":[],"notes":{"a":"x\\u0000"}}',
        b'{"awards":[],"notes":{"\\u0000":"x"}}',
        b'{"awards":[{"member":"\\u0000","amount":1}]}',
    ],
)
def test_a_text_that_postgresql_cannot_store_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"U\+0000"):
        problem.decode(batch, body)


def test_an_escaped_backslash_before_u0000_is_only_text() -> None:
    assert problem.decode(item, rb'{"member":"\\u0000","amount":1}').member == r"\u0000"


def test_a_key_twice_is_found_in_nested_objects() -> None:
    with pytest.raises(InvalidJson, match="twice"):
        problem.decode(batch, b'{"awards":[],"notes":{"a":"1","a":"2"}}')
    repeated = b'{"awards":[{"member":"a","amount":1},{"member":"a","amount":1}]}'
    assert len(problem.decode(batch, repeated).awards) == 2


def test_a_value_may_equal_a_key() -> None:
    assert problem.decode(item, b'{"member":"amount","amount":7}').amount == 7


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(values, st.booleans())
def test_every_json_text_without_nul_is_decoded_as_it_is(value: Any, escape: bool) -> None:  # noqa: FBT001
    body = json.dumps(value, ensure_ascii=escape).encode()
    if "\\u0000" in json.dumps(value).replace("\\\\", ""):
        with pytest.raises(InvalidRequest):
            problem.decode(anything, body)
    else:
        assert problem.decode(anything, body) == value


@given(st.dictionaries(st.text(), st.integers(0, 9), min_size=1), st.booleans())
def test_every_repeated_key_is_found(members: dict[str, int], escape: bool) -> None:  # noqa: FBT001
    pairs = [*members.items(), next(iter(members.items()))]
    texts = [f"{json.dumps(key, ensure_ascii=escape)}:{value}" for key, value in pairs]
    with pytest.raises(InvalidJson):
        problem.decode(anything, f"{{{','.join(texts)}}}".encode())


def test_query_parameters_become_a_struct() -> None:
    assert problem.decode_query(Page, MultiDict({"limit": "5", "cursor": "x"})) == Page(5, "x")
    assert problem.decode_query(Page, MultiDict()) == Page()


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        (MultiDict({"limit": "0"}), "limit"),
        (MultiDict({"limit": "five"}), "limit"),
        (MultiDict({"limit": str(2**70)}), "limit"),
    ],
)
def test_a_bad_query_parameter_is_named(query: MultiDict[str], parameter: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        problem.decode_query(Page, query)
    assert caught.value.errors is not None
    assert caught.value.errors[0]["parameter"] == parameter


@pytest.mark.parametrize("text", ["-468", "1700000000", "1e9", "2020-01-01"])
def test_a_number_is_no_moment(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        problem.decode_query(Since, MultiDict({"from": text}))
    assert caught.value.errors is not None
    assert caught.value.errors[0]["parameter"] == "from"


def test_a_moment_is_one() -> None:
    found = problem.decode_query(Since, MultiDict({"from": "2020-01-01T00:00:00Z"}))
    assert found.since == dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "query", [MultiDict([("limit", "1"), ("limit", "2")]), MultiDict({"cursor": "\x00"})]
)
def test_a_doubtful_query_is_refused(query: MultiDict[str]) -> None:
    with pytest.raises(InvalidRequest):
        problem.decode_query(Page, query)


def test_a_problem_says_what_its_error_says() -> None:
    error = InvalidRequest("No.", errors=[{"detail": "No.", "pointer": "/a"}])
    answer = problem.problem(error, "r-1")
    assert answer.status == 422
    assert answer.content_type == "application/problem+json"
    assert answer.headers["Request-Id"] == "r-1"
    assert isinstance(answer.body, bytes)
    assert json.loads(answer.body) == {
        "type": "urn:stampgate:error:invalid_request",
        "title": "Invalid request",
        "status": 422,
        "code": "invalid_request",
        "detail": "No.",
        "errors": [{"detail": "No.", "pointer": "/a"}],
    }


def test_a_problem_carries_the_headers_that_its_status_asks_for() -> None:
    assert problem.problem(errors.Unavailable(retry_after_s=3)).headers["Retry-After"] == "3"
    allow = problem.problem(errors.MethodNotAllowed(["PUT", "GET"])).headers["Allow"]
    assert allow == "GET, PUT"
    assert problem.problem(errors.TokenExpired()).headers["WWW-Authenticate"] == "Bearer"


def test_a_reply_is_json() -> None:
    answer = problem.reply(Item("a", 1), 201, {"Location": "/x"})
    assert answer.status == 201
    assert answer.body == b'{"member":"a","amount":1,"kind":"points"}'
    assert answer.headers["Location"] == "/x"
