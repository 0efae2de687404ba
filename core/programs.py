"""A program's rules for points and stamps: limits, intervals, budgets, and whose day it is."""

from __future__ import annotations

import datetime as dt
import functools
import zoneinfo
from typing import Annotated, Literal, NamedTuple

import msgspec

from core.notices import NoticeRules

Amount = Annotated[int, msgspec.Meta(gt=0, le=2**53 - 1)]
Allowance = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Reward = Annotated[int, msgspec.Meta(ge=0, le=10**15)]
Moment = Annotated[dt.datetime, msgspec.Meta(tz=True)]


# Where a browser may be sent after a sign-in: https, this machine (RFC 8252 §7.3), or a scheme of
# an app's own, which has a dot in its name (§7.1); never one that runs scripts.
Redirect = Annotated[
    str,
    msgspec.Meta(
        max_length=512,
        pattern=r"^(https://[A-Za-z0-9.-]+(:\d{1,5})?/"
        r"|http://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?/"
        r"|[a-z][a-z0-9-]*(\.[a-z0-9-]+)+:/)"
        r"[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*$(?!\n)",
    ),
]


class UnitRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What limits awards in one unit. `budget` bounds all awards of the program, ever."""

    per_member_day: Allowance | None = None
    interval_s: Annotated[int, msgspec.Meta(ge=0, le=30 * 86_400)] = 0
    budget: Allowance | None = None


# As browsers write it: scheme, host and port in lower case, nothing else.
Origin = Annotated[str, msgspec.Meta(pattern=r"^https?://[a-z0-9.\-\[\]:]{1,255}$(?!\n)")]
Origins = Annotated[list[Origin], msgspec.Meta(max_length=50)]


class WithdrawalRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What limits withdrawals, in minor units of the program's currency: the least that can be
    asked for, and above how much two operators have to approve (never, if null). `provider` pays
    what was approved; without one it is paid by hand.
    """

    minimum_minor: Amount = 10_000
    two_approvals_above_minor: Allowance | None = 1_000_000
    provider: Literal["razorpayx", "cashfree-payouts"] | None = None


class ReferralRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What members get for bringing others, in minor units of the program's currency.

    A code can be claimed from `starts_at` until `ends_at`, within `claim_days` after joining. What
    a new member buys within `qualify_days` after joining qualifies once it is approved with at
    least the minimum. A referrer is rewarded for `cap_count` members and with `cap_minor` at most
    in `cap_days`, or ever if those are null; `budget_minor` bounds all rewards, ever.
    """

    is_on: bool = False
    referrer_minor: Reward = 0
    referee_minor: Reward = 0
    minimum_commission_minor: Reward = 0
    minimum_sale_minor: Reward = 0
    claim_days: Annotated[int, msgspec.Meta(ge=1, le=365)] = 7
    qualify_days: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 90
    cap_count: Allowance | None = None
    cap_minor: Allowance | None = None
    cap_days: Annotated[int, msgspec.Meta(ge=1, le=3650)] | None = 30
    budget_minor: Reward | None = None
    starts_at: Moment | None = None
    ends_at: Moment | None = None

    def __post_init__(self) -> None:
        if self.starts_at and self.ends_at and self.ends_at <= self.starts_at:
            raise ValueError("`ends_at` must be later than `starts_at`")

    def is_open(self, now: dt.datetime) -> bool:
        """Whether codes can be claimed then."""
        has_begun = self.starts_at is None or self.starts_at <= now
        return self.is_on and has_begun and (self.ends_at is None or now < self.ends_at)


class ProgramSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `settings` of a program. Pages of `cors_origins` may call the API from a browser.
    `sign_in_redirects` are where members may be sent, exactly so, after they have signed in with a
    provider.
    """

    points: UnitRules = UnitRules()
    stamps: UnitRules = UnitRules()
    cors_origins: Origins = []
    sign_in_redirects: Annotated[list[Redirect], msgspec.Meta(max_length=32)] = []
    withdrawals: WithdrawalRules = WithdrawalRules()
    referrals: ReferralRules = ReferralRules()
    notices: NoticeRules = NoticeRules()

    def rules(self, unit: str) -> UnitRules:
        """The rules of `points` or `stamps`."""
        return self.points if unit == "points" else self.stamps


class Program(NamedTuple):
    """What the award path needs to know of a program."""

    id: str
    time_zone: str
    settings: ProgramSettings


@functools.lru_cache(maxsize=512)
def zone(name: str) -> zoneinfo.ZoneInfo:
    """The time zone of this IANA name; zoneinfo.ZoneInfoNotFoundError or ValueError if none."""
    return zoneinfo.ZoneInfo(name)


@functools.lru_cache(maxsize=4096)
def _day(name: str, quarter_hour: int) -> str:
    moment = dt.datetime.fromtimestamp(quarter_hour * 900, zone(name))
    return moment.strftime("%Y%m%d")


def day(time_zone: str, now_ms: int) -> str:
    """The calendar day at `now_ms` in a time zone, `20260131`; offsets are whole quarter hours."""
    return _day(time_zone, now_ms // 900_000)
