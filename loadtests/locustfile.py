"""Locust's users: visitors who follow links, an app that awards points, staff who look.

What they use comes from `python -m loadtests.load` in variables, because importing Locust patches
the sockets of the process: only Locust's own process may do it.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import uuid
from typing import Final

from locust import constant, constant_throughput, task
from locust.contrib.fasthttp import FastHttpUser, ResponseContextManager

from loadtests import datasets

SLUGS: Final[list[str]] = json.loads(os.environ["STAMPGATE_LOAD_SLUGS"])
LINKS: Final[list[str]] = json.loads(os.environ["STAMPGATE_LOAD_LINKS"])
MEMBERS: Final[list[str]] = json.loads(os.environ["STAMPGATE_LOAD_MEMBERS"])
API: Final = datasets.api_headers(os.environ["STAMPGATE_LOAD_TOKEN"])
# A paced user makes one transaction a second, so that their number is the rate.
PACE: Final = (
    constant_throughput(1) if os.environ.get("STAMPGATE_LOAD_PACED") == "1" else constant(0)
)
REPLAYS: Final = 0.05


class RedirectUser(FastHttpUser):
    """Follows links, the popular ones more often."""

    host = os.environ["STAMPGATE_LOAD_REDIRECTOR"]
    wait_time = PACE
    weight = 14

    def on_start(self) -> None:
        self._slugs = itertools.cycle(datasets.zipf(SLUGS, 1_000, seed=random.randrange(2**32)))

    @task
    def follow(self) -> None:
        with self.client.get(
            f"/r/{next(self._slugs)}",
            headers=dict(datasets.SHORT),
            allow_redirects=False,
            catch_response=True,
            name="GET /r/{slug}",
        ) as answer:
            expect(answer, 302)


class AwardUser(FastHttpUser):
    """Awards points; one request in twenty is sent a second time and must not count again."""

    host = os.environ["STAMPGATE_LOAD_GATEWAY"]
    wait_time = PACE
    weight = 4

    def on_start(self) -> None:
        self._members = itertools.cycle(datasets.zipf(MEMBERS, 1_000, seed=random.randrange(2**32)))

    @task
    def award(self) -> None:
        key, member = uuid.uuid4().hex, next(self._members)
        self._send(key, member, "POST /v1/awards", is_replay=False)
        if random.random() < REPLAYS:
            self._send(key, member, "POST /v1/awards (replay)", is_replay=True)

    def _send(self, key: str, member: str, name: str, *, is_replay: bool) -> None:
        with self.client.post(
            "/v1/awards",
            json={"member": member, "kind": "points", "amount": datasets.AWARD_AMOUNT},
            headers={**API, "Idempotency-Key": key},
            catch_response=True,
            name=name,
        ) as answer:
            expect(answer, 201)
            replayed = (answer.headers or {}).get("Idempotent-Replayed") == "true"
            if answer.status_code == 201 and replayed != is_replay:
                answer.failure(f"Idempotent-Replayed is {replayed}")


class StatsUser(FastHttpUser):
    """Looks at link statistics, balances and statements."""

    host = os.environ["STAMPGATE_LOAD_GATEWAY"]
    wait_time = PACE
    weight = 2

    @task(2)
    def statistics(self) -> None:
        self._look(f"/v1/links/{random.choice(LINKS)}/stats", "GET /v1/links/{id}/stats")

    @task(2)
    def balance(self) -> None:
        path = f"/v1/members/{random.choice(MEMBERS)}/balances"
        self._look(path, "GET /v1/members/{id}/balances")

    @task(1)
    def statement(self) -> None:
        path = f"/v1/members/{random.choice(MEMBERS)}/statement?limit=20"
        self._look(path, "GET /v1/members/{id}/statement")

    def _look(self, path: str, name: str) -> None:
        with self.client.get(path, headers=API, catch_response=True, name=name) as answer:
            expect(answer, 200)


def expect(answer: ResponseContextManager, status: int) -> None:
    """Another status than this is a failure, and this one is none even when Locust thinks so."""
    if answer.status_code == status:
        answer.success()
    else:
        answer.failure(f"status {answer.status_code}, expected {status}")
