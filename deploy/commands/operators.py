"""`stampgate operator create`: the first admin, or anybody else without a mail."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
import time

import asyncpg

from core import contacts, errors, ids, passwords
from core.settings import Settings
from db import credentials, operators
from deploy.commands import recording
from deploy.commands.arguments import Commands


def add_operator(commands: Commands) -> None:
    """Declare `operator create`."""
    operator = commands.add_parser("operator", help="the people who work for a program")
    create = operator.add_subparsers(dest="operator", required=True, metavar="ACTION").add_parser(
        "create", help="make an operator with a password and print the id"
    )
    create.add_argument("email")
    create.add_argument("--name", required=True)
    create.add_argument("--program", metavar="PRG", help="the program; none for an admin")
    create.add_argument("--role", choices=["staff", "owner"], help="of the program")
    create.add_argument(
        "--password-stdin", action="store_true", help="read the password from a pipe, do not ask"
    )
    create.set_defaults(run=create_operator)


async def create_operator(settings: Settings, arguments: argparse.Namespace) -> int:
    """Ask for a password and store the operator."""
    program_id: str | None = arguments.program
    role: operators.OperatorRole = arguments.role or "admin"
    if (program_id is None) != (role == "admin"):
        raise errors.InvalidRequest("give both --program and --role, or neither for an admin")
    ring = recording.read_ring(settings)
    email = contacts.email(arguments.email)
    password = _password(is_piped=arguments.password_stdin)
    passwords.check(password, email.address, arguments.name)
    now_ms = time.time_ns() // 1_000_000
    operator_id = ids.new("operator", now_ms, os.urandom(ids.ENTROPY_BYTES))
    stored = passwords.hashed(password, os.urandom(passwords.SALT_BYTES))
    db = await asyncpg.connect(settings.database_url)
    try:
        async with db.transaction():
            await operators.add(
                db,
                ring,
                operator_id,
                program_id=program_id,
                role=role,
                email=email,
                name=arguments.name,
            )
            await credentials.put(db, operator_id, program_id, stored)
            await recording.record(
                db,
                ring,
                "operator.create",
                operator_id,
                program_id=program_id,
                after={"role": role, "state": "active"},
            )
    finally:
        await db.close()
    print(operator_id)
    return 0


def _password(*, is_piped: bool) -> str:
    if is_piped:
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != password:
        raise errors.InvalidRequest("the passwords differ")
    return password
