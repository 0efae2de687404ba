"""`make load`: Locust without its web page against the running stack, and its table.

Exits with 1 when more than one request in a thousand failed. It speaks to this machine only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from core import settings as settings_
from core.errors import BadSetting
from core.settings import Settings
from deploy.local import files
from deploy.local.stack import reachable
from loadtests import measured, tables

HERE: Final = Path(__file__).parent
FAILED_MAX: Final = 0.001
PAGE: Final = 200
HEADINGS: Final = (
    *("route", "requests", "failures", "per second"),
    *("p50 ms", "p95 ms", "p99 ms", "max ms"),
)


class Profile(NamedTuple):
    """Which users come, and whether the day's shape or `--users` says how many."""

    users: tuple[str, ...]
    has_shape: bool


PROFILES: Final[Mapping[str, Profile]] = {
    "mixed_day": Profile(("RedirectUser", "AwardUser", "StatsUser"), has_shape=True),
    "redirects": Profile(("RedirectUser",), has_shape=False),
    "awards": Profile(("AwardUser",), has_shape=False),
}


class NoStack(Exception):
    """There is nothing to load; the message says what to do."""


class Stats(msgspec.Struct, frozen=True):
    """What Locust says of a route; `response_times` counts requests by rounded milliseconds."""

    name: str
    num_requests: int
    num_failures: int
    start_time: float
    last_request_timestamp: float | None
    max_response_time: float
    response_times: dict[str, int]


def main() -> int:
    """Run a profile; 0 when (nearly) nothing failed."""
    arguments = _arguments()
    try:
        env = prepare(Path.cwd() / ".stampgate", os.environ)
    except NoStack as error:
        print(f"make load: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.profile} for {arguments.seconds} s", flush=True)
    stats = run(PROFILES[arguments.profile], arguments.seconds, arguments.users, env)
    print(table(stats, arguments.seconds))
    requests = sum(row.num_requests for row in stats)
    failures = sum(row.num_failures for row in stats)
    print(f"\n{failures} of {requests} requests failed")
    return 0 if requests and failures <= requests * FAILED_MAX else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.load", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="length of the run (60)")
    parser.add_argument("--profile", choices=PROFILES, default="mixed_day")
    parser.add_argument("--users", type=int, default=20, help="except in mixed_day (20)")
    return parser.parse_args()


def prepare(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """What the users need, as variables; raises NoStack."""
    try:
        demo = files.read_env(folder / "demo.env")
        chosen = settings_.load({**files.read_env(folder / "stack.env"), **environ})
    except FileNotFoundError:
        raise NoStack("nothing runs here; start it with `make up` in another terminal") from None
    except BadSetting as error:
        raise NoStack(str(error)) from None
    gateway, redirector = addresses(chosen)
    token = demo["STAMPGATE_DEMO_TOKEN"]
    links = fetch(gateway, "/v1/links", token)
    members = fetch(gateway, "/v1/members", token)
    return {
        "STAMPGATE_LOAD_GATEWAY": gateway,
        "STAMPGATE_LOAD_REDIRECTOR": redirector,
        "STAMPGATE_LOAD_TOKEN": token,
        "STAMPGATE_LOAD_SLUGS": json.dumps([link["slug"] for link in links]),
        "STAMPGATE_LOAD_LINKS": json.dumps([link["id"] for link in links]),
        "STAMPGATE_LOAD_MEMBERS": json.dumps([member["id"] for member in members]),
    }


def addresses(chosen: Settings) -> tuple[str, str]:
    """Where gateway and redirector listen; raises NoStack when that is not on this machine."""
    hosts = [reachable(chosen.gateway_host), reachable(chosen.redirector_host)]
    for host in hosts:
        if not is_loopback(host):
            raise NoStack(f"{host} is not this machine; a load is for a stack of your own only")
    ports = (chosen.gateway_port, chosen.redirector_port)
    gateway, redirector = (
        f"http://{f'[{host}]' if ':' in host else host}:{port}"
        for host, port in zip(hosts, ports, strict=True)
    )
    return gateway, redirector


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, without asking the name service."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def fetch(gateway: str, path: str, token: str) -> list[dict[str, Any]]:
    """The first page of a list; raises NoStack when the gateway does not give it."""
    assert is_loopback(urlsplit(gateway).hostname or "")
    request = urllib.request.Request(
        f"{gateway}{path}?limit={PAGE}", headers={"Authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]
    except (OSError, ValueError) as error:
        message = f"no answer from the gateway ({error}); start the stack with `make up`"
        raise NoStack(message) from None
    return found


def run(profile: Profile, seconds: int, users: int, env: Mapping[str, str]) -> list[Stats]:
    """Run Locust to its end and read what it counted."""
    locustfiles = [HERE / "locustfile.py"]
    length = ["--users", str(users), "--spawn-rate", str(users), "--run-time", f"{seconds}s"]
    if profile.has_shape:
        locustfiles.append(HERE / "mixed_day.py")
        length = []
    done = subprocess.run(
        [
            *(sys.executable, "-m", "locust", "--headless", "--json", "--skip-log-setup"),
            *("--only-summary", "--stop-timeout", "5", "--exit-code-on-error", "0"),
            *("--locustfile", ",".join(map(str, locustfiles))),
            *length,
            *profile.users,
        ],
        env={
            **os.environ,
            **env,
            "STAMPGATE_LOAD_PACED": str(int(profile.has_shape)),
            "STAMPGATE_LOAD_SECONDS": str(seconds),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return parse(done.stdout, done.stderr)


def parse(output: str, complaint: str) -> list[Stats]:
    """Locust's figures; when requests failed, or there are no figures, its own words are shown."""
    found = msgspec.json.decode(output, type=list[Stats]) if output.startswith("[") else []
    if not found or any(row.num_failures for row in found):
        print(complaint, file=sys.stderr)
    return found


def table(stats: Iterable[Stats], seconds: float) -> str:
    """One line for each route, in order of their names."""
    lines = [_line(row, seconds) for row in sorted(stats, key=lambda row: row.name)]
    return tables.plain(HEADINGS, lines, words=1)


def _line(row: Stats, seconds: float) -> list[str]:
    times = sorted(
        time for text, count in row.response_times.items() for time in [float(text)] * count
    )
    percentiles = [f"{measured.percentile(times, percent):.0f}" for percent in (50, 95, 99)]
    return [
        row.name,
        str(row.num_requests),
        str(row.num_failures),
        f"{row.num_requests / seconds:.1f}",
        *percentiles,
        f"{row.max_response_time:.0f}",
    ]


if __name__ == "__main__":
    sys.exit(main())
