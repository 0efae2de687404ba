"""Where pushes go: `fcm:TOKEN`, `apns:TOKEN`, or `webpush:` and a browser's subscription (JSON)."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, get_args
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from core import aes128gcm
from core.aes128gcm import Keys
from core.errors import BadSubscription

Kind = Literal["fcm", "apns", "webpush"]

#: The push services of the browsers that there are; `*.` stands for one name more.
HOSTS: Final = (
    "fcm.googleapis.com",
    "updates.push.services.mozilla.com",
    "*.push.services.mozilla.com",
    "*.push.apple.com",
    "*.notify.windows.com",
)
ADDRESS_LENGTH_MAX: Final = 4096

_TOKENS: Final = {
    "fcm": re.compile(r"[A-Za-z0-9_:.=-]{20,2048}"),
    "apns": re.compile(r"(?:[0-9a-f]{2}){32,100}"),
}


class Browser(msgspec.Struct, frozen=True):
    """A subscription, as `PushSubscription.toJSON()` of a browser has it."""

    endpoint: Annotated[str, Meta(min_length=1, max_length=2048, pattern=r"^[!-~]+$(?!\n)")]
    keys: Keys

    def __repr__(self) -> str:
        return "Browser(…)"


def kind(address: str) -> Kind:
    """What the address is for; BadSubscription."""
    word = address.partition(":")[0]
    for known in get_args(Kind):
        if word == known:
            return known  # type: ignore[no-any-return]  # one of the literals
    raise BadSubscription("there is no such kind of push")


def token(address: str) -> str:
    """What stands after the kind."""
    return address.partition(":")[2]


def of_token(kind: Literal["fcm", "apns"], text: str) -> str:
    """The address of a device; BadSubscription when the token is none."""
    bare = text.lower() if kind == "apns" else text
    if not _TOKENS[kind].fullmatch(bare):
        raise BadSubscription("this is no device token")
    return f"{kind}:{bare}"


def of_browser(browser: Browser, hosts: tuple[str, ...] = HOSTS) -> str:
    """The address of a browser; BadSubscription when its service or its keys are not known."""
    if not is_known(browser.endpoint, hosts):
        raise BadSubscription("this is not the address of a push service")
    aes128gcm.check(browser.keys)
    return f"webpush:{msgspec.json.encode(browser).decode()}"


def browser(address: str, hosts: tuple[str, ...] = HOSTS) -> Browser:
    """The browser of an address; BadSubscription when it may not be asked."""
    try:
        found = msgspec.json.decode(token(address), type=Browser)
    except msgspec.DecodeError:
        raise BadSubscription("this is no subscription") from None
    if not is_known(found.endpoint, hosts):
        raise BadSubscription("this is not the address of a push service")
    return found


def is_known(endpoint: str, hosts: tuple[str, ...] = HOSTS) -> bool:
    """Whether it is https at a push service, with nothing in it that could lead elsewhere."""
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        return False
    host = (parts.hostname or "").lower()
    if parts.username is not None or parts.password is not None or parts.fragment:
        return False
    if f"{host}:{port}" in hosts:
        return parts.scheme in {"http", "https"} and host in {"127.0.0.1", "localhost"}
    return parts.scheme == "https" and port in {None, 443} and _is_listed(host, hosts)


def _is_listed(host: str, hosts: tuple[str, ...]) -> bool:
    below = tuple(known[1:] for known in hosts if known.startswith("*."))
    return host in hosts or (host.endswith(below) and not host.startswith("."))
