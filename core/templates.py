"""Texts of messages: which there are, what each may say, and filling them in.

`{word}` stands for a variable; every other brace is text. Each template has variables of its own,
and `{program}`, the program's name. A text must use those without which it would be pointless, and
none that it is not given: both are checked when it is saved and once more when it is sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import msgspec

from core.errors import BadTemplate

Channel = Literal["email", "sms"]
Value = str | int

PROGRAM: Final = "program"
DEFAULT_LANGUAGE: Final = "en"
SMS_LENGTH_MAX: Final = 1_000

_VARIABLE: Final = re.compile(r"\{([a-z_]+)}")


class Kind(NamedTuple):
    """What a template is for. `samples` names its variables, each with a value for a test;
    `required` must be in every text of it; `secret` must not be kept after sending.
    """

    samples: Mapping[str, Value]
    required: frozenset[str] = frozenset()
    secret: frozenset[str] = frozenset()
    channels: tuple[Channel, ...] = ("email",)

    @property
    def variables(self) -> frozenset[str]:
        """All that a text of it may use."""
        return frozenset(self.samples) | {PROGRAM}


_CODE: Final = frozenset({"code"})

KINDS: Final[Mapping[str, Kind]] = {
    "sign_in_code": Kind({"code": "482913", "minutes": 5}, _CODE, _CODE, ("email", "sms")),
    "verify_contact": Kind({"code": "482913", "minutes": 5}, _CODE, _CODE, ("email", "sms")),
    "reset_password": Kind({"code": "482913", "minutes": 5}, _CODE, _CODE, ("email", "sms")),
    "invite_operator": Kind({"code": "k7wq3m9x2p", "role": "staff", "hours": 72}, _CODE, _CODE),
    "already_registered": Kind({}),
    "password_changed": Kind({}, channels=("email", "sms")),
    "second_factor_changed": Kind({"is_on": "on"}),
    "break_glass": Kind(
        {"operator": "opr_01jd", "reason": "a member cannot sign in", "minutes": 60},
        frozenset({"reason"}),
    ),
    "export_ready": Kind(
        {"url": "https://example.com/export", "hours": 24}, frozenset({"url"}), frozenset({"url"})
    ),
}


class Texts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The texts of a template in one language; subject and HTML are for mail."""

    subject: str = ""
    text: str
    html: str = ""


def variables_of(text: str) -> set[str]:
    """The variables that a text uses."""
    return set(_VARIABLE.findall(text))


def check_values(name: str, values: Mapping[str, Value]) -> None:
    """BadTemplate unless `values` are those of the template `name`, no more and no less."""
    expected, given = set(_kind(name).samples), set(values)
    if missing := expected - given:
        raise BadTemplate(f"{name} lacks the variable {_listed(missing)}")
    if unknown := given - expected:
        raise BadTemplate(f"{name} has no variable {_listed(unknown)}")


def _kind(name: str) -> Kind:
    kind = KINDS.get(name)
    if kind is None:
        raise BadTemplate(f"there is no template {name}")
    return kind


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
