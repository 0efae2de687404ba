"""`/v1/networks`: a program's accounts at affiliate networks."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from core import errors, tasks
from core.conversions import Verdict
from core.links import Line
from core.networks import TOKEN_BYTES, Rules, check, digest
from core.providers.affiliate import table
from core.providers.affiliate.protocol import CanPull
from core.providers.affiliate.report import Report, Status
from db import intake, networks, outbox
from db import offers as db_offers
from db.links import Publication
from db.networks import Network
from db.pg import Db
from gateway import answers, auditing, lists, offers, patches, postbacks
from gateway.app import Call, read, read_as
from gateway.lookups import moment
from gateway.postbacks import Told
from web import problem
from web.routing import Route

#: What is read without a span.
LOOK_BACK: Final = dt.timedelta(days=30)

Overlap = Annotated[int, Meta(ge=0, le=30 * 24)]
Moment = Annotated[dt.datetime, Meta(tz=True)]
Name = Annotated[Line, Meta(min_length=1)]
Values = dict[str, Any]
Text = Annotated[str, Meta(max_length=255)]
Minor = Annotated[int, Meta(ge=0, le=10**12)]


class NewNetwork(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account: `config` and `credentials` are what its provider needs."""

    provider: Annotated[str, Meta(max_length=40)]
    name: Name
    config: Values = {}
    rules: Rules = Rules()
    credentials: Values | None = None


class ChangeableNetwork(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be changed of an account."""

    name: Name
    state: Literal["enabled", "disabled"]
    config: Values
    rules: Rules
    credentials: Values | None


class ShownNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """An account; neither its credentials nor its token are shown."""

    id: str
    provider: str
    name: str
    state: str
    config: Values
    rules: Rules
    has_credentials: bool
    can_pull: bool
    previous_token_until: dt.datetime | None
    synced_until: dt.datetime | None
    last_synced_at: dt.datetime | None
    next_sync_at: dt.datetime
    sync_failures: int
    last_error: str | None
    created_at: dt.datetime
    updated_at: dt.datetime


class NetworkWithToken(ShownNetwork, frozen=True, kw_only=True):
    """An account and the path of its postbacks, whose last part is not shown again."""

    postback_token: str


class Rotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the old token is taken too."""

    overlap_hours: Overlap = 24


class Span(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is read anew: all that changed from `from` until before `to`; the last thirty days until
    now, unless they are given.
    """

    since: Moment | None = msgspec.field(default=None, name="from")
    until: Moment | None = msgspec.field(default=None, name="to")


class Simulated(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a network would report."""

    txn_id: Annotated[str, Meta(min_length=1, max_length=255)]
    event: Text = ""
    click_id: Text | None = None
    status: Status = "pending"
    commission_minor: Minor | None = None
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$(?!\n)")] | None = None
    sale_minor: Minor | None = None
    order_id: Text | None = None


class Simulation(msgspec.Struct, frozen=True):
    """The postback that says it, and what would become of it."""

    method: str
    query: str
    verdict: Told


NetworkPatch = patches.patch_of(ChangeableNetwork)
_new = msgspec.json.Decoder(NewNetwork)
_patch = msgspec.json.Decoder(NetworkPatch)
_rotation = msgspec.json.Decoder(Rotation)
_simulated = msgspec.json.Decoder(Simulated)


async def create(call: Call) -> web.Response:
    """Store an account; its token is in this answer alone."""
    body = await read(call)
    new = problem.decode(_new, body)
    _check(new.provider, new.config, new.credentials, new.rules)
    stored = networks.New(**msgspec.structs.asdict(new))

    async def work(db: Db) -> NetworkWithToken:
        token, network_id = secrets.token_urlsafe(TOKEN_BYTES), call.app.new_id("network")
        program_id = call.principal.program_id
        made = await networks.add(db, call.app.ring, program_id, network_id, stored, digest(token))
        await auditing.record(call, db, "network.create", network_id, after=_recorded(made))
        return _with_token(made, token)

    return await answers.once(call, body, work)


async def list_all(call: Call) -> web.Response:
    """The program's accounts, oldest first."""
    window = problem.decode_query(lists.Window, call.query)
    program_id, after = call.principal.program_id, window.after("network")
    async with call.app.connection() as db:
        found = await networks.page(db, program_id, after=after, limit=window.limit + 1)
    return problem.reply(lists.page([_shown(one) for one in found], window.limit))


async def get(call: Call) -> web.Response:
    """One account."""
    async with call.app.connection() as db:
        return problem.reply(_shown(await networks.get(db, *_named(call))))


async def change(call: Call) -> web.Response:
    """Change the given fields; with another config, the links of its offers are made anew."""
    wanted = patches.changes(await read_as(call, _patch))
    secrets_given = wanted.pop("credentials", msgspec.UNSET)
    news: list[Publication] = []
    async with call.app.transaction() as db:
        before = await networks.lock_to_change(db, *_named(call))
        after = msgspec.structs.replace(before, **wanted)
        if secrets_given is not msgspec.UNSET:
            _check(after.provider, after.config, secrets_given, after.rules)
            opened = networks.sealed(call.app.ring, before.id, secrets_given)
            after = msgspec.structs.replace(after, credentials=opened)
        else:
            _check(after.provider, after.config, None, after.rules)
        stored = await networks.change(db, after)
        if stored.config != before.config:
            news = await db_offers.relink(db, *_named(call), call.app.reachable)
        old, new = _recorded(before), _recorded(stored)
        await auditing.record(call, db, "network.change", before.id, old, new)
    await offers.publish(call, news)
    return problem.reply(_shown(stored))


async def rotate_token(call: Call) -> web.Response:
    """Make a new token; for a while, both are taken."""
    body = await read(call)
    rotation = problem.decode(_rotation, body or b"{}")

    async def work(db: Db) -> NetworkWithToken:
        token = secrets.token_urlsafe(TOKEN_BYTES)
        made = await networks.rotate(db, *_named(call), digest(token), rotation.overlap_hours)
        await auditing.record(call, db, "network.rotate_token", made.id, after=rotation)
        return _with_token(made, token)

    return await answers.once(call, body, work)


async def sync(call: Call) -> web.Response:
    """Have the network asked once more what happened in a span of time."""
    span = problem.decode_query(Span, call.query)
    now = moment(call.app.now_ms())
    until = span.until or now
    since = span.since or until - LOOK_BACK
    if since >= until:
        raise errors.InvalidRequest("`from` is not before `to`.")
    if until > now:
        raise errors.InvalidRequest("`to` is not in the past.")
    async with call.app.transaction() as db:
        network = await networks.lock(db, *_named(call))
        if not can_pull(network):
            raise errors.InvalidRequest("This network cannot be asked; it sends postbacks only.")
        await networks.ask(db, network, since, until, now)
        await outbox.add(db, tasks.SyncNetwork(network.id))
        asked = {"from": since, "to": until}
        await auditing.record(call, db, "network.sync", network.id, after=asked)
        network = await networks.get(db, *_named(call))
    return problem.reply(_shown(network), 202)


async def simulate(call: Call) -> web.Response:
    """What would become of a report, without its effects."""
    wanted = await read_as(call, _simulated)
    report = Report(**msgspec.structs.asdict(wanted))
    async with call.app.connection() as db:
        network = await networks.get(db, *_named(call))
    said = networks.made(call.app.ring, network).sample_postback(report)
    if said is None:
        raise errors.InvalidRequest("The network's postbacks cannot say this.")

    async def work(db: Db) -> Verdict:
        locked = await networks.lock(db, *_named(call))
        return await intake.simulate(db, call.app.ring, locked, said, postbacks.act(call))

    verdict = await postbacks.tried(call, work)
    return problem.reply(Simulation(said.method, said.query, postbacks.told("", verdict)))


def can_pull(network: Network) -> bool:
    """Whether the network has an API that can be asked."""
    return isinstance(table.make(network.provider, network.config), CanPull)


def _check(
    provider: str, config: Mapping[str, Any], secret: Mapping[str, Any] | None, rules: Rules
) -> None:
    try:
        made = table.make(provider, config, secret)
    except errors.BadSetting as error:
        raise errors.InvalidRequest(str(error)) from None
    check(rules)
    if rules.dedupe in {"increment", "new_each"} and isinstance(made, CanPull):
        # It says again and again what it has said: all of that would be added up.
        raise errors.InvalidRequest(f"dedupe: {rules.dedupe} is for networks that cannot be asked.")


def _named(call: Call) -> tuple[str, str]:
    return call.principal.program_id, call.params["network_id"]


def _recorded(network: Network) -> dict[str, object]:
    given = ("provider", "name", "state", "config", "rules")
    return {name: getattr(network, name) for name in given} | {
        "has_credentials": network.credentials is not None
    }


def _values(network: Network) -> dict[str, Any]:
    fields = msgspec.structs.asdict(network)
    own = {field.name for field in msgspec.structs.fields(ShownNetwork)}
    return {name: value for name, value in fields.items() if name in own} | {
        "has_credentials": network.credentials is not None,
        "can_pull": can_pull(network),
    }


def _shown(network: Network) -> ShownNetwork:
    return ShownNetwork(**_values(network))


def _with_token(network: Network, token: str) -> NetworkWithToken:
    return NetworkWithToken(**_values(network), postback_token=token)


PATH: Final = "/v1/networks/{network_id}"
_MISSING: Final = (errors.NetworkNotFound,)

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/networks",
        handler=create,
        name="create_network",
        summary="Store an account at an affiliate network; the only answer that has its token",
        scope="programs:write",
        body=NewNetwork,
        reply=NetworkWithToken,
        status=201,
        errors=(errors.ProgramNotFound,),
        is_idempotent=True,
        is_key_optional=True,
        is_secret=True,
    ),
    Route(
        method="GET",
        path="/v1/networks",
        handler=list_all,
        name="list_networks",
        summary="List affiliate networks, oldest first",
        scope="programs:read",
        query=lists.Window,
        reply=lists.Page[ShownNetwork],
    ),
    Route(
        method="GET",
        path=PATH,
        handler=get,
        name="get_network",
        summary="Read an affiliate network, and how far it was asked",
        scope="programs:read",
        reply=ShownNetwork,
        errors=_MISSING,
    ),
    Route(
        method="PATCH",
        path=PATH,
        handler=change,
        name="change_network",
        summary="Change the given fields of an affiliate network",
        scope="programs:write",
        body=NetworkPatch,
        reply=ShownNetwork,
        errors=(*_MISSING, errors.InvalidDestination),
    ),
    Route(
        method="POST",
        path=f"{PATH}/rotate-token",
        handler=rotate_token,
        name="rotate_network_token",
        summary="Make a new token for a network's postbacks; both are taken for a while",
        scope="programs:write",
        body=Rotation,
        reply=NetworkWithToken,
        errors=_MISSING,
        is_idempotent=True,
        is_key_optional=True,
        is_secret=True,
    ),
    Route(
        method="POST",
        path=f"{PATH}/sync",
        handler=sync,
        name="sync_network",
        summary="Have a network asked again what happened in a span of time",
        scope="conversions:write",
        query=Span,
        reply=ShownNetwork,
        status=202,
        errors=_MISSING,
        repeats="What is known already changes nothing.",
    ),
    Route(
        method="POST",
        path=f"{PATH}/simulate",
        handler=simulate,
        name="simulate_network",
        summary="What would become of a network's report; nothing is changed",
        scope="conversions:write",
        body=Simulated,
        reply=Simulation,
        errors=_MISSING,
        repeats="It changes nothing.",
    ),
)
