"""Members with money, who can be paid, and operators who pay them."""

from __future__ import annotations

import datetime as dt
import itertools
import time
from typing import Any, Final, NamedTuple

from core import roles, tokens, wallet
from core.roles import Role
from core.wallet import Account
from db import money
from gateway.app import App
from tests.gateway import people
from tests.gateway.conftest import RING, Client, bearer

PAN: Final = {"kind": "pan", "number": "abcpe 1234 f", "name": "Asha Verma"}
UPI: Final = {"kind": "upi", "vpa": "Asha@OkBank", "name": "Asha Verma"}
BANK: Final = {
    "kind": "bank",
    "account_number": "5010 0012 3456 78",
    "ifsc": "hdfc0001234",
    "name": "Asha Verma",
}
NOW: Final = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
RUPEES: Final = 100
_numbers: Final = itertools.count()


class Person(NamedTuple):
    """A member, and the caller that the member is."""

    id: str
    client: Client


def speaking(base: Client, role: Role, subject: str) -> Client:
    """A caller of this role in the program of another caller."""
    text = tokens.issue(
        RING,
        program_id=people.program(base),
        subject=subject,
        scopes=roles.SCOPES_OF[role],
        now_s=int(time.time()),
        ttl_s=600,
        token_id="tok_test",
        role=role,
        rate_per_minute=0,
    )
    return Client(base.session, base.url, bearer(text))


def operator(base: Client, number: int = 1, role: Role = "owner") -> Client:
    """An operator of the program, a different one for each number."""
    return speaking(base, role, f"opr_01h455vb4pex5vsknk084{number:05d}")


async def person(client: Client, app: App) -> Person:
    """A member with a mail address that is proved."""
    email = f"cash{next(_numbers)}@example.com"
    member_id = await people.member(client, app, email=email, password=None)
    return Person(member_id, speaking(client, "member", member_id))


async def credit(app: App, person: Person, amount_minor: int, currency: str = "INR") -> None:
    """Cashback that a network confirmed; below zero it is taken back."""
    program_id = people.program(person.client)
    number = next(_numbers)
    legs = {
        Account("receivable", currency, network_id="net_1"): -amount_minor,
        Account("available", currency, person.id): amount_minor,
    }
    made = money.Transaction(
        id=app.new_id("transaction"),
        type="cashback",
        subject=f"cnv_{number}",
        step=1,
        member_id=person.id,
        reason=None,
        recorded_by="test",
        recorded_at=NOW,
        postings=wallet.postings(legs),
    )
    async with app.transaction() as db:
        await money.post(db, await money.lock(db, program_id, legs), [made])


async def verified(client: Client, person: Person) -> None:
    """The member's PAN is handed in and verified."""
    put = await person.client.put("/v1/kyc", PAN)
    assert put.status == 200, put
    path = f"/v1/members/{person.id}/kyc/verify"
    done = await operator(client).post(path, {"version": put.body["version"]})
    assert done.status == 200, done


async def method(person: Person, body: Any = UPI) -> str:
    made = await person.client.post("/v1/payout-methods", body)
    assert made.status == 201, made
    return str(made.body["id"])


async def payable(client: Client, app: App, amount_minor: int) -> Person:
    """A member who can withdraw so much."""
    made = await person(client, app)
    await credit(app, made, amount_minor)
    await verified(client, made)
    await method(made)
    return made


async def ask(person: Person, amount_minor: int, key: str | None = None) -> Any:
    """The member asks to be paid by the first method there is."""
    methods = (await person.client.get("/v1/payout-methods")).body["data"]
    body = {"amount_minor": amount_minor, "payout_method": methods[0]["id"] if methods else "pmt_x"}
    key = key or f"w{next(_numbers)}"
    return await person.client.post("/v1/withdrawals", body, Idempotency_Key=key)


async def requested(person: Person, amount_minor: int) -> str:
    made = await ask(person, amount_minor)
    assert made.status == 201, made
    return str(made.body["id"])


async def paid(client: Client, person: Person, amount_minor: int) -> str:
    """A withdrawal that was paid by hand."""
    path = f"/v1/withdrawals/{await requested(person, amount_minor)}"
    for step, body in (("approve", {}), ("complete", {"utr": "UTR123456"})):
        done = await operator(client).post(f"{path}/{step}", body)
        assert done.status == 200, done
    return path


async def balance(person: Person) -> tuple[int, int]:
    """What is available, and what is held, in the program's currency."""
    found = (await person.client.get("/v1/wallet")).body["balances"][0]
    return found["available_minor"], found["held_minor"]


async def is_sound(app: App) -> bool:
    """Whether the ledger's invariants hold."""
    async with app.connection() as db:
        return await money.check(db) == []
