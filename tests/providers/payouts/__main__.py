"""A provider of payouts for demonstrations, on a port of this machine.

`python -m tests.providers.payouts razorpayx --port 8900 --hears URL --then paid --after 2` prints
the section for the providers file, takes payouts, and after so many seconds tells what became of
them, with a signed call to URL.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from typing import get_args

import msgspec

from core.withdrawals import News
from tests.providers.payouts import server
from tests.providers.payouts.cashfree import Cashfree
from tests.providers.payouts.razorpayx import RazorpayX
from tests.providers.payouts.server import Server

KINDS: dict[str, type[Server]] = {kind.slug: kind for kind in (RazorpayX, Cashfree)}


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="tests.providers.payouts")
    found.add_argument("slug", choices=KINDS)
    found.add_argument("--port", type=int, default=0)
    found.add_argument("--hears", default="", help="where the calls go")
    found.add_argument("--then", choices=get_args(News), default="paid")
    found.add_argument("--after", type=float, default=2.0, help="seconds")
    return found


async def main(given: argparse.Namespace) -> None:
    """Play the provider until somebody ends it."""
    async with server.running(KINDS[given.slug], given.port) as running:
        running.hears = given.hears
        section = {"payouts": {given.slug: running.config()}}
        sys.stdout.write(msgspec.json.encode(section).decode() + "\n")
        sys.stdout.flush()
        await running.play(given.then, given.after)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(parser().parse_args()))
