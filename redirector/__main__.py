"""`python -m redirector`: the parent of the redirector's workers; `--worker N` is one of them."""

from __future__ import annotations

import argparse
import os
import sys

import uvloop

from core import settings as settings_
from core.errors import BadKeyRing, BadSetting
from core.settings import Settings
from redirector import hot
from redirector.app import App
from redirector.state import State
from web import child, logs, parent, server
from web.parent import Address, Child


def main() -> int | str:
    """Run the parent, or one worker; the exit code, or why it could not start."""
    parser = argparse.ArgumentParser(prog="redirector", description=__doc__)
    parser.add_argument("--worker", type=int, help="run one worker, on the parent's socket")
    arguments = parser.parse_args()
    try:
        settings = settings_.load(os.environ)
    except BadSetting as error:
        return f"redirector: {error}"
    logs.start(settings.log_level)
    if arguments.worker is None:
        return _run_parent(settings)
    child.enter(os.environ)
    try:
        uvloop.run(_serve(settings))
    except (BadKeyRing, OSError) as error:
        return f"redirector: {error}"
    return 0


def _run_parent(settings: Settings) -> int:
    seats = range(settings.redirector_processes)
    host, port = settings.redirector_host, settings.redirector_port
    return parent.run_parent(
        "redirector",
        [
            Child(
                f"redirector-{seat}",
                (sys.executable, "-m", "redirector", "--worker", str(seat)),
                socket_index=seat,
            )
            for seat in seats
        ],
        listen=[Address(host, port, "STAMPGATE_REDIRECTOR_PORT") for _ in seats],
        metrics=Address(
            settings.metrics_host,
            settings.redirector_metrics_port,
            "STAMPGATE_REDIRECTOR_METRICS_PORT",
        ),
        shutdown_timeout_s=settings.shutdown_timeout_s,
    )


async def _serve(settings: Settings) -> None:
    state = await State.open(settings)
    await server.serve(
        App(state),
        child.inherited_socket(os.environ),
        settings=settings,
        protocol=hot.protocol(state),
        is_able=lambda: state.has_booted,
        on_stop=(state.close,),
    )


if __name__ == "__main__":
    sys.exit(main())
