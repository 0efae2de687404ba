"""Texts of messages: which there are, what each may say, and filling them in.

`{word}` stands for a variable; every other brace is text. Each template has variables of its own,
and `{program}`, the program's name. A text must use those without which it would be pointless, and
none that it is not given: both are checked when it is saved and once more when it is sent.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import msgspec

from core.errors import BadTemplate, InvalidTemplate

Channel = Literal["email", "sms", "whatsapp", "push"]
#: What messages are about. Those of security are always sent; of the others members choose.
Topic = Literal["security", "account", "rewards", "news"]
Value = str | int

PROGRAM: Final = "program"
DEFAULT_LANGUAGE: Final = "en"
SUBJECT_LENGTH_MAX: Final = 200
SMS_LENGTH_MAX: Final = 1_000
TEXT_LENGTH_MAX: Final = 20_000
HTML_LENGTH_MAX: Final = 100_000
VALUE_LENGTH_MAX: Final = 2_000
#: What members may choose not to hear about.
TOPICS: Final[tuple[Topic, ...]] = ("account", "rewards", "news")
#: Channels whose messages have a subject.
TITLED: Final[frozenset[Channel]] = frozenset({"email", "push"})
_SHORT: Final = {"subject": 0, "text": SMS_LENGTH_MAX, "html": 0}
_LONGEST: Final[Mapping[Channel, Mapping[str, int]]] = {
    "email": {"subject": SUBJECT_LENGTH_MAX, "text": TEXT_LENGTH_MAX, "html": HTML_LENGTH_MAX},
    "sms": _SHORT,
    "whatsapp": _SHORT,
    "push": {**_SHORT, "subject": SUBJECT_LENGTH_MAX},
}

_VARIABLE: Final = re.compile(r"\{([a-z_]+)}")
# What ends a line in some reader's eyes, or is seen by none.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LINE_END: Final = re.compile(r"[\t\n]")


class Kind(NamedTuple):
    """What a template is for. `samples` names its variables, each with a value for a test;
    `required` must be in every text of it; `secret` must not be kept after sending. `topic` is what
    members choose by.
    """

    samples: Mapping[str, Value]
    required: frozenset[str] = frozenset()
    secret: frozenset[str] = frozenset()
    channels: tuple[Channel, ...] = ("email",)
    topic: Topic = "security"

    @property
    def variables(self) -> frozenset[str]:
        """All that a text of it may use."""
        return frozenset(self.samples) | {PROGRAM}


_CODE: Final = frozenset({"code"})
_TO_CONTACTS: Final[tuple[Channel, ...]] = ("email", "sms", "whatsapp")
_ANY: Final[tuple[Channel, ...]] = (*_TO_CONTACTS, "push")
_AMOUNT: Final = frozenset({"amount"})
_ORDER: Final = frozenset({"order"})

KINDS: Final[Mapping[str, Kind]] = {
    "sign_in_code": Kind({"code": "482913", "minutes": 5}, _CODE, _CODE, _TO_CONTACTS),
    "verify_contact": Kind({"code": "482913", "minutes": 5}, _CODE, _CODE, _TO_CONTACTS),
    "reset_password": Kind({"code": "482913", "minutes": 5}, _CODE, _CODE, _TO_CONTACTS),
    "invite_operator": Kind({"code": "k7wq3m9x2p", "hours": 72}, _CODE, _CODE),
    "already_registered": Kind({}),
    "password_changed": Kind({}, channels=_ANY),
    "second_factor_on": Kind({}),
    "second_factor_off": Kind({}),
    "contact_changed": Kind({}, channels=_TO_CONTACTS),
    "sign_in_added": Kind({}, channels=_ANY),
    "break_glass": Kind(
        {"operator": "opr_01jd", "reason": "a member cannot sign in", "minutes": 60},
        frozenset({"reason"}),
    ),
    "withdrawal_requested": Kind({"amount": "₹1500.00"}, _AMOUNT, channels=_ANY),
    "withdrawal_approved": Kind({"amount": "₹1500.00"}, _AMOUNT, channels=_ANY, topic="account"),
    "withdrawal_rejected": Kind(
        {"amount": "₹1500.00", "reason": "the account is closed"},
        _AMOUNT,
        channels=_ANY,
        topic="account",
    ),
    "withdrawal_paid": Kind(
        {"amount": "₹1500.00", "utr": "123456"}, _AMOUNT | {"utr"}, channels=_ANY, topic="account"
    ),
    "withdrawal_reversed": Kind({"amount": "₹1500.00"}, _AMOUNT, channels=_ANY, topic="account"),
    "cashback_credited": Kind({"amount": "₹50.00"}, _AMOUNT, channels=_ANY, topic="rewards"),
    "claim_accepted": Kind(
        {"order": "OD-1001", "amount": "₹50.00"}, _AMOUNT | _ORDER, channels=_ANY, topic="rewards"
    ),
    "claim_sent": Kind({"order": "OD-1001"}, _ORDER, channels=_ANY, topic="rewards"),
    "claim_inquiry": Kind(
        {
            "claim": "clm_01h4",
            "order": "OD-1001",
            "amount": "1500.00 INR",
            "ordered_at": "2026-08-20 18:35:28 UTC",
            "merchant": "Tea Shop",
            "click": "20e72zm00000e000000tqkffxn3228xn",
            "clicked_at": "2026-08-20 18:20:00 UTC",
        },
        _ORDER | {"click"},
    ),
    "claim_rejected": Kind(
        {"order": "OD-1001", "reason": "the order was canceled"},
        _ORDER,
        channels=_ANY,
        topic="rewards",
    ),
    "referral_rewarded": Kind({"amount": "₹50.00"}, _AMOUNT, channels=_ANY, topic="rewards"),
    "export_ready": Kind(
        {"url": "https://example.com/export", "hours": 24},
        frozenset({"url"}),
        frozenset({"url"}),
        topic="account",
    ),
}


class Texts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The texts of a template in one language; HTML is for mail, a subject for mail and pushes."""

    subject: str = ""
    text: str
    html: str = ""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message, filled in. `id` is ours and the same at each attempt: a provider that takes an
    idempotency key is given it. `sender` is the name that the recipient sees. `template` and
    `variables` are for providers that fill in texts of their own. `unsubscribe_url` is empty for
    what is always sent.
    """

    id: str
    channel: Channel
    address: str
    sender: str
    subject: str
    text: str
    html: str
    template: str
    language: str
    variables: Mapping[str, Value]
    created_at_ms: int
    unsubscribe_url: str = ""


def languages(wanted: str) -> list[str]:
    """Where to look for a text, the best first: `pt-BR`, `pt`, `en`."""
    parts = wanted.split("-")
    ever_broader = ["-".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return list(dict.fromkeys((*ever_broader, DEFAULT_LANGUAGE)))


def check_values(name: str, channel: Channel, values: Mapping[str, Value]) -> None:
    """BadTemplate unless `values` are those of the template `name`, no more and no less."""
    kind = KINDS.get(name)
    if kind is None or channel not in kind.channels:
        raise BadTemplate(f"there is no template {name} for {channel}")
    if missing := set(kind.samples) - set(values):
        raise BadTemplate(f"{name} lacks the variable {_listed(missing)}")
    if unknown := set(values) - set(kind.samples):
        raise BadTemplate(f"{name} has no variable {_listed(unknown)}")
    for variable, value in values.items():
        if len(str(value)) > VALUE_LENGTH_MAX or _CONTROL.search(str(value)):
            raise BadTemplate(f"{variable} of {name} is too long, or has a control character")


def check(name: str, channel: Channel, texts: Texts) -> None:
    """InvalidTemplate, naming the field, unless `texts` can serve as this template."""
    kind = KINDS[name]
    for field, length_max in _LONGEST[channel].items():
        text = getattr(texts, field)
        if len(text) > length_max:
            raise _invalid(field, f"It may have {length_max} characters.")
        if _CONTROL.search(text) or (field == "subject" and _LINE_END.search(text)):
            raise _invalid(field, "It has a control character.")
        if unknown := _variables(text) - kind.variables:
            raise _invalid(field, f"There is no variable {_listed(unknown)} in {name}.")
        # Of several versions the recipient sees one.
        if text.strip() and field != "subject" and (missing := kind.required - _variables(text)):
            raise _invalid(field, f"The variable {_listed(missing)} is missing.")
    if not texts.text.strip():
        raise _invalid("text", "It is empty.")
    if channel in TITLED and not texts.subject.strip():
        raise _invalid("subject", "It is empty.")
    # Subjects are written into the logs of mail servers, and shown on locked screens.
    if shown := _variables(texts.subject) & kind.secret:
        raise _invalid("subject", f"The variable {_listed(shown)} may not be in a subject.")


def fill_in(texts: Texts, values: Mapping[str, Value]) -> Texts:
    """The texts with values for their variables; BadTemplate when a value is missing, or would
    end the subject's line. In HTML the values are escaped.
    """
    subject = _filled(texts.subject, values)
    if _LINE_END.search(subject) or _CONTROL.search(subject):
        raise BadTemplate("a value would end the line of the subject")
    escaped = {name: html.escape(str(value)) for name, value in values.items()}
    return Texts(
        subject=subject, text=_filled(texts.text, values), html=_filled(texts.html, escaped)
    )


def _filled(text: str, values: Mapping[str, Value]) -> str:
    if missing := _variables(text) - set(values):
        raise BadTemplate(f"there is no value for the variable {_listed(missing)}")
    return _VARIABLE.sub(lambda match: str(values[match[1]]), text)


def _variables(text: str) -> set[str]:
    return set(_VARIABLE.findall(text))


def _listed(names: set[str] | frozenset[str]) -> str:
    return ", ".join(sorted(names))


def _invalid(field: str, detail: str) -> InvalidTemplate:
    return InvalidTemplate(detail, errors=[{"detail": detail, "pointer": f"/{field}"}])
