"""What a fraud rule looks at: each kind is a few values and one function, which says why a
conversion is hit, or nothing. It looks back only, from the moment at which the conversion was first
seen, so that looking again later comes to the same.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta

from core import (
    attribution,
    classes,
    clickid,
    conversions,
    errors,
    fraud_lists,
    fraud_sources,
)
from core.classes import ClassName
from core.conversions import Conversion
from core.fraud_kinds import DAY_S, Count, Kind, Minor, Percent, Seconds, Window
from core.fraud_lists import Found, Lists
from core.fraud_sources import Key, Measure, Rate, Source
from core.links import Host
from core.withdrawal_rules import OfWithdrawal, WithdrawalVelocity

CLASSES_MAX: Final = len(classes.NAMES)

_WORDS: Final[dict[Measure, tuple[str, str]]] = {
    "approvals": ("decided conversions", "were approved"),
    "conversions": ("clicks", "converted"),
}


class History(NamedTuple):
    """A member's conversions up to one, that one included, and how many of them were rejected or
    reversed."""

    made: int
    taken_back: int


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a conversion. `histories` are by how far they go back, in seconds, and so is
    `from_address`: how many conversions came from its address, if that is known. `payees` are the
    members who are paid to one of the member's accounts, `holders` those who handed in the same
    document, the member included. `same_agent` is how many clicks on its link came from its click's
    user agent, by window; `rates` are those of its sources. `mail_lists` are the lists in which the
    member's mail domain stands, `networks` those in which its click's network stood.
    """

    found: Conversion
    click_class: int | None = None
    referrer: str = ""
    member_since: dt.datetime | None = None
    histories: Mapping[int, History] = {}
    from_address: Mapping[int, int] = {}
    payees: int = 1
    holders: int = 1
    same_agent: Mapping[int, int] = {}
    rates: Mapping[Key, Rate] = {}
    mail_lists: Sequence[Found] = ()
    networks: Sequence[Found] = ()


class ClickToConversion(Kind, frozen=True, kw_only=True, tag="click_to_conversion"):
    """It came sooner after its click than `min_s`, or later than `max_s`."""

    min_s: Seconds | None = None
    max_s: Seconds | None = None

    def why(self, facts: Facts) -> str | None:
        """Why it is hit."""
        taken_s = after_click_s(facts.found)
        if taken_s is None:
            return None
        if self.min_s is not None and taken_s < self.min_s:
            return f"it came {taken_s:.0f} s after its click, sooner than {self.min_s} s"
        if self.max_s is not None and taken_s > self.max_s:
            return f"it came {taken_s:.0f} s after its click, later than {self.max_s} s"
        return None


class ClickClass(Kind, frozen=True, kw_only=True, tag="click_class"):
    """Its click was of one of these classes; whatever is not human, unless some are named."""

    classes: Annotated[list[ClassName], Meta(min_length=1, max_length=CLASSES_MAX)] | None = None

    def why(self, facts: Facts) -> str | None:
        """Why it is hit."""
        if facts.click_class is None:
            return None
        name = classes.NAMES[facts.click_class]
        is_hit = name != "human" if self.classes is None else name in self.classes
        return f"its click was {name}" if is_hit else None


class Referrer(Kind, frozen=True, kw_only=True, tag="referrer"):
    """Its click came from a page of one of these hosts, or of a host below one."""

    hosts: Annotated[list[Host], Meta(min_length=1, max_length=200)]

    def why(self, facts: Facts) -> str | None:
        """Why it is hit."""
        labels = facts.referrer.split(".")
        above = {".".join(labels[start:]) for start in range(len(labels))}
        return f"its click came from {facts.referrer}" if above & set(self.hosts) else None


class MemberVelocity(Kind, frozen=True, kw_only=True, tag="member_velocity"):
    """The member has more than `most` conversions within `window_s`."""

    most: Count
    window_s: Window

    @property
    def span_s(self) -> int:
        """How far back the member's history is looked at."""
        return self.window_s

    def why(self, facts: Facts) -> str | None:
        """Why it is hit."""
        made = facts.histories[self.window_s].made
        if made <= self.most:
            return None
        return f"it is the member's conversion {made} within {self.window_s} s"


class AddressVelocity(Kind, frozen=True, kw_only=True, tag="address_velocity"):
    """More than `most` conversions within `window_s` had clicks of one day from one network, /24 or
    /48."""

    most: Count
    window_s: Annotated[int, Meta(ge=60, le=DAY_S)]

    def why(self, facts: Facts) -> str | None:
        """Why it is hit."""
        made = facts.from_address.get(self.window_s, 0)
        if made <= self.most:
            return None
        return f"it is conversion {made} from its address within {self.window_s} s"


class NewMember(Kind, frozen=True, kw_only=True, tag="new_member"):
    """It is the first conversion of a member who joined less than `younger_than_s` before, and its
    cashback is above `above_minor`, in minor units of the program's currency."""

    younger_than_s: Window
    above_minor: Minor = 0

    @property
    def span_s(self) -> int:
        """How far back the member's history is looked at: further than the member goes."""
        return self.younger_than_s

    def why(self, facts: Facts) -> str | None:
        """Why it is hit."""
        found = facts.found
        if facts.member_since is None or found.booked_cashback_minor <= self.above_minor:
            return None
        age_s = (found.first_seen_at - facts.member_since).total_seconds()
        if age_s >= self.younger_than_s or facts.histories[self.younger_than_s].made > 1:
            return None
        return f"it is the first of a member who joined {max(age_s, 0):.0f} s before"


class Reversals(Kind, frozen=True, kw_only=True, tag="reversals"):
    """Of the member's other conversions within `window_s`, at least `at_least` of them, `percent`
    or more were rejected or reversed."""

    percent: Percent
    at_least: Count = 5
    window_s: Window = 90 * DAY_S

    @property
    def span_s(self) -> int:
        """How far back the member's history is looked at."""
        return self.window_s

    def why(self, facts: Facts) -> str | None:
        """Why it is hit."""
        made, taken_back = facts.histories[self.window_s]
        others = made - 1
        if others < self.at_least or taken_back * 100 < others * self.percent:
            return None
        return f"{taken_back} of the member's {others} conversions before were taken back"


class Amount(Kind, frozen=True, kw_only=True, tag="amount"):
    """Its cashback, or the commission, is above `above_minor`, in minor units of the program's
    currency."""

    of: Literal["cashback", "commission"] = "cashback"
    above_minor: Minor

    def why(self, facts: Facts) -> str | None:
        """Why it is hit."""
        found = facts.found
        is_cashback = self.of == "cashback"
        amount = found.booked_cashback_minor if is_cashback else found.booked_commission_minor
        if amount <= self.above_minor:
            return None
        return f"its {self.of} is {amount}, above {self.above_minor}"


class SharedPayoutMethod(Kind, frozen=True, kw_only=True, tag="shared_payout_method"):
    """More than `most` members are paid to the same account."""

    most: Count = 1

    def why(self, facts: Facts) -> str | None:
        """Why it is hit."""
        if facts.payees <= self.most:
            return None
        return f"{facts.payees} members are paid to the same account"


class SharedDocument(Kind, frozen=True, kw_only=True, tag="shared_document"):
    """More than `most` members handed in the same document."""

    most: Count = 1

    def why(self, facts: Facts) -> str | None:
        """Why it is hit."""
        if facts.holders <= self.most:
            return None
        return f"{facts.holders} members handed in the same document"


class AgentBurst(Kind, frozen=True, kw_only=True, tag="agent_burst"):
    """Of the clicks on its click's link within `window_s` before that one, more than `most` came
    from the same user agent, that one included."""

    most: Count
    window_s: Annotated[int, Meta(ge=1, le=3_600)] = 60

    def why(self, facts: Facts) -> str | None:
        """Why it is hit."""
        clicks = facts.same_agent.get(self.window_s, 0)
        if clicks <= self.most:
            return None
        return (
            f"its click was click {clicks} of one user agent on its link within {self.window_s} s"
        )


class SourceOutlier(Kind, frozen=True, kw_only=True, tag="source_outlier"):
    """Of its network's or its link's conversions in the last `days` so few were approved, or of the
    clicks there so many converted, that this is `sigmas` standard errors from the program's others.
    """

    of: Measure
    by: Source = "network"
    sigmas: Annotated[int, Meta(ge=1, le=20)] = 3
    at_least: Annotated[int, Meta(ge=10, le=1_000_000)] = 50
    days: Annotated[int, Meta(ge=1, le=90)] = 30

    @property
    def key(self) -> Key:
        """What is compared."""
        return Key(self.of, self.by, self.days)

    def why(self, facts: Facts) -> str | None:
        """Why it is hit."""
        rate = facts.rates.get(self.key)
        if rate is None or rate.own.total < self.at_least:
            return None
        above = fraud_sources.sigmas_above(rate)
        apart = -above if self.of == "approvals" else above
        if apart < self.sigmas:
            return None
        what, happened = _WORDS[self.of]
        (own, total), (others, of_others) = rate
        said = f"{own} of {total} {what} of its {self.by} {happened}"
        return f"{said}, {others} of {of_others} elsewhere: {apart:.1f} standard errors apart"


class DisposableMail(Kind, frozen=True, kw_only=True, tag="disposable_mail"):
    """The domain of the member's mail address stands in one of these lists, or in any; one that is
    built in gives an address to anybody for some minutes."""

    lists: Lists | None = None

    def why(self, facts: Facts) -> str | None:
        """Why it is hit."""
        found = fraud_lists.named(facts.mail_lists, self.lists)
        if not found:
            return None
        return f"the domain of the member's mail address is in {', '.join(map(str, found))}"


class ListedNetwork(Kind, frozen=True, kw_only=True, tag="listed_network"):
    """Its click came from a network in one of these lists, or in any, when it was stored."""

    lists: Lists | None = None

    def why(self, facts: Facts) -> str | None:
        """Why it is hit."""
        found = fraud_lists.named(facts.networks, self.lists)
        if not found:
            return None
        return f"its click came from a network in {', '.join(map(str, found))}"


OfConversion: TypeAlias = (
    ClickToConversion
    | ClickClass
    | Referrer
    | MemberVelocity
    | AddressVelocity
    | NewMember
    | Reversals
    | Amount
    | SharedPayoutMethod
    | SharedDocument
    | AgentBurst
    | SourceOutlier
    | DisposableMail
    | ListedNetwork
)
Condition: TypeAlias = OfConversion | OfWithdrawal


def check(condition: Condition) -> None:
    """InvalidRequest for values that can hit nothing, or everything."""
    if isinstance(condition, ClickToConversion):
        least, most = condition.min_s, condition.max_s
        if least is None and most is None:
            raise _wrong("Say min_s, max_s, or both.")
        if least is not None and most is not None and least > most:
            raise _wrong("min_s is not above max_s.")
    if isinstance(condition, WithdrawalVelocity) and condition.is_empty:
        raise _wrong("Say most, above_minor, or both.")


def spans_s(conditions: Iterable[Condition]) -> list[int]:
    """How far back, in seconds, these look at a member's history."""
    looking = MemberVelocity | NewMember | Reversals
    return sorted({one.span_s for one in conditions if isinstance(one, looking)})


def after_click_s(found: Conversion) -> float | None:
    """How long after its click it came; None when it is not known by its click."""
    click_id = found.own_click_id
    if click_id is None:
        return None
    at = found.event_at or found.first_seen_at
    clicked_at = conversions.moment(clickid.decode(click_id).ms)
    return attribution.since_click(clicked_at, at).total_seconds()


def _wrong(detail: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(detail, errors=[{"detail": detail, "pointer": "/condition"}])
