"""Where members are paid: a UPI address or a bank account, in its one spelling."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from core import errors, kyc

Kind = Literal["upi", "bank"]

#: As many as a member may have at a time.
MOST: Final = 5

_VPA: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,254}@[a-z][a-z0-9]{1,63}")
_ACCOUNT: Final = re.compile(r"\d{6,18}")
# Four letters of the bank, a zero, six characters of the branch.
_IFSC: Final = re.compile(r"[A-Z]{4}0[A-Z0-9]{6}")

Text = Annotated[str, Meta(min_length=3, max_length=320)]


class Upi(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind",
    tag="upi",
):  # fmt: skip
    """A UPI address, such as `asha@okbank`, and whose it is."""

    vpa: Text
    name: kyc.Name

    def __repr__(self) -> str:
        return "Upi(…)"


class Bank(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind",
    tag="bank",
):  # fmt: skip
    """An account at an Indian bank, the IFSC of its branch, and whose it is."""

    account_number: Text
    ifsc: Text
    name: kyc.Name

    def __repr__(self) -> str:
        return "Bank(…)"


Details: TypeAlias = Upi | Bank


def checked(given: Details) -> Details:
    """The same in its one spelling; InvalidRequest when nobody can be paid there."""
    name = " ".join(given.name.split())
    if isinstance(given, Upi):
        vpa = given.vpa.strip().lower()
        _check(_VPA, vpa, "vpa", "A UPI address is like asha@okbank.")
        return Upi(vpa=vpa, name=name)
    number, ifsc = re.sub(r"[\s-]", "", given.account_number), given.ifsc.strip().upper()
    _check(_ACCOUNT, number, "account_number", "An account number has 6 to 18 digits.")
    _check(_IFSC, ifsc, "ifsc", "An IFSC is like HDFC0001234.")
    return Bank(account_number=number, ifsc=ifsc, name=name)


def kind(details: Details) -> Kind:
    """Which kind it is."""
    return "upi" if isinstance(details, Upi) else "bank"


def identity(details: Details) -> str:
    """What two methods have in common that lead to the same account, whatever name is given."""
    if isinstance(details, Upi):
        return f"upi:{details.vpa}"
    return f"bank:{details.ifsc}:{details.account_number}"


def masked(details: Details) -> str:
    """So that its owner knows it again: `••••ha@okbank`, `••••4321`."""
    if isinstance(details, Bank):
        return kyc.masked(details.account_number)
    user, _, handle = details.vpa.partition("@")
    return f"{kyc.masked(user)}@{handle}"


def _check(pattern: re.Pattern[str], text: str, name: str, detail: str) -> None:
    # What int() and \d take for digits is more than a bank does.
    if not (text.isascii() and pattern.fullmatch(text)):
        raise errors.InvalidRequest(detail, errors=[{"detail": detail, "pointer": f"/{name}"}])
