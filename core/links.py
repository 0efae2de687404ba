"""Links: what the API stores (LinkConfig), and what the redirector reads (Snapshot).

Everything that can be decided when a link is saved is decided here, once; what depends on the
visit stays as data and is decided in `core.linkrules`.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Collection, Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from core import classes, destinations, errors, macros, useragents

# The parameter each affiliate network carries its publisher's click reference in.
NETWORKS = {
    "admitad": "subid",
    "vcommission": "p1",
    "tune": "aff_sub",
    "cuelinks": "subid",
    "impact": "subId1",
    "cj": "sid",
    "awin": "clickref",
    "rakuten": "u1",
}
# bcrypt looks at no more than this.
PASSWORD_BYTES_MAX = 72

# `(?!\n)`: a `$` alone would let a trailing newline through.
Slug = Annotated[str, Meta(pattern=r"^[a-z0-9][A-Za-z0-9_-]{0,63}$(?!\n)")]
Ref = Annotated[str, Meta(pattern=r"^[!-~]{1,128}$(?!\n)")]
Line = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)")]
Word = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$(?!\n)")]
Url = Annotated[str, Meta(min_length=1, max_length=destinations.LENGTH_MAX)]
Time = Annotated[dt.datetime, Meta(tz=True)]
Country = Annotated[str, Meta(pattern=r"^[A-Z]{2}$(?!\n)")]
Language = Annotated[str, Meta(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{1,8})*$(?!\n)")]
Host = Annotated[str, Meta(pattern=r"^[a-z0-9_-]+(\.[a-z0-9_-]+)*$(?!\n)", max_length=253)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Few = Meta(max_length=32)
NetworkName = Literal[
    "admitad", "vcommission", "tune", "cuelinks", "impact", "cj", "awin", "rakuten"
]
ReferrerPolicy = Literal[
    "no-referrer",
    "no-referrer-when-downgrade",
    "origin",
    "origin-when-cross-origin",
    "same-origin",
    "strict-origin",
    "strict-origin-when-cross-origin",
    "unsafe-url",
]


class When(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Conditions that must all hold; within one, any of its values. Empty means no condition.

    `query` wants the parameter's value, or with null any value; `referrer_host` matches subdomains
    too, `lang` the visitor's preferred language; `weekday` counts from Monday = 1, and `hour` is
    0–23, both in `timezone`; `after` is inclusive, `before` is not.
    """

    device: Annotated[tuple[useragents.Device, ...], Few] = ()
    os: Annotated[tuple[useragents.System, ...], Few] = ()
    browser: Annotated[tuple[useragents.Browser, ...], Few] = ()
    lang: Annotated[tuple[Language, ...], Few] = ()
    country: Annotated[tuple[Country, ...], Meta(max_length=250)] = ()
    query: Annotated[dict[Name, Line | None], Few] = {}
    referrer_host: Annotated[tuple[Host, ...], Few] = ()
    weekday: Annotated[tuple[Annotated[int, Meta(ge=1, le=7)], ...], Few] = ()
    hour: Annotated[tuple[Annotated[int, Meta(ge=0, le=23)], ...], Few] = ()
    timezone: Annotated[str, Meta(max_length=64)] = "UTC"
    after: Time | None = None
    before: Time | None = None
    click_class: Annotated[tuple[classes.ClassName, ...], Few] = ()


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first rule whose conditions hold leads to its destination."""

    when: When
    destination: Url


class Variant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of several destinations; its share is its weight over the sum of the weights."""

    name: Word
    weight: Annotated[int, Meta(ge=0, le=10_000)]
    destination: Url


class Utm(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """utm_* parameters, possibly with macros, for destinations that don't name them already."""

    source: Line = ""
    medium: Line = ""
    campaign: Line = ""
    term: Line = ""
    content: Line = ""


class LinkConfig(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A link as the API takes, stores and shows it.

    Without a `slug` the gateway chooses one. `password` is only ever written: a text sets it, null
    removes it, absent leaves it; the stored config never has it. `subid_param` overrides the
    parameter that the `network` implies.
    """

    destination: Url
    slug: Slug | None = None
    title: Line | None = None
    external_id: Ref | None = None
    merchant_id: Ref | None = None
    offer_id: Ref | None = None
    campaign_id: Ref | None = None
    state: Literal["active", "paused"] = "active"
    starts_at: Time | None = None
    expires_at: Time | None = None
    fallback_url: Url | None = None
    cap: Annotated[int, Meta(ge=1, le=2**53 - 1)] | None = None
    password: Annotated[str, Meta(min_length=1, max_length=72)] | UnsetType | None = UNSET
    query_mode: destinations.QueryMode = "off"
    query_allow: Annotated[tuple[Name, ...], Meta(max_length=50)] = ()
    append_path: bool = False
    network: NetworkName | None = None
    subid_param: Word | None = None
    utm: Utm | None = None
    rules: Annotated[tuple[Rule, ...], Meta(max_length=50)] = ()
    variants: Annotated[tuple[Variant, ...], Meta(max_length=20)] = ()
    redirect_status: Literal[302, 307] = 302
    referrer_policy: ReferrerPolicy = "no-referrer-when-downgrade"


class SnapshotRule(msgspec.Struct, frozen=True, array_like=True):
    """A rule, compiled."""

    when: When
    template: macros.Template


class SnapshotVariant(msgspec.Struct, frozen=True, array_like=True):
    """A variant, compiled."""

    name: str
    weight: int
    template: macros.Template


# gc=False here and in what it holds: trees without cycles, 100,000 of which need no collector.
class Snapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """All the redirector needs to know of a link; msgpack in Redis. Times are milliseconds.

    `protected` are the query parameters that carry the click id, which no visitor may replace.
    """

    link_id: str
    program_id: str
    version: int
    slug: str
    template: macros.Template
    title: str = ""
    is_paused: bool = False
    starts_ms: int | None = None
    expires_ms: int | None = None
    fallback_url: str = ""
    cap: int | None = None
    password_hash: str = ""
    query_mode: destinations.QueryMode = "off"
    query_allow: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    append_path: bool = False
    rules: tuple[SnapshotRule, ...] = ()
    variants: tuple[SnapshotVariant, ...] = ()
    redirect_status: int = 302
    referrer_policy: ReferrerPolicy = "no-referrer-when-downgrade"


encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Snapshot).decode


def decode(blob: bytes) -> Snapshot:
    """The snapshot of a Redis value, or msgspec.DecodeError."""
    return _decode(blob)


def validate(
    config: LinkConfig, own_hosts: Collection[str] = (), allow: Collection[str] = ()
) -> LinkConfig:
    """The config with its destinations in stored form.

    Raises InvalidDestination for a destination, InvalidRequest for anything else, both with the
    field's pointer in `errors`. See `destinations.validate` for `own_hosts` and `allow`.
    """

    def checked(pointer: str, url: str) -> str:
        try:
            return destinations.validate(url, own_hosts, allow)
        except errors.InvalidDestination as error:
            problem = {"detail": error.detail, "pointer": pointer}
            raise errors.InvalidDestination(error.detail, errors=[problem]) from None

    for pointer, detail in _contradictions(config):
        raise errors.InvalidRequest(detail, errors=[{"detail": detail, "pointer": pointer}])
    replace = msgspec.structs.replace
    return replace(
        config,
        destination=checked("/destination", config.destination),
        fallback_url=config.fallback_url and checked("/fallback_url", config.fallback_url),
        rules=tuple(
            replace(rule, destination=checked(f"/rules/{place}/destination", rule.destination))
            for place, rule in enumerate(config.rules)
        ),
        variants=tuple(
            replace(one, destination=checked(f"/variants/{place}/destination", one.destination))
            for place, one in enumerate(config.variants)
        ),
    )


def compile_snapshot(
    link_id: str, program_id: str, version: int, config: LinkConfig, password_hash: str | None
) -> Snapshot:
    """What the redirector runs, of a validated config whose slug has been chosen."""
    if config.slug is None:
        raise ValueError("the slug has not been chosen")
    constants = _constants(link_id, config)

    def template(destination: str, *, variant: str = "", rule: str = "") -> macros.Template:
        compiled = macros.compile(_completed(destination, config))
        return compiled.bind({**constants, "variant": variant, "rule": rule})

    return Snapshot(
        link_id=link_id,
        program_id=program_id,
        version=version,
        slug=config.slug,
        template=template(config.destination),
        title=config.title or "",
        is_paused=config.state == "paused",
        starts_ms=_milliseconds(config.starts_at),
        expires_ms=_milliseconds(config.expires_at),
        fallback_url=config.fallback_url or "",
        cap=config.cap,
        password_hash=password_hash or "",
        query_mode=config.query_mode,
        query_allow=config.query_allow,
        protected=_protected(config),
        append_path=config.append_path,
        rules=tuple(
            SnapshotRule(one.when, template(one.destination, rule=str(place)))
            for place, one in enumerate(config.rules)
        ),
        variants=tuple(
            SnapshotVariant(one.name, one.weight, template(one.destination, variant=one.name))
            for one in config.variants
        ),
        redirect_status=config.redirect_status,
        referrer_policy=config.referrer_policy,
    )


def _contradictions(config: LinkConfig) -> Iterator[tuple[str, str]]:
    """What the types cannot say: pointer and detail of each contradiction."""
    if isinstance(config.password, str) and not _is_hashable(config.password):
        yield "/password", f"the password is over {PASSWORD_BYTES_MAX} bytes or contains a NUL"
    if config.starts_at and config.expires_at and config.starts_at >= config.expires_at:
        yield "/expires_at", "the link expires before it starts"
    if config.fallback_url and macros.compile(macros.canonical(config.fallback_url)).macros:
        yield "/fallback_url", "macros are not allowed in the fallback URL"
    if config.variants and not any(variant.weight for variant in config.variants):
        yield "/variants", "the weights add up to zero"
    if len({variant.name for variant in config.variants}) < len(config.variants):
        yield "/variants", "two variants have the same name"
    for place, rule in enumerate(config.rules):
        if not _is_timezone(rule.when.timezone):
            yield f"/rules/{place}/when/timezone", "the time zone is unknown"


def _is_hashable(password: str) -> bool:
    return "\0" not in password and len(password.encode()) <= PASSWORD_BYTES_MAX


def _is_timezone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _constants(link_id: str, config: LinkConfig) -> dict[str, str]:
    """The macros that are the same for every visit of the link."""
    return {
        "link_id": link_id,
        "slug": config.slug or "",
        "campaign_id": config.campaign_id or "",
        "offer_id": config.offer_id or "",
        "merchant_id": config.merchant_id or "",
        "network": config.network or "",
    }


def _completed(destination: str, config: LinkConfig) -> str:
    """A destination with the link's utm parameters and the network's sub-id parameter."""
    for name, value in _utm(config):
        if not destinations.has_parameter(destination, name):
            destination = destinations.with_parameter(destination, name, value)
    subid = config.subid_param or (config.network and NETWORKS[config.network])
    if subid and "click_id" not in macros.compile(destination).macros:
        destination = destinations.with_parameter(destination, subid, "{click_id}")
    return destination


def _utm(config: LinkConfig) -> list[tuple[str, str]]:
    if config.utm is None:
        return []
    values = msgspec.structs.asdict(config.utm)
    return [
        (f"utm_{name}", destinations.parameter(value)) for name, value in values.items() if value
    ]


def _protected(config: LinkConfig) -> tuple[str, ...]:
    targets = [
        config.destination,
        *(rule.destination for rule in config.rules),
        *(variant.destination for variant in config.variants),
    ]
    names = (destinations.click_id_parameters(_completed(one, config)) for one in targets)
    return tuple(sorted(frozenset().union(*names)))


def _milliseconds(time: dt.datetime | None) -> int | None:
    return None if time is None else int(time.timestamp() * 1000)
