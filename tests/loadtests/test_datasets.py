from __future__ import annotations

import itertools
from collections import Counter

import msgspec

from loadtests import datasets

MEMBERS = [f"mem_{number:026d}" for number in range(10)]


def test_the_popular_are_asked_for_most() -> None:
    drawn = Counter(datasets.zipf(range(100), 50_000))
    assert drawn[0] > drawn[9] > drawn[99] > 0
    # The first weighs as much as the second twice.
    assert 1.8 < drawn[0] / drawn[1] < 2.2


def test_draws_repeat_with_their_seed() -> None:
    assert datasets.zipf("abc", 50, seed=7) == datasets.zipf("abc", 50, seed=7)
    assert datasets.zipf("abc", 50, seed=7) != datasets.zipf("abc", 50, seed=8)


def test_browser_headers_are_a_kibibyte() -> None:
    request = datasets.redirect_request("demo", datasets.BROWSER)
    assert request.startswith(b"GET /r/demo HTTP/1.1\r\nHost: ")
    assert request.endswith(b"\r\n\r\n")
    assert 1000 <= len(request) <= 1500


def test_awards_have_keys_of_their_own_and_a_true_length() -> None:
    requests = list(itertools.islice(datasets.award_requests(MEMBERS, "token", "run"), 1_000))
    heads, bodies = zip(*(request.split(b"\r\n\r\n") for request in requests), strict=True)
    keys = {
        line for head in heads for line in head.split(b"\r\n") if line.startswith(b"Idempotency")
    }
    assert len(keys) == 1_000
    for head, body in zip(heads, bodies, strict=True):
        assert b"Content-Length: %d" % len(body) in head.split(b"\r\n")
        assert msgspec.json.decode(body)["member"] in MEMBERS


def test_batches_have_as_many_items_as_told_and_no_key_twice() -> None:
    requests = itertools.islice(datasets.batch_requests(MEMBERS, "token", "run", 500), 3)
    items = [
        item
        for request in requests
        for item in msgspec.json.decode(request.split(b"\r\n\r\n")[1])["items"]
    ]
    assert len({item["idempotency_key"] for item in items}) == len(items) == 1_500
