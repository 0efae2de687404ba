"""`python -m gateway`: the parent of the API's processes; with `--worker N` one of them."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from typing import Final

import uvloop

from core import settings as settings_
from core.errors import BadKeyRing, BadSetting
from core.settings import Settings
from gateway import hot, routes
from gateway.app import App
from gateway.dispatch import Dispatch
from web import child, logs, metrics, parent, server
from web.parent import Address, Child
from web.routing import Router

BAD_START: Final = 2


def main() -> int:
    """Run the parent or a worker, or print the OpenAPI document; the exit code."""
    arguments = _arguments()
    if arguments.openapi:
        sys.stdout.write(routes.document().decode())
        return 0
    try:
        settings = settings_.load(os.environ)
    except BadSetting as error:
        sys.stderr.write(f"gateway: {error}\n")
        return BAD_START
    logs.start(settings.log_level)
    if arguments.worker is None:
        return _run_parent(settings)
    child.enter(os.environ)
    try:
        uvloop.run(_serve(settings))
    except (BadKeyRing, BadSetting, OSError) as error:
        sys.stderr.write(f"gateway: {error}\n")
        return BAD_START
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="gateway", description=__doc__)
    parser.add_argument("--worker", type=int, help="run one worker, on the parent's socket")
    parser.add_argument("--openapi", action="store_true", help="print openapi.json and end")
    return parser.parse_args()


def _run_parent(settings: Settings) -> int:
    seats = range(settings.gateway_processes)
    listen = Address(settings.gateway_host, settings.gateway_port, "STAMPGATE_GATEWAY_PORT")
    return parent.run_parent(
        "gateway",
        [
            Child(f"gateway-{seat}", (sys.executable, "-m", "gateway", "--worker", str(seat)), seat)
            for seat in seats
        ],
        listen=[listen] * len(seats),
        metrics=Address(
            settings.metrics_host, settings.gateway_metrics_port, "STAMPGATE_GATEWAY_METRICS_PORT"
        ),
        shutdown_timeout_s=settings.shutdown_timeout_s,
    )


async def _serve(settings: Settings) -> None:
    app = await App.open(settings)
    dispatch = Dispatch(app, Router(routes.ROUTES))
    publishing = asyncio.create_task(metrics.publish_forever([dispatch.requests, app.measures]))

    async def close() -> None:
        publishing.cancel()
        await asyncio.wait([publishing])
        await app.close()

    sock = child.inherited_socket(os.environ)
    await server.serve(
        dispatch,
        sock,
        settings=settings,
        protocol=hot.protocol(app, dispatch.requests),
        is_able=lambda: app.redis.is_up,
        on_stop=[close],
    )


if __name__ == "__main__":
    sys.exit(main())
