"""What holds for every provider of payouts: one answer for each ending, one effect for each id."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from msgspec.structs import replace

from core.errors import BadSetting
from core.http import HttpRequest, HttpResponse, OutboundRefused
from core.payout_methods import Bank, Upi
from core.providers.payouts import builtin
from core.providers.payouts.protocol import News, NotFound
from core.providers.protocols import Deferred, Unknown
from core.withdrawals import News as State
from tests.providers.payouts import cashfree, razorpayx
from tests.providers.payouts.__main__ import KINDS
from tests.providers.payouts.conftest import BANK, ID, PAYOUT, UPI, Setup, make
from tests.providers.payouts.server import Fault

HANGING = Fault(is_hanging=True)
TROUBLE = [
    *(Fault(status) for status in (500, 502, 503, 504, 404, 405, 408, 409, 418, 400, 422, 299)),
    *(Fault(200, body) for body in (b"", b"<html>", b"[]", b"{}", b'{"id": 5', b"\xff\xfe")),
    Fault(302, b"", {"Location": "https://elsewhere.test/"}),
    Fault(200, is_cut=True),
    HANGING,
]
NOT_TAKEN = [Fault(401), Fault(403), Fault(429)]


def state(answer: object) -> State:
    assert isinstance(answer, News), answer
    assert answer.id == ID
    return answer.state


def test_every_provider_of_the_table_is_tested_here() -> None:
    assert list(KINDS) == list(builtin.TABLE)


@pytest.mark.parametrize("destination", [UPI, BANK], ids=["upi", "bank"])
async def test_it_is_paid_under_our_id_where_it_is_to_go(
    setup: Setup, destination: Upi | Bank
) -> None:
    payout = replace(PAYOUT, destination=destination)
    answer = await setup.pay(payout)
    assert state(answer) == "under_way"
    assert setup.theirs.effects == [ID]
    one = setup.theirs.kept[ID]
    assert (one.amount_minor, one.name) == (20_050, "Asha Verma")
    given = set(one.account.values()) - {"Asha Verma"}
    known = {"asha@okbank"} if destination is UPI else {"50100012345678", "HDFC0001234"}
    assert given == known
    assert one.mode.lower() == ("upi" if destination is UPI else "imps")
    assert isinstance(answer, News)
    assert answer.reference == one.theirs


@pytest.mark.parametrize("amount_minor", [100, 101, 110, 99_999_999, 123_456_789_012])
async def test_amounts_arrive_to_the_paisa(setup: Setup, amount_minor: int) -> None:
    payout = replace(PAYOUT, amount_minor=amount_minor)
    assert state(await setup.pay(payout)) == "under_way"
    assert setup.theirs.kept[ID].amount_minor == amount_minor
    assert state(await setup.look_up(payout)) == "under_way"


async def test_what_is_too_much_for_imps_goes_another_way(setup: Setup) -> None:
    large = replace(PAYOUT, amount_minor=50_000_001, destination=BANK)
    assert state(await setup.pay(large)) == "under_way"
    assert setup.theirs.kept[ID].mode.lower() == "neft"


@pytest.mark.parametrize("reached", ["paid", "failed", "reversed"])
async def test_what_became_of_it_is_found(setup: Setup, reached: State) -> None:
    assert await setup.look_up() == NotFound()
    assert state(await setup.pay()) == "under_way"
    assert state(await setup.look_up()) == "under_way"
    await setup.theirs.settle(ID, reached)
    reference = setup.theirs.kept[ID].theirs
    for payout in (PAYOUT, replace(PAYOUT, reference=reference)):
        found = await setup.look_up(payout)
        assert state(found) == reached
        assert isinstance(found, News)
        assert found.reference == reference
        assert bool(found.utr) == (reached in {"paid", "reversed"})
        assert found.reason == ("" if reached == "paid" else "The account is closed")


@pytest.mark.parametrize("begins", ["paid", "failed", "reversed"])
async def test_the_answer_can_be_the_end_of_it(setup: Setup, begins: State) -> None:
    setup.theirs.begins = begins
    assert state(await setup.pay()) == begins


async def test_asked_again_it_is_the_same_payout(setup: Setup) -> None:
    for _ in range(3):
        assert state(await setup.pay()) == "under_way"
    assert setup.theirs.effects == [ID]


async def test_the_id_is_good_for_one_amount_and_one_account(setup: Setup) -> None:
    assert state(await setup.pay()) == "under_way"
    more = await setup.pay(replace(PAYOUT, amount_minor=20_051))
    assert isinstance(more, News)
    assert more.amount_minor == 20_050
    await setup.pay(replace(PAYOUT, destination=BANK))
    assert setup.theirs.effects == [ID]
    assert list(setup.theirs.kept[ID].account.values()) == ["asha@okbank"]
    found = await setup.look_up(replace(PAYOUT, amount_minor=1_000))
    assert isinstance(found, News)
    # Whoever asked sees that it is another amount.
    assert found.amount_minor == 20_050


@pytest.mark.parametrize("is_taken", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("fault", TROUBLE, ids=str)
async def test_what_proves_nothing_leaves_it_open(
    setup: Setup, fault: Fault, *, is_taken: bool
) -> None:
    """Whether it came before the effect or after it: the second attempt is the last, and the money
    moves once.
    """
    setup.theirs.faults = [fault._replace(is_taken=is_taken)]
    answer = await setup.pay()
    if is_taken and isinstance(answer, News):
        # A no, after which a payout of our id was found all the same.
        assert state(answer) == "under_way"
    else:
        assert type(answer) is Unknown, answer
    assert setup.theirs.effects == [ID] * is_taken
    found = await setup.look_up()
    assert isinstance(found, News if is_taken else NotFound), found
    assert state(await setup.pay()) == "under_way"
    assert setup.theirs.effects == [ID]


@pytest.mark.parametrize("fault", NOT_TAKEN, ids=str)
async def test_what_says_that_nothing_was_done_is_put_off(setup: Setup, fault: Fault) -> None:
    setup.theirs.faults = [fault]
    assert type(await setup.pay()) is Deferred
    assert state(await setup.pay()) == "under_way"
    assert setup.theirs.effects == [ID]


async def test_a_no_is_a_no_when_nothing_is_there_under_our_id(setup: Setup) -> None:
    setup.theirs.faults = [setup.theirs.no("The account of asha@okbank is blocked")]
    answer = await setup.pay()
    assert state(answer) == "failed"
    assert isinstance(answer, News)
    assert answer.reason == "The account of … is blocked"
    assert setup.theirs.effects == []
    assert setup.theirs.asked == ["pay", "look"]


async def test_a_no_is_none_when_an_attempt_before_it_arrived(setup: Setup) -> None:
    setup.theirs.faults = [setup.theirs.no("no")._replace(is_taken=True)]
    assert state(await setup.pay()) == "under_way"


async def test_an_id_that_was_used_is_no_no_though_nothing_is_found(setup: Setup) -> None:
    setup.theirs.faults = [setup.theirs.used()]
    assert type(await setup.pay()) is Unknown
    assert setup.theirs.asked == ["pay", "look"]


async def test_a_no_is_open_while_it_cannot_be_looked_up(setup: Setup) -> None:
    for fault in (*TROUBLE, *NOT_TAKEN):
        setup.theirs.faults = [setup.theirs.no("no")]
        setup.theirs.look_faults = [fault]
        assert type(await setup.pay()) is Unknown, fault
    assert setup.theirs.effects == []


@pytest.mark.parametrize("reference", [None, "pout_00000000000000"], ids=["by_ours", "by_theirs"])
async def test_that_there_is_none_needs_a_clear_word(setup: Setup, reference: str | None) -> None:
    await setup.pay()
    no_page = [Fault(404, body) for body in (b"{}", b'{"message": "Not Found"}')]
    for fault in (*TROUBLE, *NOT_TAKEN, *no_page):
        setup.theirs.look_faults = [fault]
        assert type(await setup.look_up(replace(PAYOUT, reference=reference))) is Unknown, fault


async def test_an_answer_about_another_payout_is_none(setup: Setup) -> None:
    await setup.pay()
    other = msgspec.structs.replace(setup.theirs.kept[ID], id="wdr_2", state="paid")
    setup.theirs.look_faults = [Fault(200, setup.theirs.listed([other]))]
    assert type(await setup.look_up()) is Unknown
    theirs = replace(PAYOUT, reference=other.theirs)
    setup.theirs.look_faults = [Fault(200, msgspec.json.encode(setup.theirs.wire(other)))]
    assert type(await setup.look_up(theirs)) is Unknown
    setup.theirs.faults = [Fault(200, msgspec.json.encode(setup.theirs.wire(other)))]
    assert type(await setup.pay()) is Unknown


@pytest.mark.parametrize("setup", ["razorpayx"], indirect=True)
async def test_two_payouts_of_one_id_are_for_people_to_look_at(setup: Setup) -> None:
    await setup.pay()
    one = setup.theirs.kept[ID]
    setup.theirs.look_faults = [Fault(200, setup.theirs.listed([one, one]))]
    assert type(await setup.look_up()) is Unknown


async def test_a_status_that_is_not_known_ends_nothing(setup: Setup) -> None:
    await setup.pay()
    odd = {**setup.theirs.wire(setup.theirs.kept[ID]), "status": "on_hold"}
    setup.theirs.faults = [Fault(200, msgspec.json.encode(odd))]
    assert state(await setup.pay()) == "under_way"


async def test_wrong_keys_are_our_fault(setup: Setup) -> None:
    wrong = setup.with_section(setup.theirs.wrong())
    assert type(await wrong.pay()) is Deferred
    assert type(await wrong.look_up()) is Unknown
    assert setup.theirs.effects == []


@pytest.mark.parametrize("setup", ["razorpayx"], indirect=True)
async def test_wrong_keys_are_our_fault_when_it_calls_them_a_bad_request(setup: Setup) -> None:
    assert isinstance(setup.theirs, razorpayx.RazorpayX)
    setup.theirs.keys_status = 400
    assert type(await setup.with_section(setup.theirs.wrong()).pay()) is Deferred


@pytest.mark.parametrize("setup", ["cashfree-payouts"], indirect=True)
async def test_an_account_without_money_is_our_fault(setup: Setup) -> None:
    said = cashfree.error("insufficient_balance", "Not enough available balance in the account")
    setup.theirs.faults = [Fault(422, msgspec.json.encode(said))]
    assert type(await setup.pay()) is Deferred


async def test_it_is_left_alone_for_as_long_as_it_asks(setup: Setup) -> None:
    later = formatdate(time.time() + 600, usegmt=True)
    for text, least, most in (("700", 700, 700), (later, 590, 600), ("soon", 0, 0)):
        setup.theirs.faults = [Fault(429, headers={"Retry-After": text})]
        answer = await setup.pay()
        assert isinstance(answer, Deferred)
        assert least <= answer.retry_after_s <= most


async def test_a_server_that_is_away_got_nothing(setup: Setup) -> None:
    away = setup.with_section({**setup.theirs.config(), "base": "http://127.0.0.1:1"})
    assert type(await away.pay()) is Deferred
    assert type(await away.look_up()) is Unknown


async def test_it_goes_nowhere_that_the_guard_forbids(setup: Setup) -> None:
    asked: list[HttpRequest] = []

    async def refuse(request: HttpRequest) -> HttpResponse:
        asked.append(request)
        raise OutboundRefused("no")

    assert type(await setup.ours.pay(refuse, PAYOUT)) is Deferred
    assert len(asked) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"currency": "EUR"},
        {"amount_minor": 99},
        {"destination": Upi(vpa="asha@okbank", name="आशा")},
    ],
    ids=str,
)
async def test_what_it_cannot_pay_is_not_asked_for(setup: Setup, changes: dict[str, Any]) -> None:
    answer = await setup.pay(replace(PAYOUT, **changes))
    assert state(answer) == "failed"
    assert setup.theirs.asked == []


@pytest.mark.parametrize(
    ("name", "written"),
    [("Zoë  Müller", "Zoe Muller"), ("Ana\tde*Souza", "Ana de Souza"), ("Ana " * 40, "Ana " * 12)],
)
async def test_names_are_written_as_banks_write_them(setup: Setup, name: str, written: str) -> None:
    await setup.pay(replace(PAYOUT, destination=Bank(
        account_number="50100012345678", ifsc="HDFC0001234", name=name
    )))  # fmt: skip
    assert setup.theirs.kept[ID].name.startswith(written.strip())


@pytest.mark.parametrize("status", [400, 401, 422, 429, 500])
async def test_a_reason_repeats_neither_secrets_nor_accounts(setup: Setup, status: int) -> None:
    words = "asha@okbank 50100012345678 5010 0012 3456 78 HDFC0001234"
    secrets = " ".join(str(value) for value in setup.theirs.config().values())
    error = {"code": "BAD", "description": words, "message": words, "reason": secrets}
    body = msgspec.json.encode({**error, "error": error})
    setup.theirs.faults = [Fault(status, body)]
    answer = await setup.pay(replace(PAYOUT, destination=BANK))
    assert not isinstance(answer, NotFound)
    for private in (*words.split(), razorpayx.KEY[1], cashfree.CLIENT[1]):
        assert private not in answer.reason


async def test_secrets_do_not_show(setup: Setup) -> None:
    kind = builtin.TABLE[setup.theirs.slug]
    config = msgspec.convert(setup.theirs.config(), kind.config)
    for secret in (razorpayx.KEY[1], cashfree.CLIENT[1], *razorpayx.WEBHOOK_SECRETS):
        assert secret not in repr(config)
    assert "asha" not in repr(PAYOUT)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


@pytest.mark.parametrize("setup", ["cashfree-payouts"], indirect=True)
async def test_with_the_public_key_calls_may_come_from_any_address(setup: Setup) -> None:
    assert isinstance(setup.theirs, cashfree.Cashfree)
    setup.theirs.private_key = rsa.generate_private_key(65_537, 2_048)
    now_s = int(time.time())
    payout = replace(PAYOUT, at_s=now_s)
    assert isinstance(await setup.pay(payout), Deferred)
    key = pem(setup.theirs.private_key)
    signing = setup.with_section({**setup.theirs.config(), "public_key": key})
    assert isinstance(await signing.pay(replace(payout, at_s=now_s - 3_600)), Deferred)
    assert setup.theirs.effects == []
    assert state(await signing.pay(payout)) == "under_way"
    assert state(await signing.look_up(payout)) == "under_way"
    other = rsa.generate_private_key(65_537, 2_048)
    wrong = setup.with_section({**setup.theirs.config(), "public_key": pem(other)})
    assert isinstance(await wrong.look_up(payout), Unknown)


@pytest.mark.parametrize("key", ["nonsense", pem(ec.generate_private_key(ec.SECP256R1()))])
def test_a_public_key_that_is_none_is_named(key: str) -> None:
    section = {**cashfree.Cashfree("http://127.0.0.1:1").config(), "public_key": key}
    with pytest.raises(BadSetting, match=r"^payouts.cashfree-payouts: public_key"):
        make("cashfree-payouts", section)
