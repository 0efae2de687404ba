"""Paths of the original designs, for routes that are here under another name: the same handlers.

An app that was written to one of those designs keeps its paths; new apps use those under `/v1`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from aiohttp import web

from core import errors
from gateway import (
    clicks,
    codes,
    dashboard,
    enrollments,
    identities,
    logins,
    me,
    members,
    merchants,
    mfa,
    offer_clicks,
    offers,
    operations,
    registrations,
    reports,
    sessions,
    stamps,
    statements,
    wallet,
    withdrawals,
)
from gateway.app import Call
from web.routing import Route

# Method, the original path, and the name of the route that it stands for.
PATHS: Final = (
    ("GET", "/api/health", "live"),
    ("POST", "/auth/login", "log_in"),
    ("POST", "/auth/refresh", "refresh"),
    ("POST", "/auth/logout", "log_out"),
    ("POST", "/auth/otp/send", "send_code"),
    ("POST", "/auth/otp/verify", "sign_in_with_code"),
    ("POST", "/api/v1/auth/login", "log_in"),
    ("GET", "/profile", "get_me"),
    ("PATCH", "/profile", "change_me"),
    ("GET", "/merchants", "list_merchants"),
    ("POST", "/merchants", "create_merchant"),
    ("GET", "/merchants/{merchant_id}", "get_merchant"),
    ("GET", "/customers/{member_id}", "get_member"),
    ("GET", "/trackingsessions", "list_clicks"),
    ("GET", "/trackingsessions/{click_id}", "get_click"),
    ("GET", "/wallet", "get_my_wallet"),
    ("GET", "/wallet/transactions", "list_my_wallet_transactions"),
    ("POST", "/wallet/withdraw", "create_withdrawal"),
    ("GET", "/admin/withdrawals", "list_withdrawals"),
    ("PATCH", "/admin/withdrawals/{withdrawal_id}/approve", "approve_withdrawal"),
    ("GET", "/offers", "list_offers"),
    ("GET", "/offers/{offer_id}", "get_offer"),
    ("POST", "/offers/{offer_id}/click", "click_offer"),
    ("POST", "/auth/register", "register"),
    ("POST", "/auth/register/confirm", "confirm_registration"),
    ("POST", "/auth/logout-everywhere", "log_out_everywhere"),
    ("POST", "/auth/mfa", "complete_sign_in"),
    ("POST", "/auth/password/reset", "send_password_reset"),
    ("POST", "/auth/password/reset/confirm", "reset_password"),
    ("POST", "/auth/password/change", "change_password"),
    ("GET", "/rewardlogs", "get_my_activity"),
    ("PATCH", "/admin/withdrawals/{withdrawal_id}/reject", "reject_withdrawal"),
    ("PATCH", "/admin/withdrawals/{withdrawal_id}/complete", "complete_withdrawal"),
    ("POST", "/webhooks/twilio/status", "report_twilio"),
    ("GET", "/v1/platform-connections", "list_my_identities"),
    ("DELETE", "/v1/platform-connections/{provider}", "unlink_identity"),
    ("GET", "/platformconnections", "list_my_identities"),
    ("DELETE", "/platformconnections/{provider}", "unlink_identity"),
    ("POST", "/enrollments", "enroll_member"),
    ("POST", "/stamps", "create_stamps"),
    ("GET", "/dashboard/metrics", "get_dashboard_metrics"),
)
BUSINESS: Final = "/api/v1/businesses/{business_id}/customers"


async def list_customers(call: Call) -> web.Response:
    """The members of the program that the path names."""
    return await members.list_all(_own(call))


async def create_customer(call: Call) -> web.Response:
    """Store a member of the program that the path names."""
    return await members.create(_own(call))


async def get_customer(call: Call) -> web.Response:
    """One member of the program that the path names."""
    return await members.get(_own(call))


def _own(call: Call) -> Call:
    """The same; Forbidden when the path names another program than the credential."""
    if call.params["business_id"] != call.principal.program_id:
        raise errors.Forbidden("The credential belongs to another program.")
    return call


def _alias(routes: Iterable[Route], method: str, path: str, name: str, number: int) -> Route:
    route = next(one for one in routes if one.name == name)
    return msgspec.structs.replace(
        route,
        method=method,
        path=path,
        name=f"{name}_alias_{number}",
        summary=f"As {route.method} {route.path}",
    )


def _of_business(name: str, path: str, new_name: str, handler: object) -> Route:
    route = next(one for one in members.ROUTES if one.name == name)
    return msgspec.structs.replace(
        route,
        path=path,
        name=new_name,
        summary=f"As {route.method} {route.path}",
        handler=handler,
        errors=(*route.errors, errors.Forbidden),
    )


_KNOWN: Final = (
    *(*operations.ROUTES, *logins.ROUTES, *sessions.ROUTES, *me.ROUTES, *codes.ROUTES),
    *(*members.ROUTES, *merchants.ROUTES, *clicks.ROUTES, *wallet.ROUTES, *withdrawals.ROUTES),
    *(*offers.ROUTES, *offer_clicks.ROUTES, *registrations.ROUTES, *mfa.ROUTES),
    *(*statements.ROUTES, *identities.ROUTES, *reports.ROUTES, *enrollments.ROUTES),
    *(*stamps.ROUTES, *dashboard.ROUTES),
)
ROUTES: tuple[Route, ...] = (
    *(_alias(_KNOWN, *one, number) for number, one in enumerate(PATHS, 1)),
    _of_business("list_members", BUSINESS, "list_customers", list_customers),
    _of_business("create_member", BUSINESS, "create_customer", create_customer),
    _of_business("get_member", BUSINESS + "/{member_id}", "get_customer", get_customer),
)
