"""The generic network: the trackers' names, the operator's own, and signatures."""

from __future__ import annotations

import hashlib
import hmac

import msgspec
import pytest

from core.errors import BadSetting, InvalidDestination
from core.providers.affiliate import table
from core.providers.affiliate.protocol import AffiliateNetwork
from core.providers.affiliate.report import Postback, Problem, Report

KEY = "a-key-of-the-network"
QUERY = "txid=T1&payout=1.50&currency=USD&status=sale&sub_id=c0ffee"


def make(credentials: dict[str, str] | None = None, **config: object) -> AffiliateNetwork:
    return table.make("generic", config, credentials)


def code(message: str | bytes, key: str = KEY, algorithm: str = "sha256") -> str:
    text = message.encode() if isinstance(message, str) else message
    return hmac.new(key.encode(), text, getattr(hashlib, algorithm)).hexdigest()


def is_read(network: AffiliateNetwork, postback: Postback) -> bool:
    found = network.read_postback(postback)
    if isinstance(found, Report):
        return True
    assert found.code == "bad_signature"
    return False


@pytest.mark.parametrize(
    "name",
    [
        *("click_id", "cid", "clickid", "subid", "transaction_id", "aff_sub", "clickref"),
        *("sub_id", "p1", "u1", "sid", "CLICKID"),
    ],
)
def test_the_click_id_comes_by_any_of_its_names(name: str) -> None:
    report = make().read_postback(Postback(query=f"{name}=c0ffee&txid=T1"))
    assert isinstance(report, Report)
    assert report.click_id == "c0ffee"


@pytest.mark.parametrize(
    "name", ["txid", "tid", "txn_id", "transaction", "order_id", "oid", "action_id"]
)
def test_the_transaction_id_comes_by_any_of_its_names(name: str) -> None:
    report = make().read_postback(Postback(query=f"{name}=T1"))
    assert isinstance(report, Report)
    assert (report.txn_id, report.click_id, report.status) == ("T1", None, "pending")


@pytest.mark.parametrize("name", ["payout", "revenue", "sum", "commission"])
@pytest.mark.parametrize("sale", ["amount", "sale_amount", "order_sum"])
def test_the_amounts_come_by_any_of_their_names(name: str, sale: str) -> None:
    query = f"txid=T1&{name}=1.25&{sale}=25&currency=eur"
    report = make().read_postback(Postback(query=query))
    assert isinstance(report, Report)
    assert (report.commission_minor, report.sale_minor, report.currency) == (125, 2500, "EUR")


def test_a_macro_that_was_not_filled_in_counts_as_nothing() -> None:
    query = (
        "click_id={clickid}&subid=c0ffee&txid=T1&status=%5B%5B%5Bstatus%5D%5D%5D&goal=!!!goal!!!"
    )
    report = make().read_postback(Postback(query=query))
    assert isinstance(report, Report)
    assert (report.click_id, report.status, report.event) == ("c0ffee", "pending", "")


def test_the_operator_s_names_replace_ours() -> None:
    network = make(field_map={"click_id": "data.sub", "txn_id": "data.id"}, currency="INR")
    body = b'{"data": {"sub": "c0ffee", "id": 77}, "click_id": "other", "payout": 7.10}'
    report = network.read_postback(
        Postback(method="POST", headers={"content-type": "application/json"}, body=body)
    )
    assert isinstance(report, Report)
    assert (report.click_id, report.txn_id, report.commission_minor) == ("c0ffee", "77", 710)


@pytest.mark.parametrize("status", ["reversed", "chargeback", "rejected"])
def test_an_amount_below_zero_may_only_say_what_the_status_says(status: str) -> None:
    query = "txid=T1&payout=-1.50&currency=USD&status="
    report = make().read_postback(Postback(query=query + status))
    assert isinstance(report, Report)
    assert report.commission_minor == 150
    problem = make().read_postback(Postback(query=query + "approved"))
    assert isinstance(problem, Problem)
    assert (problem.code, problem.field) == ("amount_implausible", "commission")


def test_an_account_without_a_template_makes_no_links() -> None:
    with pytest.raises(InvalidDestination):
        make().link("https://shop.example/", "c0ffee")
    with pytest.raises(BadSetting, match=r"\$\.link"):
        make(link="https://go.example/?to={destination}")


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_signed_query_is_read_and_any_change_is_refused(algorithm: str) -> None:
    network = make({"secret": KEY}, signature={"name": "s", "algorithm": algorithm})
    good = code(QUERY, algorithm=algorithm)
    assert is_read(network, Postback(query=f"{QUERY}&s={good}"))
    assert is_read(network, Postback(query=f"s={good.upper()}&{QUERY}"))
    assert is_read(network, Postback(query=f"{QUERY}&s={algorithm}={good}"))
    for bad in (
        QUERY,
        f"{QUERY}&s=",
        f"{QUERY}&s={good[:-1]}",
        f"{QUERY}&s={good}&s={good}",
        f"{QUERY}&more=1&s={good}",
        f"{QUERY.replace('1.50', '9.50')}&s={good}",
        f"{QUERY}&s={code(QUERY, 'another-key-of-16', algorithm)}",
        f"{QUERY}&s=%C3%A9{good}",
        f"{QUERY}&s=é{good[1:]}",
    ):
        assert not is_read(network, Postback(query=bad)), bad


def test_query_and_body_are_signed_together() -> None:
    network = make({"secret": KEY}, signature={})
    query, body = "txid=T1", b"payout=1&currency=USD"
    good = code(query.encode() + b"\n" + body)
    assert is_read(network, Postback(method="POST", query=f"{query}&sig={good}", body=body))
    for moved, rest in ((f"{query}&payout=1", b"currency=USD"), (query, b""), (query, body + b"0")):
        bad = Postback(method="POST", query=f"{moved}&sig={good}", body=rest)
        assert not is_read(network, bad)


def test_with_a_signature_in_a_header_only_what_is_signed_is_read() -> None:
    network = make({"secret": KEY}, signature={"place": "header", "name": "X-Sig"})
    body = b'{"txid": "T1", "payout": 1.5, "currency": "USD"}'
    headers = {"content-type": "application/json", "x-sig": code(body)}
    signed = Postback(method="POST", headers=headers, body=body)
    report = network.read_postback(msgspec.structs.replace(signed, query="status=sale&click_id=x"))
    assert isinstance(report, Report)
    assert (report.click_id, report.status) == (None, "pending")
    assert not is_read(network, msgspec.structs.replace(signed, body=body + b" "))
    assert is_read(network, Postback(query=QUERY, headers={"x-sig": code(QUERY)}))
    assert not is_read(network, Postback(query=QUERY))


def test_the_old_key_is_taken_while_there_is_one() -> None:
    old = {"secret": "a-new-key-of-the-network", "previous_secret": KEY}
    signed = Postback(query=f"{QUERY}&sig={code(QUERY)}")
    assert is_read(make(old, signature={}), signed)
    del old["previous_secret"]
    assert not is_read(make(old, signature={}), signed)


def test_without_a_key_nothing_that_must_be_signed_is_read() -> None:
    empty = Postback(query=f"{QUERY}&sig={hmac.new(b'', QUERY.encode(), 'sha256').hexdigest()}")
    assert not is_read(make(None, signature={}), empty)
    with pytest.raises(BadSetting, match="secret"):
        make({"secret": ""}, signature={})


@pytest.mark.parametrize("place", ["query", "header"])
def test_a_sample_is_signed(place: str) -> None:
    network = make({"secret": KEY}, signature={"place": place})
    report = Report(txn_id="T1", status="approved", commission_minor=5, currency="USD")
    sample = network.sample_postback(report)
    assert sample is not None
    assert is_read(network, sample)
    assert not is_read(network, msgspec.structs.replace(sample, query=sample.query + "&a=1"))
