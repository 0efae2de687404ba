"""How long a sync takes over what an affiliate network has: first all of it, then all of it again
with nothing new, for a network that says late what has changed is asked for weeks time and again.

The network is a TUNE on a socket of this machine, which unlike those on the internet answers at
once. All roles of the workers run. The clock starts with the task and ends when the sync has noted
that its window is read.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

import msgspec
import uvloop

from core.tasks import SyncNetwork
from db import networks, outbox
from deploy.local.stack import StackFailed
from loadtests import cores
from loadtests import shop as shops
from loadtests.effort import Effort
from loadtests.results import Row, Target
from loadtests.shop import Sale, Shop
from loadtests.stack import HOST, BenchStack

# For so many; fewer have less time.
COUNT: Final = 100_000
SECONDS_MAX: Final = 60.0
PROVIDER: Final = "tune"
KEY: Final = "a-key-of-the-bench"
DAY: Final = dt.timedelta(days=1)


class Synced(NamedTuple):
    """How long it took, and the CPU time of the workers."""

    seconds: float
    cpu_s: float


def measure(stack: BenchStack, effort: Effort, shop: Shop) -> list[Row]:
    """The first sync and one more; a member who has not what is right is an error."""
    count = effort.conversions
    sold = uvloop.run(_sell(stack, shop, count))
    with listening(sold) as url, stack.working() as pid:
        network_id = uvloop.run(_open(stack, shop, url))
        first, again = (uvloop.run(_sync(stack, shop, network_id, pid)) for _ in range(2))
        wrong = uvloop.run(_wrong(stack, shop))
    what = f"sync of {count:,} conversions"
    target = Target(below=SECONDS_MAX * count / COUNT)
    return [
        _row(what, first, count, len(wrong), target),
        _row(f"{what}, all known", again, count, len(wrong), None),
    ]


def _row(what: str, one: Synced, count: int, errors: int, target: Target | None) -> Row:
    return Row(
        what=what,
        durability="always",
        loop="-",
        unit="s",
        value=one.seconds,
        lowest=one.seconds,
        highest=one.seconds,
        rounds=1,
        cpu_us=one.cpu_s / count * 1e6,
        errors=errors,
        target=target,
    )


async def _sell(stack: BenchStack, shop: Shop, count: int) -> list[Sale]:
    async with shops.connected(stack) as db:
        return await shops.sell(db, shop, count)


async def _open(stack: BenchStack, shop: Shop, url: str) -> str:
    """An account that is asked when we want it, once the workers are at work."""
    async with shops.connected(stack) as db, db.transaction():
        network_id = await shops.open_network(db, shop, PROVIDER, account(url), {"api_key": KEY})
        network = await networks.get(db, shop.program_id, network_id)
        await networks.put_off(db, network, network.created_at + 30 * DAY)
    async with shops.connected(stack) as db:
        await shops.until_at_work(db)
    return network_id


def account(url: str) -> dict[str, Any]:
    """What an account at the network is set up with; this one may be asked as often as we can."""
    return {
        "calls_per_minute": 60_000,
        "network_id": "bench",
        "affiliate_id": "12",
        "click_url": f"{url}/aff_c",
        "api_url": url,
    }


async def _sync(stack: BenchStack, shop: Shop, network_id: str, pid: int) -> Synced:
    async with shops.connected(stack) as db:
        network = await networks.get(db, shop.program_id, network_id)
        now = dt.datetime.now(dt.UTC)
        began, used = time.perf_counter(), cores.tree_cpu_s(pid)
        async with db.transaction():
            await networks.ask(db, network, now - DAY, now + DAY, now + 30 * DAY)
            await outbox.add(db, SyncNetwork(network_id))
        await shops.until_synced(db)
        found = Synced(time.perf_counter() - began, cores.tree_cpu_s(pid) - used)
        network = await networks.get(db, shop.program_id, network_id)
        if network.sync_from is not None or network.last_error is not None:
            raise StackFailed(f"the sync failed: {network.last_error}")
    return found


async def _wrong(stack: BenchStack, shop: Shop) -> list[str]:
    async with shops.connected(stack) as db:
        found = await shops.wrong(db, shop)
    shops.tell(found)
    return found


class _Tune(ThreadingHTTPServer):
    """The conversions of some days, page by page, of the columns that are asked for."""

    # It ends when those who asked have hung up.
    daemon_threads = False

    def __init__(self, sold: Sequence[Sale]) -> None:
        super().__init__((HOST, 0), _Handler)
        self._rows = sorted(map(_columns, sold), key=lambda row: row["Stat.datetime"])
        self._days = [row["Stat.datetime"][:10] for row in self._rows]

    def answer(self, query: dict[str, list[str]]) -> bytes:
        """The answer to a question; one that TUNE would not take is refused with 200 as well."""
        if query.get("api_key") != [KEY] or query.get("Method") != ["getConversions"]:
            refused = {"status": -1, "httpStatus": 401, "errorMessage": "no", "data": ""}
            return msgspec.json.encode({"response": refused})
        first, last = query["filters[Stat.date][values][]"]
        begin, end = bisect_left(self._days, first), bisect_right(self._days, last)
        limit, page = int(query["limit"][0]), int(query["page"][0])
        here = begin + (page - 1) * limit
        shown = self._rows[here : min(here + limit, end)]
        data = {
            "page": page,
            "current": len(shown),
            "count": end - begin,
            "pageCount": -(-(end - begin) // limit),
            "data": [_nested(row, query["fields[]"]) for row in shown],
        }
        answered = {"status": 1, "httpStatus": 200, "data": data, "errors": []}
        return msgspec.json.encode({"request": {"Version": "3"}, "response": answered})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are written one after the other; neither waits for the other's acknowledgment.
    disable_nagle_algorithm = True
    server: _Tune

    def do_GET(self) -> None:
        body = self.server.answer(parse_qs(urlsplit(self.path).query))
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def listening(sold: Sequence[Sale]) -> Iterator[str]:
    """The network at work; its address."""
    server = _Tune(sold)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _columns(one: Sale) -> dict[str, str]:
    at = dt.datetime.fromtimestamp(one.at_ms / 1000, dt.UTC)
    return {
        "Stat.ad_id": one.txn_id,
        "Stat.tune_event_id": f"e-{one.txn_id}",
        "Stat.goal_id": "0",
        "Stat.offer_id": str(one.offer),
        "Offer.name": f"Offer {one.offer}",
        "Stat.datetime": f"{at:%Y-%m-%d %H:%M:%S}",
        "Stat.conversion_status": one.status,
        "Stat.payout": _amount(one.commission_minor),
        "Stat.currency": one.currency,
        "Stat.conversion_sale_amount": _amount(one.sale_minor),
        "Stat.affiliate_info1": one.click_id,
    }


def _nested(row: dict[str, str], fields: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in fields:
        model, _, name = field.partition(".")
        found.setdefault(model, {})[name] = row[field]
    return found


def _amount(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02}"
