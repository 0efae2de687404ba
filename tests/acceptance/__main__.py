"""`make demo`: both flows on a stack of their own, told step by step.

Everything outside is a local server that speaks the protocol of the real one: two affiliate
networks, and a bank. In a terminal the stack stays for a look around until Ctrl-C.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from core.money import Money, text
from deploy.local import files, up
from tests.acceptance import world
from tests.acceptance.asking import Surprise
from tests.acceptance.story import Story, open_shop
from tests.acceptance.world import World

HEAD: Final = "    available   pending      held  ledger    what happened"
#: Before the steps of these names.
TITLES: Final = {
    "sign_up": "flow 1: from a click to cashback",
    "prove_identity": "flow 2: from the wallet to the bank",
    "take_back": "what comes after",
}


def main() -> int:
    """Tell the story; 1 when it went another way."""
    up.listen_to_signals()
    begun = time.monotonic()
    say("starting PostgreSQL, two Redis, gateway, redirector, workers, two networks and a bank")
    try:
        with (
            tempfile.TemporaryDirectory(prefix="stampgate-demo-") as folder,
            world.running(Path(folder)) as found,
        ):
            say(f"ready after {time.monotonic() - begun:.1f} s\n\n{HEAD}")
            asha = play(found)
            say(f"\ndone after {time.monotonic() - begun:.1f} s\n")
            say(look_around(found, asha))
            if sys.stdin.isatty():
                say("\nIt all runs until Ctrl-C.")
                signal.pause()
    except KeyboardInterrupt:
        return 0
    except (AssertionError, Surprise, TimeoutError) as error:
        sys.stderr.write(f"make demo: {error}\n")
        return 1
    return 0


def play(found: World) -> Story:
    """Take each step, and show what it came to."""
    asha = Story(found)
    show(found, asha, 0, found.loop.run(open_shop(found)))
    for number, step in enumerate(asha.steps(), 1):
        if step.name in TITLES:
            say(f"\n{'':36}{TITLES[step.name]}")
        show(found, asha, number, step.said)
    return asha


def show(found: World, asha: Story, number: int, said: str) -> None:
    """One line: the wallet, that the ledger is balanced, and what happened."""
    found.loop.run(found.check_books())
    wallet = found.loop.run(asha.wallet())
    purse = "".join(f"{text(Money(minor, 'INR')):>10}" for minor in wallet)
    say(f"{number:>2} {purse}  balanced  {said}")


def look_around(found: World, asha: Story) -> str:
    """Where everything of it is; the owner's token lies beside the mails."""
    gateway = found.settings.public_gateway_url
    click, token = asha.clicks[found.shops.slug], Path(found.settings.outbox_dir) / "owner.token"
    files.write_private(token, found.owner.token.encode())
    return "\n".join(
        (
            f"click       {click}",
            f"withdrawal  {asha.withdrawal}, UTR {asha.utr}",
            f"mails       {found.settings.outbox_dir}",
            f"API         {gateway}/openapi.json",
            "",
            f'curl -sS {gateway}/v1/trace/{click} -H "Authorization: Bearer $(cat {token})"',
        )
    )


def say(line: str) -> None:
    """A line for whoever watches."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
