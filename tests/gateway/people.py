"""Members and operators who can sign in."""

from __future__ import annotations

import base64
import os
from typing import Any

import msgspec

from core import contacts as contacts_
from core import passwords
from db import contacts, credentials, operators
from db.operators import OperatorRole
from gateway.app import App
from tests.gateway.conftest import Answer, Client, bearer

PASSWORD = "a fine day for tea"


async def member(
    client: Client,
    app: App,
    *,
    email: str = "asha@example.com",
    phone: str | None = None,
    password: str | None = PASSWORD,
    password_hash: str | None = None,
) -> str:
    """A member of the client's program, with contacts and a password; its id."""
    made = await client.post("/v1/members", {"name": "Asha"})
    assert made.status == 201
    member_id = str(made.body["id"])
    program_id = await program_of(app, member_id)
    async with app.transaction() as db:
        for contact in contacts_.given(email, phone):
            await contacts.put(db, app.ring, program_id, member_id, contact, is_verified=True)
        stored = password_hash or (password and hashed(password))
        if stored:
            await credentials.put(db, member_id, program_id, stored)
    return member_id


async def operator(
    app: App,
    *,
    role: OperatorRole = "owner",
    program_id: str | None = None,
    email: str = "owner@example.com",
    password: str | None = PASSWORD,
) -> str:
    """An operator with a password; the id."""
    operator_id = app.new_id("operator")
    async with app.transaction() as db:
        await operators.add(
            db,
            app.ring,
            operator_id,
            program_id=program_id,
            role=role,
            email=contacts_.email(email),
            name="Olga",
        )
        if password is not None:
            await credentials.put(db, operator_id, program_id, hashed(password))
    return operator_id


def hashed(password: str) -> str:
    return passwords.hashed(password, os.urandom(passwords.SALT_BYTES))


def program(client: Client) -> str:
    """The program of a caller with a token."""
    return str(claims(client.headers["Authorization"])["program"])


async def program_of(app: App, member_id: str) -> str:
    return str(await app.pool.fetchval("SELECT program_id FROM member WHERE id = $1", member_id))


async def log_in(
    client: Client,
    program_id: str,
    *,
    email: str = "asha@example.com",
    password: str = PASSWORD,
    **headers: str | None,
) -> Answer:
    """A member's try to sign in, without any credential."""
    return await client.post(
        "/v1/auth/login",
        {"email": email, "password": password},
        Authorization=None,
        Stampgate_Program=program_id,
        **headers,
    )


async def log_in_operator(
    client: Client, *, email: str = "owner@example.com", password: str = PASSWORD
) -> Answer:
    return await client.post(
        "/v1/auth/operators/login", {"email": email, "password": password}, Authorization=None
    )


def holding(client: Client, grant: dict[str, Any]) -> Client:
    """A caller with the access token of a grant."""
    return Client(client.session, client.url, bearer(grant["access_token"]))


async def refresh(client: Client, token: str) -> Answer:
    return await client.post("/v1/auth/refresh", {"refresh_token": token}, Authorization=None)


def claims(access_token: str) -> dict[str, Any]:
    """What the token says, unverified."""
    part = access_token.split(".")[1]
    decoded: dict[str, Any] = msgspec.json.decode(_padded(part))
    return decoded


def _padded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
