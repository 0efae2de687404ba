"""Password form and unlocking, preview, QR codes."""

from __future__ import annotations

import bcrypt
import pytest

from db.redis import Connection
from redirector import attempts
from redirector.attempts import Attempts
from tests.redirector.conftest import Publish, Redirector, Start, recorded

HASH = bcrypt.hashpw(b"open sesame", bcrypt.gensalt(4)).decode()


async def test_password_opens_the_link_for_whoever_knows_it(
    redirector: Redirector, publish: Publish, connection: Connection
) -> None:
    await publish("secret", password_hash=HASH)
    asked = await redirector.get('/r/secret?sub1="><script>')
    assert (asked.status, asked.content_type) == (401, "text/html")
    assert "<script>" not in await asked.text()
    for wrong in ({"password": "no"}, {"password": "a\0b"}, {"password": "x" * 100}, {}):
        answer = await redirector.get("/r/secret/unlock", method="POST", data=wrong)
        assert answer.status == 401
    right = {"password": "open sesame"}
    answer = await redirector.get("/r/secret/unlock?sub1=a", method="POST", data=right)
    assert (answer.status, answer.headers["Location"]) == (303, "/r/secret?sub1=a")
    cookie = answer.headers["Set-Cookie"]
    assert "; HttpOnly; SameSite=Lax; Secure" in cookie
    pair = cookie.partition(";")[0]
    assert (await redirector.get("/r/secret", {"Cookie": pair})).status == 302
    name, _, value = pair.partition("=")
    for forged in (f"9{value}", value[:-1] + "z", "", "1.2", "9" * 400):
        assert (await redirector.get("/r/secret", {"Cookie": f"{name}={forged}"})).status == 401
    assert len(await recorded(connection)) == 1


async def test_new_password_closes_what_the_old_one_opened(start: Start, publish: Publish) -> None:
    await publish("secret", password_hash=HASH)
    redirector = await start()
    right = {"password": "open sesame"}
    answer = await redirector.get("/r/secret/unlock", method="POST", data=right)
    pair = answer.headers["Set-Cookie"].partition(";")[0]
    assert (await redirector.get("/r/secret", {"Cookie": pair})).status == 302
    await publish("secret", password_hash=bcrypt.hashpw(b"other", bcrypt.gensalt(4)).decode())
    other = await start()
    assert (await other.get("/r/secret", {"Cookie": pair})).status == 401


async def test_password_cannot_be_tried_without_end(
    redirector: Redirector, publish: Publish
) -> None:
    await publish("secret", password_hash=HASH)
    statuses = [
        (await redirector.get("/r/secret/unlock", method="POST", data={"password": "no"})).status
        for _ in range(attempts.ATTEMPTS_MAX + 1)
    ]
    assert statuses == [401] * attempts.ATTEMPTS_MAX + [429]


def test_attempts_come_back_after_a_while_and_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attempts, "ADDRESSES_MAX", 3)
    counted = Attempts()
    assert [counted.take("a", 0.0) for _ in range(attempts.ATTEMPTS_MAX)] == [0] * 10
    assert counted.take("a", 100.0) == attempts.WINDOW_S - 100 + 1
    assert counted.take("a", float(attempts.WINDOW_S)) == 0
    for number in range(10):
        counted.take(str(number), 0.0)
    assert len(counted._windows) <= 3


async def test_preview_names_the_host_and_counts_nothing(
    redirector: Redirector, publish: Publish, connection: Connection
) -> None:
    await publish("demo", title="<b>Shoes</b>")
    answer = await redirector.get("/r/demo+")
    text = await answer.text()
    assert (answer.status, answer.content_type) == (200, "text/html")
    assert "<strong>shop.example</strong>" in text
    assert "&lt;b&gt;Shoes&lt;/b&gt;" in text
    await publish("secret", password_hash=HASH)
    assert (await redirector.get("/r/secret+")).status == 401
    assert (await redirector.get("/r/nobody+")).status == 404
    assert await recorded(connection) == []


async def test_qr_codes_are_pictures_of_the_public_link(
    redirector: Redirector, publish: Publish
) -> None:
    await publish("demo")
    svg = await redirector.get("/r/demo.svg?size=256&margin=1&ecc=h")
    assert (svg.status, svg.content_type) == (200, "image/svg+xml")
    assert b"<svg" in await svg.read()
    png = await redirector.get("/r/demo.png")
    assert (png.status, png.content_type) == (200, "image/png")
    assert (await png.read()).startswith(b"\x89PNG")
    assert (await redirector.get("/r/nobody.svg")).status == 404
    for query in ("size=99999", "size=x", "margin=-1", "ecc=z"):
        answer = await redirector.get(f"/r/demo.svg?{query}")
        assert (answer.status, (await answer.json())["code"]) == (422, "invalid_request")
