"""Offers: what a merchant gives, when it is to be had, and what becomes a member's cashback."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from core import destinations, errors, links, macros, money, programs
from core.categories import CategoryIds
from core.links import Line, LinkConfig, Ref, Time, Url
from core.merchants import Text
from core.money import Currency, Money
from core.providers.affiliate import links as tracking
from core.providers.affiliate.protocol import AffiliateNetwork

Kind = Literal["cashback", "coupon", "deal"]
State = Literal["draft", "active", "paused", "ended"]
Period = Literal["day", "week", "month", "ever"]
Rate = Annotated[int, Meta(ge=1, le=money.BASIS_POINTS)]
Amount = Annotated[int, Meta(ge=1, le=10**15)]
Seconds = Annotated[int, Meta(ge=0, le=366 * 86_400)]
Code = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]{1,64}$(?!\n)")]

DAY_MS: Final = 86_400_000
WORDS_MAX: Final = 10


class OfCommission(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="basis", tag="commission"
):
    """A share of what the network pays, in basis points."""

    rate_bp: Rate


class OfSale(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="basis", tag="sale"
):
    """A share of what the member paid, in basis points."""

    rate_bp: Rate


class Fixed(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="basis", tag="fixed"
):
    """The same for every purchase."""

    amount_minor: Amount
    currency: Currency


Cashback = OfCommission | OfSale | Fixed


class MemberCap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most that a member gets of an offer in a period of the program's time zone; weeks begin
    on Monday. `count` is of purchases that got cashback.
    """

    period: Period
    amount_minor: Amount | None = None
    count: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None


class OfferFields(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What everybody may see of an offer."""

    merchant_id: Ref
    title: Annotated[Line, Meta(min_length=1)]
    kind: Kind
    description: Text = ""
    terms: Text = ""
    cashback: Cashback | None = None
    member_cap: MemberCap | None = None
    starts_at: Time | None = None
    ends_at: Time | None = None
    category_ids: CategoryIds = ()
    is_hot: bool = False
    rank: Annotated[int, Meta(ge=0, le=1_000_000)] = 1_000


class OfferConfig(OfferFields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An offer as the API takes and stores it.

    Without a `state` a new offer is a draft, and one that is replaced keeps its own. Lower `rank`
    stands first. `destination` is a template as links have them, or the shop's page if `network_id`
    is an account of ours at a network, whose id of the shop is `network_campaign`. A purchase
    counts within `attribution_window_days` after the click, and at least and at most so long after
    it.
    """

    destination: Url
    external_id: Ref | None = None
    network_id: Ref | None = None
    network_campaign: Ref | None = None
    coupon_code: Code | None = None
    state: State | None = None
    attribution_window_days: Annotated[int, Meta(ge=1, le=365)] = 30
    click_to_conversion_min_s: Seconds | None = None
    click_to_conversion_max_s: Seconds | None = None


class Terms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a member gets of a commission: nothing without `cashback`."""

    cashback: Cashback | None = None
    member_cap: MemberCap | None = None


class Used(msgspec.Struct, frozen=True):
    """What a member has had of an offer in the present period of its cap."""

    amount_minor: int = 0
    count: int = 0


NOTHING: Final = Used()


class Share(NamedTuple):
    """A commission divided: the member's part, and ours, which is below zero when the offer gives
    more than the network pays.
    """

    cashback: Money
    margin: Money


def validate(
    config: OfferConfig, own_hosts: tuple[str, ...] = (), allow: tuple[str, ...] = ()
) -> OfferConfig:
    """The config with its destination in stored form; InvalidDestination, InvalidRequest, both with
    the field's pointer. See `destinations.validate` for `own_hosts` and `allow`.
    """
    link = links.validate(LinkConfig(destination=config.destination), own_hosts, allow)
    config = msgspec.structs.replace(config, destination=link.destination)
    for pointer, detail in _contradictions(config):
        raise errors.InvalidRequest(detail, errors=[{"detail": detail, "pointer": pointer}])
    return config


def is_active(config: OfferConfig, now_ms: int) -> bool:
    """Whether the offer, if its merchant is active, is to be had at this moment."""
    now = dt.datetime.fromtimestamp(now_ms / 1000, dt.UTC)
    return (
        config.state == "active"
        and (config.starts_at is None or config.starts_at <= now)
        and (config.ends_at is None or now < config.ends_at)
    )


def link_config(
    offer_id: str,
    config: OfferConfig,
    network: AffiliateNetwork | None = None,
    allow: Collection[str] = (),
) -> LinkConfig:
    """The link that the offer's clicks are made on, through the account at a network, if that is
    what it names; InvalidDestination. A network that links know by name gets the click id in its
    own parameter. `allow` is that of `destinations.validate`.
    """
    destination = config.destination
    if network is not None:
        if macros.compile(destination).macros:
            raise errors.InvalidDestination("through a network there are no macros of ours")
        campaign = config.network_campaign or ""
        made = tracking.template(network, destination, campaign)
        destination = destinations.validate(made, allow=allow)
    return LinkConfig(
        destination=destination,
        title=config.title,
        merchant_id=config.merchant_id,
        offer_id=offer_id,
        state="active" if config.state == "active" else "paused",
        starts_at=config.starts_at,
        expires_at=config.ends_at,
        network=_link_network(config.network_id),
    )


def next_state(present: State | None, wanted: State | None) -> State:
    """The state that an offer gets, new if it has none at present; OfferInUse for going back to a
    draft, because clicks may refer to it.
    """
    if wanted == "draft" and present not in {None, "draft"}:
        raise errors.OfferInUse("An offer that was published does not become a draft again.")
    return wanted or present or "draft"


def share(
    config: OfferConfig | Terms, commission: Money, sale: Money | None = None, used: Used = NOTHING
) -> Share:
    """Divide a commission: the cashback is rounded down to the minor unit and cut by the cap, the
    rest is margin. Of a sale that is not known, there is no share.

    ValueError for amounts below zero, and for currencies that differ: convert first.
    """
    given = [commission, *([sale] if sale else [])]
    if any(one.amount_minor < 0 or one.currency != commission.currency for one in given):
        raise ValueError("amounts are of one currency and not below zero: reverse postings instead")
    cashback = _capped(config.member_cap, _cashback(config.cashback, commission, sale), used)
    margin = Money(commission.amount_minor - cashback.amount_minor, commission.currency)
    return Share(cashback, margin)


def refusal(
    config: OfferConfig, clicked_ms: int, converted_ms: int
) -> Literal["", "before_click", "too_soon", "too_late", "outside_window"]:
    """Why a purchase at this time does not count for a click at that time; empty when it does."""
    after_s = (converted_ms - clicked_ms) / 1000
    if after_s < 0:
        return "before_click"
    if after_s < (config.click_to_conversion_min_s or 0):
        return "too_soon"
    latest_s = config.click_to_conversion_max_s
    if latest_s is not None and after_s > latest_s:
        return "too_late"
    if converted_ms - clicked_ms > config.attribution_window_days * DAY_MS:
        return "outside_window"
    return ""


def period_of(
    period: Period, now_ms: int, time_zone: str
) -> tuple[dt.datetime, dt.datetime] | None:
    """When the period of a cap that `now_ms` lies in begins, and when the next one does; None for
    ever."""
    zone = programs.zone(time_zone)
    first = dt.datetime.fromtimestamp(now_ms / 1000, zone).date()
    match period:
        case "ever":
            return None
        case "day":
            following = first + dt.timedelta(days=1)
        case "week":
            first -= dt.timedelta(days=first.weekday())
            following = first + dt.timedelta(days=7)
        case _:
            first = first.replace(day=1)
            following = (first + dt.timedelta(days=31)).replace(day=1)
    begins, ends = (dt.datetime.combine(day, dt.time(), zone) for day in (first, following))
    return begins, ends


def search_query(text: str) -> str:
    """The words of a text as a query for PostgreSQL: each must begin a word of what is found."""
    words = text.translate({ord("'"): " ", ord("\\"): " "}).split()
    return " & ".join(f"'{word}':*" for word in words[:WORDS_MAX])


def hosts_of(host: str) -> list[str]:
    """A host and the names above it, down to two labels, in lower case and without its port."""
    labels = host.lower().partition(":")[0].strip(".").split(".")
    return [".".join(labels[start:]) for start in range(max(len(labels) - 1, 1))]


def _contradictions(config: OfferConfig) -> Iterator[tuple[str, str]]:
    """What the types cannot say: pointer and detail of each contradiction."""
    if config.kind == "coupon" and config.coupon_code is None:
        yield "/coupon_code", "A coupon has a code."
    if config.kind == "cashback" and config.cashback is None:
        yield "/cashback", "A cashback offer says how much."
    if config.starts_at and config.ends_at and config.starts_at >= config.ends_at:
        yield "/ends_at", "The offer ends before it starts."
    shortest, longest = config.click_to_conversion_min_s, config.click_to_conversion_max_s
    if shortest is not None and longest is not None and shortest > longest:
        yield "/click_to_conversion_max_s", "The longest time is shorter than the shortest."
    cap = config.member_cap
    if cap is not None and cap.amount_minor is None and cap.count is None:
        yield "/member_cap", "The cap says how much or how often."
    is_found_again = "click_id" in macros.compile(config.destination).macros
    if config.cashback is not None and config.network_id is None and not is_found_again:
        yield "/destination", "Without a network, {click_id} must stand in the destination."


def _link_network(network_id: str | None) -> links.NetworkName | None:
    return msgspec.convert(network_id, links.NetworkName) if network_id in links.NETWORKS else None


def _cashback(rule: Cashback | None, commission: Money, sale: Money | None) -> Money:
    match rule:
        case OfCommission():
            return money.cashback(commission, rule.rate_bp)
        case OfSale() if sale is not None:
            return money.cashback(sale, rule.rate_bp)
        case Fixed():
            if rule.currency != commission.currency:
                raise ValueError("the cashback is in another currency than the commission")
            return Money(rule.amount_minor, rule.currency)
        case _:
            return Money(0, commission.currency)


def _capped(cap: MemberCap | None, cashback: Money, used: Used) -> Money:
    if cap is None:
        return cashback
    if cap.count is not None and used.count >= cap.count:
        return Money(0, cashback.currency)
    if cap.amount_minor is None:
        return cashback
    left = max(0, cap.amount_minor - used.amount_minor)
    return Money(min(cashback.amount_minor, left), cashback.currency)
