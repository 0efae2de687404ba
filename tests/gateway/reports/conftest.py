"""A gateway to which all providers can report."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization

from core import contacts as spelling
from core.settings import Settings
from db import contacts
from gateway.app import App
from tests.gateway import people
from tests.gateway.conftest import RING, Client, Db, encode
from tests.gateway.reports.world import (
    AUTH_TOKEN,
    MAIL,
    NUMBER,
    PATH_SECRET,
    PUBLIC,
    TOPIC_ARN,
    Sns,
    World,
    a_message,
)
from tests.providers.notifications import server
from tests.providers.notifications.pushers import ec_key


@pytest.fixture
async def sns() -> AsyncIterator[Sns]:
    async with server.running(Sns) as running:
        yield running


@pytest.fixture
def settings(settings: Settings, sns: Sns, tmp_path: Path) -> Settings:
    spki = (
        ec_key(5)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    sections = {
        "sendgrid": {"api_key": "SG.x", "webhook_key": base64.b64encode(spki).decode()},
        "ses": {
            "region": "eu-central-1",
            "access_key_id": "AKIDEXAMPLE",
            "secret_access_key": "x",
            "topic_arn": TOPIC_ARN,
            "sns_hosts": [sns.url.removeprefix("http://")],
        },
        "twilio": {"account_sid": "AC" + "0" * 32, "secret": AUTH_TOKEN},
        "msg91": {
            "authkey": "x",
            "flows": {"sign_in_code": {"template_id": "x"}},
            "webhook_secret": PATH_SECRET,
        },
        "kaleyra": {"sid": "HX", "api_key": "x", "webhook_secret": PATH_SECRET},
    }
    path = tmp_path / "providers.json"
    path.write_bytes(encode({"notifications": sections}))
    return msgspec.structs.replace(
        settings, providers_file=str(path), gateway_url=PUBLIC, outbound_allow="127.0.0.1"
    )


@pytest.fixture
async def world(client: Client, app: App, db: Db, sns: Sns) -> World:
    program_id = people.program(client)
    member_id = str((await client.post("/v1/members", {}, Idempotency_Key="m")).body["id"])
    for contact in (spelling.email(MAIL), spelling.phone(NUMBER)):
        await contacts.put(db, RING, program_id, member_id, contact, is_verified=True)
    mail_id = await a_message(db, program_id, member_id, "email", MAIL, "sendgrid", "m1")
    text_id = await a_message(db, program_id, member_id, "sms", NUMBER, "twilio", "SM1")
    return World(client, db, sns, program_id, member_id, mail_id, text_id)
