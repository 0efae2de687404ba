"""Mail messages as bytes (RFC 5322, MIME), and the addresses they go to.

Addresses come from people, so they are taken apart here and never pasted into a header or a
command. The domain goes out in its ASCII form (IDNA 2008); a part before the `@` that is not ASCII
needs a server with SMTPUTF8 (RFC 6531).
"""

from __future__ import annotations

import datetime as dt
import re
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import parseaddr
from typing import Final, NamedTuple

import idna

from core.errors import BadAddress
from core.templates import Message

ADDRESS_LENGTH_MAX: Final = 254
LOCAL_BYTES_MAX: Final = 64

# A dot-atom of RFC 5322 and RFC 6532: no quoted strings, no comments, nothing that could end a
# header or a command.
_LOCAL: Final = re.compile(
    r'[^\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff"(),.:;<>@\[\\\]]+'
    r'(?:\.[^\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff"(),.:;<>@\[\\\]]+)*'
)
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*")
_POLICY: Final = policy.SMTP.clone(cte_type="7bit")
# Bodies stay within 7 bits, so that every server takes them; headers may be UTF-8.
_UTF8: Final = policy.SMTPUTF8.clone(cte_type="7bit")


class Mailbox(NamedTuple):
    """Where mail goes: `local@domain`, the domain in ASCII; `name` is shown beside it."""

    local: str
    domain: str
    name: str = ""

    @property
    def address(self) -> str:
        """As it stands in an envelope."""
        return f"{self.local}@{self.domain}"

    @property
    def needs_utf8(self) -> bool:
        """Whether only servers with SMTPUTF8 can be told it."""
        return not self.local.isascii()


def mailbox(address: str, name: str = "") -> Mailbox:
    """Take a bare mail address apart; BadAddress."""
    local, at, domain = address.rpartition("@")
    if not at or not _LOCAL.fullmatch(local) or not _NAME.fullmatch(name):
        raise BadAddress("this is no mail address")
    try:
        ascii_domain = idna.encode(domain, uts46=True, std3_rules=True).decode()
    except (idna.IDNAError, UnicodeError):
        raise BadAddress("the domain of the mail address is none") from None
    if ascii_domain.endswith(".") or ascii_domain.replace(".", "").isdecimal():
        raise BadAddress("the domain of the mail address is none")
    found = Mailbox(local, ascii_domain, name)
    if len(local.encode()) > LOCAL_BYTES_MAX or len(found.address.encode()) > ADDRESS_LENGTH_MAX:
        raise BadAddress("the mail address is too long")
    return found


def sender(text: str) -> Mailbox:
    """Who sends: `Name <address>` or a bare address; BadAddress."""
    if not _NAME.fullmatch(text):
        raise BadAddress("a sender has no line ends")
    name, address = parseaddr(text)
    return mailbox(address, name)


def compose(message: Message, sender: Mailbox, recipient: Mailbox) -> bytes:
    """The message with its headers, lines ending in CRLF; the same bytes at each attempt."""
    is_utf8 = sender.needs_utf8 or recipient.needs_utf8
    mail = EmailMessage(policy=_UTF8 if is_utf8 else _POLICY)
    mail["Subject"] = message.subject
    mail["From"] = Address(message.sender or sender.name, sender.local, sender.domain)
    mail["To"] = Address("", recipient.local, recipient.domain)
    mail["Date"] = dt.datetime.fromtimestamp(message.created_at_ms // 1000, dt.UTC)
    # One id for all attempts: many servers and readers show a message twice only if it has two.
    mail["Message-ID"] = f"<{message.id}@{sender.domain}>"
    # RFC 3834: answering machines and holiday notices leave it alone.
    mail["Auto-Submitted"] = "auto-generated"
    for name, value in unsubscribe_headers(message).items():
        mail[name] = value
    mail.set_content(message.text, cte="quoted-printable")
    if message.html:
        mail.add_alternative(message.html, subtype="html", cte="quoted-printable")
        # In quoted-printable no line can begin like this.
        mail.set_boundary(f"=_{message.id}")
    mail["Content-Language"] = message.language
    return mail.as_bytes()


def unsubscribe_headers(message: Message) -> dict[str, str]:
    """With which a reader unsubscribes in one click (RFC 2369, RFC 8058); none for what is always
    sent.
    """
    if not message.unsubscribe_url:
        return {}
    return {
        "List-Unsubscribe": f"<{message.unsubscribe_url}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
