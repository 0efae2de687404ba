"""`make up`: start what is not given, migrate, seed, start the apps, and watch over all of them."""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.errors import BadSetting
from core.settings import Settings
from deploy.local import environment, files, processes
from deploy.local.folders import BadFolder
from deploy.local.launch import PR_SET_PDEATHSIG
from deploy.local.postgres import ServerFailed
from deploy.local.stack import App, Stack, StackFailed, reachable

Steps = Sequence[tuple[str, Sequence[str]]]
# Our own commands that run between the servers and the apps: name and arguments for Python.
STEPS: Steps = (
    ("migrate", ("-m", "deploy.cli", "migrate")),
    ("seed", ("-m", "deploy.local", "seed")),
)
MAKE_LOOK_S = 0.3
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(folder: Path, given: Mapping[str, str], steps: Steps = STEPS) -> int:
    """Run everything until a signal (0) or until something fails (1)."""
    listen_to_signals()
    try:
        with files.exclusive(folder):
            return run(folder, given, steps)
    except KeyboardInterrupt:
        return 0
    except (files.AlreadyRuns, BadFolder, BadSetting, ServerFailed, StackFailed) as error:
        print(f"make up: {error}", file=sys.stderr, flush=True)
        return 1


def run(folder: Path, given: Mapping[str, str], steps: Steps) -> int:
    """Start everything and wait; whatever happens, all of it is stopped on the way out."""
    stack = Stack(folder)
    for name in processes.stop_leftovers(folder / processes.RECORDS):
        stack.say(f"stopped {name}, left by an earlier run")
    try:
        env = environment.prepare(folder, given)
        environment.check_ports(env.settings)
        start(stack, folder, env, steps)
        stack.watch()
    except KeyboardInterrupt:
        stack.say("stopping")
    finally:
        # A second Ctrl-C must not leave anything behind.
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        stack.stop()
    return 0


def start(stack: Stack, folder: Path, env: environment.Environment, steps: Steps) -> None:
    """Bring everything up in order and say so; raises ServerFailed, StackFailed."""
    for server in env.servers:
        stack.start_server(server)
    environment.write_addresses(folder / "stack.env", env.variables)
    if environment.make_keyring(Path(env.settings.keyring_file)):
        stack.say("made a key ring")
    for name, arguments in steps:
        stack.run(name, arguments, env.variables)
    chosen = apps(env.settings)
    for app in chosen:
        stack.start_app(app, env.variables)
    for app in chosen:
        stack.wait_ready(app)
    demo = files.read_env(folder / "demo.env")
    print(ready_text(env.settings, demo, secrets.token_hex(4)), flush=True)


def apps(chosen: Settings) -> Sequence[App]:
    """Our three parents, in the order in which they start."""
    modules = {name: [sys.executable, "-m", name] for name in ("gateway", "redirector", "workers")}
    return (
        App("gateway", modules["gateway"], chosen.gateway_host, chosen.gateway_port),
        App("redirector", modules["redirector"], chosen.redirector_host, chosen.redirector_port),
        App("workers", modules["workers"]),
    )


def ready_text(chosen: Settings, demo: Mapping[str, str], nonce: str) -> str:
    """The line that begins with `ready`, and a command that awards points."""
    award = {"member": demo["STAMPGATE_DEMO_MEMBER"], "kind": "points", "amount": 10}
    gateway = f"http://{reachable(chosen.gateway_host)}:{chosen.gateway_port}"
    return (
        f"ready  {chosen.public_redirector_url}/r/{demo['STAMPGATE_DEMO_SLUG']}\n"
        f"curl -sS {gateway}/v1/awards"
        f" -H 'Authorization: Bearer {demo['STAMPGATE_DEMO_TOKEN']}'"
        f" -H 'Idempotency-Key: demo-{nonce}'"
        f" -H 'Content-Type: application/json' -d '{json.dumps(award)}'"
    )


def listen_to_signals() -> None:
    """Let each of our signals end the run like Ctrl-C, and the death of `make` too."""
    for number in SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    if "MAKELEVEL" in os.environ:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
        threading.Thread(target=follow_make, args=(os.getppid(),), daemon=True).start()


def follow_make(make: int) -> None:
    """End when `make` alone is interrupted: it then waits for us, and does not tell.

    Once it has been interrupted it does not catch the signal any more, which the kernel shows.
    """
    if not catches_interrupts(make):
        return
    while catches_interrupts(make):
        time.sleep(MAKE_LOOK_S)
    os.kill(os.getpid(), signal.SIGINT)


def catches_interrupts(pid: int) -> bool:
    """Whether a process has a handler for SIGINT; False when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return False
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGINT - 1) & 1)
