"""The environment of a local run: what was given, completed with what we start ourselves."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from core import keyring, settings
from core.settings import Settings
from deploy.local import files, folders
from deploy.local.postgres import Postgres
from deploy.local.redis_server import Redis, Sync
from deploy.local.stack import StackFailed

DEFAULTS = {
    # The demo's webhooks go to this machine.
    "STAMPGATE_OUTBOUND_ALLOW": "127.0.0.0/8,::1/128,localhost",
    # Shorter than in production, so that nothing is left five seconds after Ctrl-C.
    "STAMPGATE_SHUTDOWN_TIMEOUT_S": "1.5",
    "PYTHONUNBUFFERED": "1",
}
PORTS = (
    ("gateway_host", "gateway_port"),
    ("redirector_host", "redirector_port"),
    ("metrics_host", "gateway_metrics_port"),
    ("metrics_host", "redirector_metrics_port"),
    ("metrics_host", "workers_metrics_port"),
)


class Environment(NamedTuple):
    """Variables for all our processes, their meaning, and the servers that we have to start."""

    variables: dict[str, str]
    settings: Settings
    servers: list[Postgres | Redis]


def prepare(folder: Path, given: Mapping[str, str]) -> Environment:
    """Complete what was given; raises BadSetting, BadFolder, ServerFailed."""
    env = DEFAULTS | dict(given)
    sockets = folders.socket_folder(folder)
    servers: list[Postgres | Redis] = []
    if not is_given(env, "STAMPGATE_DATABASE_URL"):
        postgres = Postgres(folder, sockets)
        urls = postgres.urls()
        env["STAMPGATE_DATABASE_URL"] = urls.app
        env["STAMPGATE_MIGRATE_URL"] = urls.migrate
        env["STAMPGATE_FLUSH_URL"] = urls.flush
        # Addresses of another server's roles mean nothing on ours.
        for name in ("STAMPGATE_MIGRATE_URL_FILE", "STAMPGATE_FLUSH_URL_FILE"):
            env.pop(name, None)
        servers.append(postgres)
    if not is_given(env, "STAMPGATE_REDIS_URL"):
        sync: Sync = "everysec" if env.get("STAMPGATE_DURABILITY") == "everysec" else "always"
        state = Redis("redis-state", folder, sockets, sync=sync)
        env["STAMPGATE_REDIS_URL"] = state.url
        servers.append(state)
    if not is_given(env, "STAMPGATE_QUEUE_URL"):
        queue = Redis("redis-queue", folder, sockets, sync="everysec")
        env["STAMPGATE_QUEUE_URL"] = queue.url
        servers.append(queue)
    return Environment(env, settings.load(env), servers)


def is_given(env: Mapping[str, str], variable: str) -> bool:
    """Whether the operator named it, itself or by a file."""
    return bool(env.get(variable) or env.get(f"{variable}_FILE"))


def write_addresses(path: Path, env: Mapping[str, str]) -> None:
    """Write the servers' real addresses for other tools."""
    names = [settings.PREFIX + field.upper() for field in settings.SECRETS]
    both = [variant for name in names for variant in (name, f"{name}_FILE")]
    files.write_env(path, {name: env[name] for name in both if env.get(name)})


def make_keyring(path: Path) -> bool:
    """Make the key ring file unless there is one; True when it was made."""
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    ring = keyring.generate(time.time_ns() // 1_000_000, os.urandom(keyring.RING_ENTROPY_BYTES))
    files.write_private(path, keyring.dump(ring))
    return True


def check_ports(chosen: Settings) -> None:
    """Raise StackFailed naming the first port that is taken, and its variable."""
    for host_field, port_field in PORTS:
        host, port = getattr(chosen, host_field), getattr(chosen, port_field)
        variable = settings.PREFIX + port_field.upper()
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    message = f"port {port} is in use: choose another with {variable}"
                else:
                    message = f"{variable}: cannot listen on {host}:{port}: {error}"
                raise StackFailed(message) from None
