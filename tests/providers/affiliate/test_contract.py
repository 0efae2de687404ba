"""What holds for every network: its links and its postbacks."""

from __future__ import annotations

from urllib.parse import parse_qs, quote, urlsplit

import msgspec
import pytest

from core.errors import BadSetting
from core.providers.affiliate import links, table
from core.providers.affiliate.report import Postback, Problem, Report, Status
from tests.providers.affiliate.conftest import KINDS, Account, bare

DESTINATION = "https://shop.example/p/1?a=1&b=%2F+x#top-é {click_id}"
CLICK_ID = "20e72zm00000e000000tqkffxn3228xn"
STATUSES: tuple[Status, ...] = ("pending", "approved", "rejected", "settled", "reversed")
#: What each network's postbacks cannot say.
UNSAID = {
    "admitad": {"settled", "reversed"},
    "trackier": {"settled", "reversed"},
    "cuelinks": {"reversed"},
    "tune": {"settled", "reversed"},
    "impact": {"settled", "rejected"},
    "awin": {"approved", "rejected", "settled", "reversed"},
    "cj": {"rejected", "reversed"},
    "rakuten": {"rejected", "settled", "reversed"},
    "generic": set(),
}


@pytest.fixture(params=KINDS)
def account(request: pytest.FixtureRequest) -> Account:
    """Each network in turn; nothing here is asked for over the network."""
    theirs = KINDS[request.param]("http://127.0.0.1:1")
    return Account(table.make(theirs.slug, theirs.config(), theirs.credentials()), theirs)


def extended(postback: Postback, **more: str) -> Postback:
    """The postback with more in its query."""
    query = "&".join(f"{name}={quote(value)}" for name, value in more.items())
    return msgspec.structs.replace(postback, query=f"{postback.query}&{query}".lstrip("&"))


def test_the_table_is_what_is_tested() -> None:
    assert list(KINDS) == list(table.TABLE)
    assert {kind.slug for kind in KINDS.values()} == set(KINDS)


def test_a_link_brings_click_id_and_destination_along_unchanged(account: Account) -> None:
    sub_id, destination, start = account.theirs.link()
    link = account.ours.link(DESTINATION, CLICK_ID)
    query = parse_qs(urlsplit(link).query, strict_parsing=False)
    assert link.startswith(start)
    assert query[sub_id] == [CLICK_ID]
    assert query[destination] == [DESTINATION]
    assert link.isascii()
    assert not {" ", "{", "}", "#"} & set(link)


def test_a_link_names_the_campaign_that_it_is_for(account: Account) -> None:
    campaign = "https://other.example/c/9" if account.ours.slug == "impact" else "other-campaign"
    assert campaign in account.ours.link(DESTINATION, CLICK_ID, campaign)


def test_a_link_can_be_stored_with_a_place_for_the_click_id(account: Account) -> None:
    template = links.template(account.ours, DESTINATION)
    assert template.count("{click_id}") == 1
    assert template.replace("{click_id}", CLICK_ID) == account.ours.link(DESTINATION, CLICK_ID)


def test_a_postback_of_the_network_is_read(account: Account) -> None:
    postback, report = account.theirs.sample()
    assert bare(account.ours.read_postback(postback)) == report


def test_a_replayed_postback_gives_an_equal_report(account: Account) -> None:
    postback, _ = account.theirs.sample()
    first, again = account.ours.read_postback(postback), account.ours.read_postback(postback)
    assert isinstance(first, Report)
    assert first == again


def test_what_was_sent_is_kept_beside_the_report_but_no_secrets(account: Account) -> None:
    postback, _ = account.theirs.sample()
    report = account.ours.read_postback(
        extended(postback, sig="s3cret", Token="t0ken", more="kept")
    )
    assert isinstance(report, Report)
    assert report.raw["more"] == "kept"
    assert "c0ffee" in report.raw.values()
    assert not {"s3cret", "t0ken"} & set(report.raw.values())


@pytest.mark.parametrize("status", STATUSES)
def test_a_sample_says_what_was_asked_for(account: Account, status: Status) -> None:
    report = Report(
        txn_id="T-1",
        click_id=CLICK_ID,
        status=status,
        commission_minor=1234,
        currency="USD",
        sale_minor=24_680,
        sale_currency="USD",
        event_at_ms=1_787_184_000_000,
    )
    sample = account.ours.sample_postback(report)
    assert (sample is None) == (status in UNSAID[account.ours.slug])
    if sample is not None:
        read = bare(account.ours.read_postback(sample))
        assert msgspec.structs.replace(read, status_word="") == report


def test_a_status_that_nobody_knows_stays_unknown_and_keeps_its_word(account: Account) -> None:
    postback, _ = account.theirs.sample()
    ours = account.with_config(field_map={"status": "zz"}).ours
    report = bare(ours.read_postback(extended(postback, zz="Strange Word")))
    assert (report.status, report.status_word) == ("unknown", "Strange Word")


def test_the_operator_s_words_go_before_the_network_s(account: Account) -> None:
    postback, _ = account.theirs.sample()
    words = {"Strange Word": "settled", "APPROVED": "reversed"}
    ours = account.with_config(field_map={"status": "zz"}, status_map=words).ours
    assert bare(ours.read_postback(extended(postback, zz="strange word"))).status == "settled"
    assert bare(ours.read_postback(extended(postback, zz="approved"))).status == "reversed"


def test_a_postback_without_a_status_means_what_the_operator_says(account: Account) -> None:
    postback, _ = account.theirs.sample()
    account = account.with_config(field_map={"status": "zz"}, absent_status="approved")
    assert bare(account.ours.read_postback(postback)).status == "approved"


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("10.50", "INR", 1050),
        ("0", "INR", 0),
        ("1050", "JPY", 1050),
        ("1.234", "KWD", 1234),
        (".5", "USD", 50),
        ("434.99999999999994", "USD", 43_500),
        ("1.005", "USD", 100),
        ("1e2", "USD", 10_000),
        ("90071992547409.93", "XOF", None),
        ("9007199254.93", "EUR", 900_719_925_493),
    ],
)
def test_amounts_are_exact_in_the_currency_s_own_minor_units(
    account: Account, amount: str, currency: str, minor: int | None
) -> None:
    postback, _ = account.theirs.sample()
    ours = account.with_config(field_map={"commission": "zz", "currency": "yy"}).ours
    report = ours.read_postback(extended(postback, zz=amount, yy=currency))
    if minor is None:
        assert isinstance(report, Problem)
    else:
        assert bare(report).commission_minor == minor
        assert bare(report).currency == currency


@pytest.mark.parametrize(
    "amount",
    [
        *("NaN", "Infinity", "-inf", "1e30", "1,000.00", "1_000", "0x10", "\uff11\uff12"),
        *("12.3.4", "ten", "1e-400", "9" * 41, "10000000000.01"),
    ],
)
def test_what_is_no_plausible_amount_is_refused(account: Account, amount: str) -> None:
    postback, _ = account.theirs.sample()
    ours = account.with_config(field_map={"commission": "zz"}).ours
    problem = ours.read_postback(extended(postback, zz=amount))
    assert isinstance(problem, Problem)
    assert (problem.code, problem.field) == ("amount_implausible", "commission")


def test_an_amount_without_a_currency_is_refused(account: Account) -> None:
    postback, _ = account.theirs.sample()
    ours = account.with_config(field_map={"currency": "zz"}, currency=None).ours
    problem = ours.read_postback(postback)
    assert isinstance(problem, Problem)
    assert problem.code == "currency_unknown"
    assert isinstance(ours.read_postback(extended(postback, zz="₹")), Problem)


@pytest.mark.parametrize("time", ["yesterday", "1787184000000000", "1970-01-01", "2026-13-01"])
def test_a_time_that_cannot_be_is_refused(account: Account, time: str) -> None:
    postback, _ = account.theirs.sample()
    problem = account.with_config(field_map={"event_at": "zz"}).ours.read_postback(
        extended(postback, zz=time)
    )
    assert isinstance(problem, Problem)
    assert (problem.code, problem.field) == ("malformed", "event_at")


@pytest.mark.parametrize("txn_id", ["", "  ", "x" * 256, "a\x00b", "a\nb", "{txn_id}"])
def test_a_postback_needs_a_transaction_id_that_can_be_stored(
    account: Account, txn_id: str
) -> None:
    postback, _ = account.theirs.sample()
    problem = account.with_config(field_map={"txn_id": "zz"}).ours.read_postback(
        extended(postback, zz=txn_id)
    )
    assert isinstance(problem, Problem)
    assert (problem.code, problem.field) == ("malformed", "txn_id")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b'{"txn_id": "T1", "payout": "1.'),
        ("application/json", b'{"txn_id": "\xff"}'),
        ("application/json", b'["txn_id"]'),
        ("application/json", b"[" * 100_000),
        ("application/json", b'{"a":' * 50 + b"1" + b"}" * 50),
        ("", b'{"txn_id": '),
        ("application/x-www-form-urlencoded", b"txn_id=\xff"),
        ("application/x-www-form-urlencoded", b"&".join(b"a%d=1" % n for n in range(300))),
        ("multipart/form-data; boundary=x", b"--x--"),
        ("application/x-www-form-urlencoded", b"AwinTransactionPush=%7B%22transactionId%22"),
    ],
)
def test_a_body_that_cannot_be_read_is_one_clear_problem(
    account: Account, kind: str, body: bytes
) -> None:
    postback = Postback(method="POST", headers={"content-type": kind}, body=body)
    problem = account.ours.read_postback(postback)
    assert isinstance(problem, Problem)
    assert problem.code == "malformed"
    assert problem.detail


def test_a_field_with_two_values_is_a_problem(account: Account) -> None:
    postback, _ = account.theirs.sample()
    assert isinstance(account.ours.read_postback(extended(postback, zz="1")), Report)
    doubled = extended(extended(postback, zz="1"), zz="2")
    problem = account.ours.read_postback(doubled)
    assert isinstance(problem, Problem)
    assert "twice" in problem.detail


def test_json_and_forms_say_the_same_as_a_query(account: Account) -> None:
    plain = {"zt": "T1", "zc": "7.05", "zw": "approved", "currency": "USD"}
    names = {"txn_id": "zt", "commission": "zc", "status": "zw", "currency": "currency"}
    words = {"approved": "approved"}
    ours = account.with_config(field_map=names, status_map=words).ours
    asked = ours.read_postback(Postback(query="zt=T1&zc=7.05&zw=approved&currency=USD"))
    form = Postback(method="POST", body=b"zt=T1&zc=7.05&zw=approved&currency=USD")
    text = msgspec.json.encode(plain).replace(b'"7.05"', b"7.05")
    json = Postback(method="POST", headers={"content-type": "application/json"}, body=text)
    assert bare(asked).commission_minor == 705
    assert asked == ours.read_postback(form) == ours.read_postback(json)


def test_the_reply_is_the_operator_s(account: Account) -> None:
    _, report = account.theirs.sample()
    assert account.ours.reply(report) == "OK"
    ours = account.with_config(reply="{txn_id}:OK").ours
    assert ours.reply(report) == f"{report.txn_id}:OK"
    assert ours.reply(None) == ":OK"


def test_a_setting_that_nobody_knows_is_refused_by_name(account: Account) -> None:
    with pytest.raises(BadSetting, match="suprise"):
        account.with_config(suprise=1)
    with pytest.raises(BadSetting, match=r"config: .*field_map"):
        account.with_config(field_map={"colour": "x"})
    with pytest.raises(BadSetting, match="there is no such network"):
        table.make("nobody", {})


def test_credentials_do_not_show(account: Account) -> None:
    slug, secret = account.ours.slug, account.theirs.key
    made = msgspec.convert(account.theirs.credentials(), table.TABLE[slug].credentials)
    assert secret not in repr(made) + str(made) + f"{made!s}"
    bad = {**account.theirs.credentials(), "suprise": secret}
    with pytest.raises(BadSetting) as refused:
        table.make(slug, account.theirs.config(), bad)
    assert secret not in str(refused.value)
