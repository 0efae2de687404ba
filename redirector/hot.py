"""The fast lane's share of `GET` and `HEAD /r/{slug}`: links that are static bytes or a splice.

It does what `redirect.py` does for such links, with the same functions; a differential test holds
both to the same answer. Queries, paths, rules, caps, prefetches and links that are not in memory
are left to the ordinary handler.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Final

from multidict import CIMultiDict

from core import classes
from core.errors import StampgateError
from core.linkrules import RULES, STATIC, Link
from redirector import answers
from redirector.redirect import click_of
from redirector.state import State
from redirector.visitors import Visitor
from web import fastlane, problem, server
from web.fastlane import FastLane

GET: Final = b"GET /r/"
HEAD: Final = b"HEAD /r/"
VERSION: Final = b" HTTP/1.1\r\n"
SLUG_MAX: Final = 64
# Heads of visitors are alike: the same app, the same browser. Past this many, memory starts afresh.
HEADS_MAX: Final = 4_096
HEAD_REMEMBERED_MAX: Final = 2_048


class Hot:
    """Takes the plain requests of one process."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._links = state.cache.links
        self._visitors: dict[tuple[bytes, str], Visitor] = {}

    def take(self, connection: FastLane, chunk: bytes) -> bool:
        """Answer a chunk that is one plain request for a simple link in memory."""
        started = time.perf_counter()
        is_head = chunk.startswith(HEAD)
        start = len(HEAD) if is_head else len(GET)
        end = chunk.find(VERSION, start, start + SLUG_MAX + len(VERSION))
        if end < 0 or not (is_head or chunk.startswith(GET)) or not self._state.has_booted:
            return False
        link = self._links.get(str(chunk[start:end], "latin-1"))
        if link is None or link.kind == RULES or link.is_capped:
            return False
        visitor = self._visitor(chunk[end + len(VERSION) :], connection)
        if visitor is None or visitor.hit_class == classes.PREFETCH:
            return False
        self._state.cache.count_hit()
        if is_head:
            self._write(connection, link, b"", started)
        else:
            self._record(connection, link, visitor, started)
        return True

    def _record(self, connection: FastLane, link: Link, visitor: Visitor, started: float) -> None:
        state = self._state
        recorder = state.recorder
        snapshot = link.snapshot
        click_id = recorder.minter.mint(
            time.time_ns() // 1_000_000, snapshot.program_id, link.link_bits
        )
        connection.begin()
        recorder.commit.add(
            click_of(link, visitor, click_id),
            f"{snapshot.link_id}:{visitor.hit_class}",
            partial(self._done, connection, link, visitor, click_id.encode(), started),
        )

    def _done(
        self,
        connection: FastLane,
        link: Link,
        visitor: Visitor,
        click_id: bytes,
        started: float,
        error: StampgateError | None,
    ) -> None:
        if error is not None:
            connection.answer(*fastlane.serialize(problem.problem(error)))
            self._state.requests.add("redirect", error.status, time.perf_counter() - started)
            return
        self._state.clicks.pending[visitor.hit_class] += 1
        self._write(connection, link, click_id, started)

    def _write(self, connection: FastLane, link: Link, click_id: bytes, started: float) -> None:
        location = link.location_prefix
        if link.kind != STATIC:
            location += click_id + link.location_suffix
        snapshot = link.snapshot
        connection.answer(
            answers.redirect_head(snapshot.redirect_status, location, snapshot.referrer_policy)
        )
        self._state.requests.add(
            "redirect", snapshot.redirect_status, time.perf_counter() - started
        )

    def _visitor(self, block: bytes, connection: FastLane) -> Visitor | None:
        """The visitor of a header block, or None when the block is not plain or has a body."""
        peer = connection.peer
        visitor = self._visitors.get((block, peer))
        if visitor is None:
            headers = fastlane.plain_headers(block)
            if headers is None or b"content-length" in headers:
                return None
            named = CIMultiDict(
                (name.decode("ascii"), value.decode("ascii")) for name, value in headers.items()
            )
            visitor = self._state.eyes.see(named, peer)
            if len(block) <= HEAD_REMEMBERED_MAX:
                if len(self._visitors) >= HEADS_MAX:
                    self._visitors.clear()
                self._visitors[block, peer] = visitor
        return visitor


def protocol(state: State) -> type[server.Protocol]:
    """The protocol class of a process: with the fast lane, unless a setting switches it off."""
    return fastlane.protocol(Hot(state).take) if state.settings.fast_lane else server.Protocol
