"""What holds for the calls of every provider of payouts: who made them, and what they say."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import socket
import time
from collections.abc import AsyncIterator

import msgspec
import pytest
from aiohttp import web
from msgspec.structs import replace

from core.errors import BadReply, BadSetting, BadSignature
from core.providers.payouts import builtin
from core.providers.payouts.protocol import News
from core.withdrawals import News as State
from tests.providers.payouts import cashfree, razorpayx
from tests.providers.payouts.conftest import ID, PAYOUT, Setup, make

STATES: tuple[State, ...] = ("under_way", "paid", "failed", "reversed")
Headers = dict[str, str]
Heard = list[tuple[Headers, bytes]]

# Made with `openssl dgst -sha256 -hmac a-secret-of-webhooks`.
VECTOR = (
    b'{"entity":"event","event":"payout.processed","payload":{"payout":{"entity":'
    b'{"id":"pout_1","reference_id":"wdr_1","status":"processed","utr":"523223155921"}}}}'
)
VECTOR_SIGNATURE = "d9e411219ef2a6b6acc59fe3b87304f2c421334bc9098af38a5477a4d25a97d1"


@contextlib.asynccontextmanager
async def listening(
    heard: Heard, statuses: list[int], first: asyncio.Event | None = None
) -> AsyncIterator[str]:
    """Somebody who hears calls, and answers with these statuses, then with 200; `first` is set with
    the first call.
    """

    async def hear(request: web.Request) -> web.Response:
        heard.append((dict(request.headers), await request.read()))
        if first is not None:
            first.set()
        return web.Response(status=statuses.pop(0) if statuses else 200)

    sock = socket.create_server(("127.0.0.1", 0))
    app = web.Application()
    app.add_routes([web.post("/hear", hear)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, sock).start()
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}/hear"
    finally:
        await runner.cleanup()


async def call(setup: Setup, state: State = "paid") -> tuple[Headers, bytes]:
    """What the provider says of a payout that reached the state."""
    assert isinstance(await setup.pay(), News)
    setup.theirs.become(setup.theirs.kept[ID], state)
    return setup.theirs.call(setup.theirs.kept[ID], 1)


def signed(setup: Setup, body: bytes, secret: str = "", moment: str = "") -> Headers:
    """Headers for any body, as the provider signs."""
    if setup.theirs.slug == "razorpayx":
        key = (secret or razorpayx.WEBHOOK_SECRETS[0]).encode()
        made = hmac.new(key, body, hashlib.sha256).hexdigest()
        return {"x-razorpay-signature": made, "x-razorpay-event-id": "evt_1"}
    moment = moment or str(int(time.time() * 1000))
    key = (secret or cashfree.CLIENT[1]).encode()
    digest = hmac.new(key, moment.encode() + body, hashlib.sha256).digest()
    made = base64.b64encode(digest).decode()
    return {"x-webhook-signature": made, "x-webhook-timestamp": moment}


def signature_name(setup: Setup) -> str:
    return "x-razorpay-signature" if setup.theirs.slug == "razorpayx" else "x-webhook-signature"


@pytest.mark.parametrize("state", STATES)
async def test_every_change_is_heard_over_the_wire(setup: Setup, state: State) -> None:
    await setup.pay()
    heard: Heard = []
    async with listening(heard, [500, 302]) as url:
        setup.theirs.hears = url
        await setup.theirs.settle(ID, state)
    events = [setup.read(headers, body) for headers, body in heard]
    assert len(events) == 3
    assert len({event.id for event in events}) == 1
    one, news = setup.theirs.kept[ID], events[0].news
    reason = "The account is closed" if state in {"failed", "reversed"} else ""
    assert news is not None
    assert news.amount_minor == one.amount_minor
    assert bare(news) == News(id=ID, state=state, reference=one.theirs, utr=one.utr, reason=reason)


def bare(news: News) -> News:
    """Without the money."""
    return replace(news, amount_minor=None, currency=None)


async def test_it_can_be_played(setup: Setup) -> None:
    heard: Heard = []
    first = asyncio.Event()
    async with listening(heard, [], first) as url:
        setup.theirs.hears = url
        playing = asyncio.create_task(setup.theirs.play("paid", 0.01))
        await setup.pay()
        async with asyncio.timeout(5):
            await first.wait()
        playing.cancel()
    assert setup.read(*heard[0]).news is not None
    assert len(heard) == 1


async def test_two_changes_are_two_events(setup: Setup) -> None:
    await setup.pay()
    one = setup.theirs.kept[ID]
    first = setup.read(*setup.theirs.call(one, 1))
    setup.theirs.become(one, "paid")
    assert setup.read(*setup.theirs.call(one, 2)).id != first.id


@pytest.mark.parametrize("state", STATES)
async def test_a_sample_is_read_as_what_it_says(setup: Setup, state: State) -> None:
    reason = "closed" if state in {"failed", "reversed"} else ""
    news = News(id=ID, state=state, reference="77", utr="U1", reason=reason)
    sample = setup.ours.sample(PAYOUT, news, "evt_7", int(time.time()))
    event = setup.read(dict(sample.headers), sample.body)
    assert event.news is not None
    assert event.news.amount_minor == PAYOUT.amount_minor
    assert bare(event.news) == news
    again = setup.ours.sample(PAYOUT, news, "evt_8", int(time.time()))
    assert setup.read(dict(again.headers), again.body).id != event.id


async def test_any_change_of_the_bytes_is_noticed(setup: Setup) -> None:
    headers, body = await call(setup)
    for place in range(0, len(body), 7):
        changed = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        with pytest.raises(BadSignature):
            setup.read(headers, changed)
    for other in (body[:-1], body + b" ", b"", body.replace(b"paid", b"PAID") + b"\n"):
        with pytest.raises(BadSignature):
            setup.read(headers, other)


@pytest.mark.parametrize(
    "given", ["", "00", "AAAA", "é", "\udcff", "0" * 64, "=" * 44, base64.b64encode(bytes(32))]
)
async def test_a_bad_signature_is_refused(setup: Setup, given: str | bytes) -> None:
    headers, body = await call(setup)
    text = given if isinstance(given, str) else given.decode()
    with pytest.raises(BadSignature):
        setup.read({**without(headers, signature_name(setup)), signature_name(setup): text}, body)
    with pytest.raises(BadSignature):
        setup.read(without(headers, signature_name(setup)), body)


def without(headers: Headers, name: str) -> Headers:
    return {key: value for key, value in headers.items() if key.lower() != name}


async def test_a_secret_is_good_until_it_is_taken_away(setup: Setup) -> None:
    _, body = await call(setup)
    is_razorpayx = setup.theirs.slug == "razorpayx"
    before = razorpayx.WEBHOOK_SECRETS[1] if is_razorpayx else cashfree.PREVIOUS
    headers = signed(setup, body, before)
    assert setup.read(headers, body).news is not None
    section = setup.theirs.config()
    name = "webhook_secrets" if is_razorpayx else "previous_secrets"
    section[name] = section[name][:1] if is_razorpayx else []
    with pytest.raises(BadSignature):
        setup.with_section(section).read(headers, body)
    with pytest.raises(BadSignature):
        setup.read(signed(setup, body, "nobody's secret"), body)


@pytest.mark.parametrize("ahead_s", [-1, 1])
async def test_a_call_of_another_time_is_refused(setup: Setup, ahead_s: int) -> None:
    days = {"razorpayx": 8, "cashfree-payouts": 3}[setup.theirs.slug]
    headers, body = await call(setup)
    assert setup.read(headers, body, ahead_s * (days * 86_400 - 60)).news is not None
    with pytest.raises(BadSignature):
        setup.read(headers, body, ahead_s * (days * 86_400 + 60))


@pytest.mark.parametrize("setup", ["cashfree-payouts"], indirect=True)
@pytest.mark.parametrize("moment", ["", "soon", "-1746427759733", "٣٣٣٣٣٣٣٣٣٣", "9" * 30, "\udcff"])
async def test_a_time_that_is_none_is_refused(setup: Setup, moment: str) -> None:
    headers, body = await call(setup)
    with pytest.raises(BadSignature):
        setup.read({**headers, "x-webhook-timestamp": moment}, body)


async def test_the_time_may_be_in_seconds(setup: Setup) -> None:
    _, body = await call(setup)
    headers = signed(setup, body, moment=str(int(time.time())))
    assert setup.read(headers, body).news is not None


async def test_a_signed_body_that_is_none_cannot_be_read(setup: Setup) -> None:
    _, whole = await call(setup)
    deep = b'{"a":' * 5_000
    for body in (
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        whole[:-1],
        whole[: len(whole) // 2],
        deep,
    ):
        with pytest.raises(BadReply):
            setup.read(signed(setup, body), body)


@pytest.mark.parametrize("setup", ["razorpayx"], indirect=True)
@pytest.mark.parametrize("event_id", ["", " ", "é", "x" * 129])
async def test_an_event_needs_an_id(setup: Setup, event_id: str) -> None:
    headers, body = await call(setup)
    with pytest.raises(BadReply):
        setup.read({**headers, "x-razorpay-event-id": event_id}, body)


async def test_an_event_that_is_not_known_is_about_nothing_of_ours(setup: Setup) -> None:
    bodies = [
        b'{"event":"payout.downtime.started","payload":{"payout.downtime":{"entity":{}}}}',
        b'{"event":"transaction.created","payload":{"transaction":{"entity":{}}}}',
    ]
    if setup.theirs.slug != "razorpayx":
        bodies = [
            b'{"type":"BULK_TRANSFER_REJECTED","data":{"batch_transfer_id":"b"}}',
            b'{"type":"LOW_BALANCE_ALERT","data":{}}',
        ]
    for body in bodies:
        assert setup.read(signed(setup, body), body).news is None


async def test_a_status_that_is_not_known_ends_nothing(setup: Setup) -> None:
    _, body = await call(setup)
    word = b'"processed"' if setup.theirs.slug == "razorpayx" else b'"SUCCESS"'
    odd = body.replace(b'"status":' + word, b'"status":"on_hold"')
    assert odd != body
    event = setup.read(signed(setup, odd), odd)
    assert event.news is not None
    assert event.news.state == "under_way"


def test_a_vector_that_was_made_elsewhere() -> None:
    section = razorpayx.RazorpayX("http://127.0.0.1:1").config()
    ours = make("razorpayx", section)
    headers = {"x-razorpay-signature": VECTOR_SIGNATURE, "x-razorpay-event-id": "evt_1"}
    event = ours.event(headers, VECTOR, 1_746_427_760)
    assert event.news is not None
    assert bare(event.news) == News(
        id="wdr_1", state="paid", reference="pout_1", utr="523223155921", reason=""
    )
    twin = f"{int(VECTOR_SIGNATURE[0], 16) ^ 1:x}{VECTOR_SIGNATURE[1:]}"
    with pytest.raises(BadSignature):
        ours.event({**headers, "x-razorpay-signature": twin}, VECTOR, 1_746_427_760)


def wrong_sections(section: dict[str, object]) -> list[dict[str, object]]:
    return [
        {**section, "nonsense": 1},
        {**section, "timeout_s": 0},
        {**section, "timeout_s": 15},
        {**section, "base": "http://example.test"},
        {},
    ]


async def test_a_section_that_is_wrong_is_named(setup: Setup) -> None:
    slug = setup.theirs.slug
    for section in wrong_sections(setup.theirs.config()):
        with pytest.raises(BadSetting, match=f"^payouts.{slug}: "):
            builtin.make({slug: section})
    text = "narration" if slug == "razorpayx" else "remarks"
    for value in ("A & B", "x" * 71, "a\n"):
        with pytest.raises(BadSetting):
            builtin.make({slug: {**setup.theirs.config(), text: value}})


async def test_a_sample_speaks_of_the_payout_it_is_given(setup: Setup) -> None:
    news = News(id=ID, state="paid", reference="77", utr="U1")
    sample = setup.ours.sample(replace(PAYOUT, amount_minor=101), news, "e", int(time.time()))
    amount = b'"amount":101,' if setup.theirs.slug == "razorpayx" else b'"transfer_amount":1.01,'
    assert amount in sample.body
    assert msgspec.json.decode(sample.body)
