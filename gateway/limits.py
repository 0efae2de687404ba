"""How often a sign-in may fail, for an account and from an address.

Whatever checks a password or a code calls `check_sign_in` first, and then says how it ended. With
Redis away nobody signs in, since nothing else would stop who guesses.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from typing import Final

from core import errors
from core.limits import Policy, Standing
from db import limits
from gateway import rates
from gateway.app import App
from web import metrics

SIGN_IN: Final = "sign-in"


@contextlib.asynccontextmanager
async def attempt(
    app: App, account_hash: bytes, address: str, *failures: type[errors.StampgateError]
) -> AsyncIterator[None]:
    """Check a password or a code in here; an error of `failures` says that it was wrong.

    Raises as `check_sign_in` and `sign_in_failed`.
    """
    await check_sign_in(app, account_hash, address)
    try:
        yield
    except failures:
        await sign_in_failed(app, account_hash, address)
        raise
    except BaseException:
        await sign_in_succeeded(app, account_hash)
        raise
    await sign_in_succeeded(app, account_hash)


def account(program_id: str | None, contact_hash: bytes) -> bytes:
    """What stands for the account of a contact, whether there is one or not. A contact has one in
    each program: who fails in one of them closes no other.
    """
    return (program_id or "").encode() + contact_hash


async def check_sign_in(app: App, account_hash: bytes, address: str) -> None:
    """Begin to check a password or a code; RateLimited after too many failures.

    `account_hash` stands for the account that is tried, whether there is one or not. Of an account
    at most so many tries are under way or failed in a window, exactly, however they race; of an
    address so many may have failed. Say how it ends with `sign_in_failed` or `sign_in_succeeded`;
    a try whose end is not told counts for 30 s. Raises Unavailable when nobody can count.
    """
    await _let_in(app, "look", _address_key(app, address))
    await _let_in(app, "try", _account_key(account_hash))


async def sign_in_failed(app: App, account_hash: bytes, address: str) -> None:
    """Count a wrong password or code; Unavailable when it cannot be counted, and then the client
    must not be told that it was wrong.
    """
    await _tried_closed(app, "fail", _account_key(account_hash))
    await _tried_closed(app, "fail", _address_key(app, address))


async def sign_in_succeeded(app: App, account_hash: bytes) -> None:
    """End a try that failed for no fault of the caller's, or not at all. Earlier failures stay."""
    try:
        await _tried(app, "pass", _account_key(account_hash))
    except errors.StampgateError:
        metrics.rate_limits_unchecked.labels(SIGN_IN, "open").inc()


async def _let_in(app: App, what: limits.What, who: str) -> None:
    verdict = await _tried_closed(app, what, who)
    if not verdict.may_go_on:
        metrics.rate_limited.labels(SIGN_IN).inc()
        standing = Standing(_policy(app), 0, 0, verdict.wait_us, verdict.wait_us)
        raise errors.RateLimited(standing=standing)


async def _tried_closed(app: App, what: limits.What, who: str) -> limits.Verdict:
    try:
        return await _tried(app, what, who)
    except errors.StampgateError as error:
        metrics.rate_limits_unchecked.labels(SIGN_IN, "closed").inc()
        raise errors.Unavailable("Sign-ins cannot be checked right now.") from error


async def _tried(app: App, what: limits.What, who: str) -> limits.Verdict:
    return await limits.tried(
        app.redis, what, _policy(app), who, rates.now_us(), os.urandom(8).hex()
    )


def _account_key(account_hash: bytes) -> str:
    return f"account:{account_hash.hex()}"


def _address_key(app: App, address: str) -> str:
    return f"address:{app.rates.hashed(address)}"


def _policy(app: App) -> Policy:
    settings = app.settings
    return Policy(SIGN_IN, settings.sign_in_failures_max, settings.sign_in_window_s)
