"""Whatever comes to the address of a postback is a report that can be stored, or a problem."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.providers.affiliate import table
from core.providers.affiliate.protocol import AffiliateNetwork
from core.providers.affiliate.report import Postback, Problem, Report
from tests.providers.affiliate.conftest import KINDS

OURS = {slug: table.make(slug, kind("http://127.0.0.1:1").config()) for slug, kind in KINDS.items()}
SIGNED = table.make("generic", {"signature": {}}, {"secret": "a-key-of-the-network"})
NAMES = [
    *("txid", "admitad_id", "txn_id", "id", "transaction_id", "ActionId", "transactionId"),
    *("originalActionId", "etransaction_id", "payout", "commission", "currency", "status"),
    *("subid4", "p1", "aff_sub", "time", "sig", "AwinTransactionPush", "correctionId"),
]
# As aiohttp hands them on: bytes that are no UTF-8 are lone surrogates.
RAW = st.binary(max_size=40).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
VALUES = st.one_of(
    RAW,
    st.sampled_from(
        ["T1", "1.50", "-1", "INR", "approved", "1787184000", "%00", "%ED%A0%80", "{x}"]
    ),
)
QUERIES = st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=8).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=5)
    ),
    max_leaves=15,
)
BODIES = st.one_of(
    st.binary(max_size=200),
    JSON.map(msgspec.json.encode),
    st.sampled_from([b'{"txid": "\\ud800"}', b'{"txid": "\\u0000"}', b'{"txid": 1e999}']),
    st.integers(min_value=10**20).map(lambda number: b'{"txid": %d}' % number),
    st.just(b'{"txid": ' + b"9" * 5000 + b"}"),
)
KIND_OF_BODY = ["", "application/json", "text/plain", "application/x-www-form-urlencoded", "a/b"]


def check(network: AffiliateNetwork, postback: Postback) -> None:
    found = network.read_postback(postback)
    assert isinstance(found, Report | Problem)
    assert found == network.read_postback(postback)
    stored = msgspec.to_builtins(found)
    for text in texts(stored):
        assert "\0" not in text
        text.encode()
    if isinstance(found, Report):
        assert found.txn_id
        amounts = [found.commission_minor, found.sale_minor]
        assert found.correction_id or all(amount is None or amount >= 0 for amount in amounts)
        network.reply(found)


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in (*value, *value.values()) for text in texts(inner)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("slug", [*KINDS, "signed"])
@given(query=QUERIES, kind=st.sampled_from(KIND_OF_BODY), body=BODIES)
def test_anything_is_a_report_or_a_problem(slug: str, query: str, kind: str, body: bytes) -> None:
    network = SIGNED if slug == "signed" else OURS[slug]
    check(network, Postback(query=query))
    check(network, Postback(method="POST", query=query, headers={"content-type": kind}, body=body))
