"""Lists of offers at a steady rate, as the gateway remembers them."""

from __future__ import annotations

import itertools
from typing import Final

from loadtests import datasets, generator, seed
from loadtests.effort import Effort
from loadtests.results import Row, Target, row
from loadtests.shop import Shop
from loadtests.stack import HOST, BenchStack

TARGET: Final = Target(p95_ms_below=50.0)
RATE: Final = 100
CONNECTIONS: Final = 16
WARM_UP_S: Final = 1.0
PATHS: Final = (
    "/v1/offers",
    "/v1/offers?limit=20",
    "/v1/offers?is_active=true&kind=cashback",
    "/v1/offers/hot",
)


def measure(stack: BenchStack, effort: Effort, shop: Shop) -> Row:
    """Several lists in turn; each is read anew now and then, which the maximum shows."""
    headers = datasets.api_headers(seed.token(shop.ring, shop.program_id, "offers:read"))
    requests = itertools.cycle([datasets.get_request(path, headers) for path in PATHS])
    target = generator.Target(HOST, stack.settings.gateway_port, requests, 200)
    generator.open_loop(target, connections=CONNECTIONS, seconds=WARM_UP_S, rate=RATE)
    one = generator.open_loop(target, connections=CONNECTIONS, seconds=effort.steady_s, rate=RATE)
    return row(
        "list offers",
        [one],
        unit="lists/s",
        median=one,
        headers="token",
        durability="-",
        connections=CONNECTIONS,
        loop=f"open, {RATE}/s",
        stall_ms=one.stall_ms,
        target=TARGET,
    )
