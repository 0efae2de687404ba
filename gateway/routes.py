"""The whole API on one screen."""

from __future__ import annotations

import functools
from typing import Any, Final

import msgspec
from aiohttp import web

from core import errors
from gateway import (
    adjustments,
    aliases,
    audits,
    awards,
    bans,
    break_glass,
    categories,
    claim_decisions,
    claim_inquiries,
    claims,
    clicks,
    codes,
    consents,
    contacts,
    conversions,
    dashboard,
    dead_letters,
    deliveries,
    enrollments,
    exchange_rates,
    fraud_cases,
    fraud_lists,
    fraud_rules,
    holds,
    identities,
    imports,
    keys,
    kyc,
    links,
    logins,
    me,
    members,
    merchants,
    mfa,
    network_pushes,
    networks,
    notifications,
    offer_clicks,
    offer_imports,
    offers,
    operations,
    operators,
    payout_events,
    payout_methods,
    postbacks,
    preferences,
    privacy,
    programs,
    push_subscriptions,
    reclassifications,
    reference,
    referral_codes,
    referrals,
    registrations,
    reports,
    sessions,
    social,
    solvency,
    spends,
    stamps,
    standings,
    statements,
    stats,
    templates,
    traces,
    unsubscribes,
    wallet,
    webhooks,
    withdrawals,
)
from gateway.app import Call
from web import openapi
from web.routing import Route

API_VERSION: Final = "1"


async def read_openapi(_: Call) -> web.Response:
    """The description of this API."""
    return web.Response(body=document(), content_type="application/json")


async def read_reference(_: Call) -> web.Response:
    """All routes, for people."""
    return web.Response(text=_reference(), content_type=reference.HTML)


@functools.cache
def _reference() -> str:
    return reference.page(ROUTES)


@functools.cache
def document() -> bytes:
    """The OpenAPI document, as `openapi.json` has it."""
    described = openapi.document(ROUTES, "Stampgate", API_VERSION)
    return msgspec.json.format(msgspec.json.encode(described), indent=2) + b"\n"


def _with_store_errors(route: Route) -> Route:
    """Whatever needs a credential also needs PostgreSQL or Redis, either of which may be away."""
    away: tuple[type[errors.StampgateError], ...] = ()
    if route.scope is not None:
        away = (errors.Unavailable,)
    if route.scope is not None and route.method != "GET":
        away = (*away, errors.OutcomeUnknown)
    # Lists of errors are put together of lists, and overlap.
    return msgspec.structs.replace(route, errors=tuple(dict.fromkeys((*route.errors, *away))))


OPENAPI: Final = Route(
    method="GET",
    path="/openapi.json",
    handler=read_openapi,
    name="openapi",
    summary="This document",
    reply=dict[str, Any],
)
DOCS: Final = Route(
    method="GET",
    path="/docs",
    handler=read_reference,
    name="docs",
    summary="All routes on one page, for people",
    reply=str,
    reply_type=reference.HTML,
)

ROUTES: Final[tuple[Route, ...]] = tuple(
    map(
        _with_store_errors,
        (
            *operations.ROUTES,
            OPENAPI,
            DOCS,
            *logins.ROUTES,
            *registrations.ROUTES,
            *sessions.ROUTES,
            *me.ROUTES,
            *operators.ROUTES,
            *codes.ROUTES,
            *contacts.ROUTES,
            *mfa.ROUTES,
            *programs.ROUTES,
            *merchants.ROUTES,
            *categories.ROUTES,
            *offers.ROUTES,
            *offer_clicks.ROUTES,
            *offer_imports.ROUTES,
            *members.ROUTES,
            *bans.ROUTES,
            *enrollments.ROUTES,
            *links.ROUTES,
            *imports.ROUTES,
            *stats.ROUTES,
            *clicks.ROUTES,
            *awards.ROUTES,
            *stamps.ROUTES,
            *spends.ROUTES,
            *holds.ROUTES,
            *statements.ROUTES,
            *social.ROUTES,
            *identities.ROUTES,
            *webhooks.ROUTES,
            *deliveries.ROUTES,
            *dead_letters.ROUTES,
            *templates.ROUTES,
            *notifications.ROUTES,
            *reports.ROUTES,
            *preferences.ROUTES,
            *push_subscriptions.ROUTES,
            *unsubscribes.ROUTES,
            *audits.ROUTES,
            *keys.ROUTES,
            *dashboard.ROUTES,
            *standings.ROUTES,
            *break_glass.ROUTES,
            *privacy.ROUTES,
            *consents.ROUTES,
            *wallet.ROUTES,
            *kyc.ROUTES,
            *payout_methods.ROUTES,
            *withdrawals.ROUTES,
            *adjustments.ROUTES,
            *referral_codes.ROUTES,
            *referrals.ROUTES,
            *payout_events.ROUTES,
            *networks.ROUTES,
            *exchange_rates.ROUTES,
            *postbacks.ROUTES,
            *network_pushes.ROUTES,
            *conversions.ROUTES,
            *fraud_rules.ROUTES,
            *fraud_cases.ROUTES,
            *fraud_lists.ROUTES,
            *reclassifications.ROUTES,
            *claims.ROUTES,
            *claim_decisions.ROUTES,
            *claim_inquiries.ROUTES,
            *traces.ROUTES,
            *solvency.ROUTES,
            *aliases.ROUTES,
        ),
    )
)
