"""What holds for every network that can be asked: all of it, once, exactly, or a clear error."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest

from core.http import HttpRequest, HttpResponse
from core.providers.affiliate import table
from core.providers.affiliate.protocol import (
    AuthRefused,
    BadAnswer,
    BadCursor,
    CanPull,
    Page,
    PullFailed,
    Temporary,
    Throttled,
    Window,
)
from core.providers.affiliate.report import Report
from tests.providers.affiliate.admitad import Admitad
from tests.providers.affiliate.conftest import PULLING, WINDOW, Setup, bare
from tests.providers.affiliate.rakuten import Rakuten
from tests.providers.affiliate.server import DAY_MS, EPOCH_MS, Transaction, many
from tests.providers.server import Fault

pulling = pytest.mark.parametrize("setup", PULLING, indirect=True)
#: Seventy-five days, several a day, also at both edges of days and of windows.
DAYS = [place / 4 for place in range(1, 300)]

FAULTS: dict[str, tuple[Fault, type[PullFailed]]] = {
    "500": (Fault(500), Temporary),
    "502": (Fault(502), Temporary),
    "503": (Fault(503), Temporary),
    "401": (Fault(401), AuthRefused),
    "403": (Fault(403), AuthRefused),
    "429": (Fault(429), Throttled),
    "404": (Fault(404), BadAnswer),
    "a redirect": (Fault(302), BadAnswer),
    "not JSON": (Fault(200, b"<html>"), BadAnswer),
    "not UTF-8": (Fault(200, b'{"id": "\xff"}'), BadAnswer),
    "nested": (Fault(200, b"[" * 100_000), BadAnswer),
    "another JSON": (Fault(200, b'{"ok": true}'), BadAnswer),
    "a number": (Fault(200, b"1"), BadAnswer),
    "empty": (Fault(200, b""), BadAnswer),
    "cut off": (Fault(200, b'{"results": [{"id": 1', is_cut=True), Temporary),
    "silence": (Fault(is_hanging=True), Temporary),
}


def ids(reports: list[Report]) -> list[str]:
    return [report.order_id or report.txn_id for report in reports]


@pytest.mark.parametrize("setup", ["generic"], indirect=True)
def test_a_network_without_an_api_cannot_be_asked(setup: Setup) -> None:
    assert not isinstance(setup.ours, CanPull)


@pulling
async def test_a_pull_is_whole_without_duplicates_and_exact(setup: Setup) -> None:
    setup.theirs.transactions = many(DAYS)
    found = await setup.pull()
    expected = [setup.theirs.report(one) for one in setup.theirs.transactions]
    key = lambda report: (report.event_at_ms, report.txn_id)  # noqa: E731
    assert sorted(map(bare, found), key=key) == sorted(expected, key=key)
    assert len({report.txn_id for report in found}) == len(DAYS)


@pulling
async def test_a_pull_goes_on_at_any_cursor(setup: Setup) -> None:
    setup.theirs.transactions = many(DAYS[:24])
    window = Window(EPOCH_MS - 40 * DAY_MS, EPOCH_MS)
    pages = [page async for page in setup.pages(window)]
    assert len(pages) > 2
    assert pages[-1].cursor is None
    whole = [report for page in pages for report in page.reports]
    for place, page in enumerate(pages[:-1]):
        assert page.cursor
        later = [again async for again in setup.pages(window, page.cursor)]
        rest = [one for again in later for one in again.reports]
        before = [one for earlier in pages[: place + 1] for one in earlier.reports]
        assert {one.txn_id for one in [*before, *rest]} == {one.txn_id for one in whole}


@pulling
async def test_a_cursor_of_another_window_is_an_error_of_ours(setup: Setup) -> None:
    for cursor in (f"0.0.{EPOCH_MS}.", f"9.{WINDOW.start_ms}.{WINDOW.end_ms}.", "nonsense"):
        with pytest.raises(BadCursor):
            async for _ in setup.pages(cursor=cursor):
                pass


@pulling
async def test_no_call_asks_for_more_than_the_network_allows(setup: Setup) -> None:
    # The local network refuses longer windows.
    await setup.pull()
    assert len(setup.theirs.questions) >= 2 * len(setup.terms.dates)
    assert setup.terms.window_ms <= 45 * DAY_MS
    assert 0 < setup.terms.calls_per_minute <= 600


@pulling
async def test_an_empty_window_is_not_asked_for(setup: Setup) -> None:
    assert await setup.pull(Window(EPOCH_MS, EPOCH_MS)) == []
    assert setup.theirs.questions == []


@pulling
async def test_what_was_decided_late_is_found_by_the_next_sync(setup: Setup) -> None:
    (old,) = many([50])
    decided = EPOCH_MS - 3_600_000
    old = msgspec.structs.replace(old, status="approved", updated_ms=decided)
    setup.theirs.transactions = [old]
    found = await setup.pull(Window(EPOCH_MS - setup.terms.look_back_ms, EPOCH_MS))
    assert [bare(report) for report in found] == [setup.theirs.report(old)]


@pulling
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_is_an_error_of_its_kind_and_the_pull_goes_on_after_it(
    setup: Setup, fault: str
) -> None:
    setup.theirs.transactions = many(DAYS[:40])
    answer, kind = FAULTS[fault]
    whole = await setup.pull()
    # Where OAuth could renew its token, the second refusal counts.
    answers = [answer] * 4 if kind is AuthRefused else [answer]
    pages: list[Page] = []

    async def walk() -> None:
        async for page in setup.pages():
            pages.append(page)
            if len(pages) == 2:
                setup.theirs.faults[setup.theirs.api_path] = answers

    with pytest.raises(kind) as failed:
        await walk()
    assert len(pages) == 2
    assert setup.theirs.key not in f"{failed.value!r} {failed.value}"
    assert "127.0.0.1" not in str(failed.value)
    setup.theirs.faults.clear()
    cursor = pages[-1].cursor
    assert cursor
    pages += [page async for page in setup.pages(cursor=cursor)]
    seen = [report for page in pages for report in page.reports]
    assert sorted(set(ids(seen))) == sorted(ids(whole))


@pytest.mark.parametrize("setup", ["impact"], indirect=True)
@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, 60),
        ({"retry-after": "7"}, 7),
        ({"x-ratelimit-reset": "90"}, 90),
        ({"retry-after": "0"}, 1),
        ({"retry-after": "999999"}, 3600),
        ({"retry-after": "Fri, 21 Aug 2026 00:00:00 GMT"}, 60),
        ({"retry-after": "\u0667"}, 60),
    ],
)
async def test_a_network_says_how_long_to_wait(
    setup: Setup, headers: dict[str, str], wait_s: float
) -> None:
    setup.theirs.faults[setup.theirs.api_path] = [Fault(429)]

    async def send(request: HttpRequest) -> HttpResponse:
        response = await setup.send(request)
        return msgspec.structs.replace(response, headers={**response.headers, **headers})

    assert isinstance(setup.ours, CanPull)
    with pytest.raises(Throttled) as throttled:
        _ = [page async for page in setup.ours.pull(send, WINDOW)]
    assert throttled.value.retry_after_s == wait_s


@pulling
async def test_an_answer_that_is_too_large_is_asked_for_in_shorter_parts(setup: Setup) -> None:
    setup.theirs.transactions = many(DAYS[:40])
    setup.theirs.page_rows = 100
    setup.theirs.faults[setup.theirs.api_path] = [Fault(200, b" " * (9 << 20))] * 2
    assert sorted(ids(await setup.pull())) == sorted(ids(await setup.pull()))
    setup.theirs.faults[setup.theirs.api_path] = [Fault(200, b" " * (9 << 20))] * 20
    with pytest.raises(BadAnswer, match="too large"):
        await setup.pull()


@pulling
async def test_a_server_that_is_away_is_temporary(setup: Setup) -> None:
    with pytest.raises(Temporary):
        await setup.with_config(api_url="http://127.0.0.1:1").pull()


@pulling
async def test_wrong_credentials_are_refused_and_nowhere_to_be_seen(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    config, credentials = setup.theirs.config(), setup.theirs.credentials()
    wrong = {**credentials, list(credentials)[-1]: "wrong-do-not-show"}
    slug = setup.theirs.slug
    for given in (wrong, None):
        with pytest.raises(AuthRefused) as refused:
            await setup._replace(ours=table.make(slug, config, given)).pull()
        assert "do-not-show" not in f"{refused.value!r} {refused.value.__cause__!r}"
    assert "do-not-show" not in caplog.text


@pulling
async def test_one_bad_row_is_a_problem_and_the_others_are_read(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.theirs.transactions = many([1, 2, 3])
    row = type(setup.theirs).row  # type: ignore[attr-defined] # each network writes its own

    def spoiled(self: Any, one: Transaction, *fields: Any) -> Any:
        made = row(self, one, *fields)
        return "no object" if one.order_id == "order-1" else made

    monkeypatch.setattr(type(setup.theirs), "row", spoiled)
    pages = [page async for page in setup.pages()]
    assert {report.click_id for page in pages for report in page.reports} == {
        one.click_id for one in setup.theirs.transactions if one.order_id != "order-1"
    }
    problems = [problem for page in pages for problem in page.problems]
    assert problems
    assert {problem.code for problem in problems} == {"malformed"}


@pulling
async def test_a_word_that_the_api_never_had_stays_unknown(setup: Setup) -> None:
    setup.theirs.transactions = many([1])
    words = {"row_map": {"status": "zz"}, "absent_status": "unknown"}
    assert [one.status for one in await setup.with_config(**words).pull()] == ["unknown"]


@pytest.mark.parametrize("setup", sorted({*PULLING} - {"awin"}), indirect=True)
async def test_a_page_that_comes_again_and_again_is_noticed(setup: Setup) -> None:
    setup.theirs.transactions = many(DAYS[:40])
    pages: list[HttpResponse] = []

    async def send(request: HttpRequest) -> HttpResponse:
        response = await setup.send(request)
        if setup.theirs.api_path not in request.url:
            return response
        pages.append(response)
        return pages[0]

    assert isinstance(setup.ours, CanPull)
    with pytest.raises(BadAnswer, match="again and again"):
        _ = [page async for page in setup.ours.pull(send, Window(EPOCH_MS - 20 * DAY_MS, EPOCH_MS))]
    assert len(pages) < 5


@pytest.mark.parametrize("setup", ["admitad", "rakuten"], indirect=True)
async def test_a_token_that_ends_meanwhile_is_had_anew(setup: Setup) -> None:
    setup.theirs.transactions = many(DAYS[:40])
    assert isinstance(setup.theirs, Admitad | Rakuten)
    whole = await setup.pull()
    found: list[Report] = []
    async for page in setup.pages():
        found += page.reports
        setup.theirs.tokens.clear()
    assert ids(found) == ids(whole)


@pytest.mark.parametrize("setup", ["admitad"], indirect=True)
async def test_admitad_is_asked_with_the_refresh_token_first(setup: Setup) -> None:
    setup.theirs.transactions = many(DAYS[:40])
    assert isinstance(setup.theirs, Admitad)
    async for _ in setup.pages():
        setup.theirs.tokens.clear()
    assert set(setup.theirs.grants[1:]) == {"refresh_token"}
    setup.theirs.is_refreshing = False
    async for _ in setup.pages():
        setup.theirs.tokens.clear()
    assert setup.theirs.grants[-2:] == ["refresh_token", "client_credentials"]


@pytest.mark.parametrize("setup", ["admitad", "rakuten"], indirect=True)
@pytest.mark.parametrize("fault", ["503", "silence", "another JSON", "401", "429"])
async def test_a_token_that_cannot_be_had_is_an_error_of_its_kind(setup: Setup, fault: str) -> None:
    answer, kind = FAULTS[fault]
    path = "/token/" if setup.theirs.slug == "admitad" else "/token"
    setup.theirs.faults[path] = [answer]
    with pytest.raises(kind):
        await setup.pull()


@pytest.mark.parametrize("setup", ["cj", "rakuten"], indirect=True)
async def test_a_correction_takes_back_what_it_says_of_the_transaction(setup: Setup) -> None:
    (sale,) = many([5], status="approved")
    back = msgspec.structs.replace(
        sale,
        id="990000",
        status="reversed",
        commission="-0.40",
        sale="-8.00",
        corrects=f"a{sale.id}" if setup.theirs.slug == "cj" else "",
        created_ms=EPOCH_MS - DAY_MS,
        updated_ms=EPOCH_MS - DAY_MS,
    )
    setup.theirs.transactions = [sale, back]
    found = {report.correction_id: bare(report) for report in await setup.pull()}
    assert list(found.values()) == [setup.theirs.report(sale), setup.theirs.report(back)]
    correction = found[max(found)]
    assert correction.txn_id == found[""].txn_id
    assert (correction.status, correction.commission_minor) == ("reversed", -40)


@pytest.mark.parametrize(
    "setup", ["admitad", "trackier", "cuelinks", "tune", "impact", "awin"], indirect=True
)
async def test_a_commission_below_zero_takes_the_transaction_back(setup: Setup) -> None:
    (one,) = many([5], status="approved")
    setup.theirs.transactions = [msgspec.structs.replace(one, commission="-3.21")]
    (report,) = await setup.pull()
    assert (report.status, report.commission_minor) == ("reversed", 321)
    assert report.correction_id == ""


@pytest.mark.parametrize("setup", ["admitad", "awin"], indirect=True)
async def test_what_the_network_has_paid_is_settled(setup: Setup) -> None:
    setup.theirs.transactions = many([5], status="settled")
    (report,) = await setup.pull()
    assert (report.status, report.status_word) == ("settled", "approved")


@pytest.mark.parametrize("setup", ["tune"], indirect=True)
async def test_tune_is_asked_for_less_when_it_takes_too_long(setup: Setup) -> None:
    setup.theirs.transactions = many(DAYS[:40])
    whole = await setup.pull()
    setup.theirs.faults[setup.theirs.api_path] = [Fault(504)]
    assert sorted(ids(await setup.pull())) == sorted(ids(whole))
