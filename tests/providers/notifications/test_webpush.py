"""Web Push: encryption, VAPID, and where pushes may go."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec

from core import aes128gcm, pushing
from core.aes128gcm import Keys
from core.errors import BadSetting, BadSubscription
from core.providers.protocols import Refused
from tests.providers.notifications.conftest import Setup
from tests.providers.notifications.pushers import (
    AUTH,
    base64url,
    decoded,
    decrypted,
    pem,
    rsa_key,
    verify_vapid,
)
from tests.providers.notifications.server import Fault, Refusal

webpush = pytest.mark.parametrize("notifier", ["webpush"], indirect=True)

# RFC 8291, appendix A.
SALT = decoded("DGv6ra1nlYgDCS1FRnbzlw")
SENDER = ec.derive_private_key(
    int.from_bytes(decoded("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")), ec.SECP256R1()
)
RECEIVER = ec.derive_private_key(
    int.from_bytes(decoded("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94")), ec.SECP256R1()
)
BROWSER = Keys(
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
    "BTBZMqHH6r4Tts7J_aSIgg",
)
TEXT = b"When I grow up, I want to be a watermelon"
SEALED = decoded(
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLoc"
    "InmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLV"
    "WGNWQexSgSxsj_Qulcy4a-fN"
)
# RFC 8292, section 2.4.
VAPID = (
    "vapid t=eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9."
    "eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAi"
    "OjE0NTM1MjM3NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuC"
    "GSK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9OkSSHzvoD1oA, "
    "k=BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs"
)
VAPID_ORIGIN = "https://push.example.net"
VAPID_S = 1_453_523_768 - 3600


def test_encryption_is_that_of_the_rfc() -> None:
    assert aes128gcm.encrypt(TEXT, BROWSER, salt=SALT, sender=SENDER) == SEALED
    assert decrypted(SEALED, RECEIVER, decoded(BROWSER.auth)) == TEXT


@pytest.mark.parametrize("at", [0, 30, 100, len(SEALED) - 1])
def test_a_push_that_was_changed_is_not_read(at: int) -> None:
    changed = bytearray(SEALED)
    changed[at] ^= 1
    with pytest.raises((InvalidTag, ValueError)):
        decrypted(bytes(changed), RECEIVER, decoded(BROWSER.auth))


def test_a_push_is_for_one_browser() -> None:
    other = aes128gcm.encrypt(TEXT, Keys(BROWSER.p256dh, base64url(AUTH)), salt=SALT, sender=SENDER)
    assert other != SEALED
    with pytest.raises((InvalidTag, ValueError)):
        decrypted(other, RECEIVER, decoded(BROWSER.auth))


@pytest.mark.parametrize(
    "keys",
    [
        Keys(BROWSER.p256dh, "AAAA"),
        Keys("AAAA", BROWSER.auth),
        Keys(base64url(b"\x04" + b"\x01" * 64), BROWSER.auth),
        Keys(base64url(b"\x00"), BROWSER.auth),
        Keys(BROWSER.p256dh, "A"),
    ],
)
def test_keys_that_are_none_are_refused(keys: Keys) -> None:
    with pytest.raises(BadSubscription):
        aes128gcm.check(keys)


def test_vapid_is_that_of_the_rfc() -> None:
    """The local push service takes the RFC's own header, and none that differs from it."""
    assert verify_vapid(VAPID, VAPID_ORIGIN, VAPID_S).startswith("BA1Hxzyi")
    for header, origin, at_s in [
        (VAPID.replace("i3CYb7t4", "i3CYb7t5"), VAPID_ORIGIN, VAPID_S),
        (VAPID, "https://push.example.org", VAPID_S),
        (VAPID, VAPID_ORIGIN, VAPID_S + 3601),
        (VAPID, VAPID_ORIGIN, VAPID_S - 86_400),
        (VAPID.replace("vapid", "WebPush"), VAPID_ORIGIN, VAPID_S),
        (VAPID.split(",", maxsplit=1)[0], VAPID_ORIGIN, VAPID_S),
    ]:
        with pytest.raises(Refusal):
            verify_vapid(header, origin, at_s)


@webpush
async def test_a_browser_reads_what_it_gets(notifier: Setup) -> None:
    await notifier.deliver()
    [said] = notifier.theirs.messages
    assert said == {"title": "Ihr Code für Tee", "body": "Ihr Code: 482913 ✓", "tag": "ntf_1"}
    [headers] = notifier.theirs.headers
    assert len(headers["Topic"]) <= 32


@webpush
@pytest.mark.parametrize("status", [404, 410])
async def test_a_browser_that_is_gone_is_refused(notifier: Setup, status: int) -> None:
    notifier.theirs.faults[notifier.theirs.path] = [Fault(status)]
    outcome = await notifier.deliver()
    assert isinstance(outcome, Refused)
    assert outcome.about == "address"


@webpush
@pytest.mark.parametrize(
    "address",
    [
        "webpush:{}",
        "webpush:",
        'webpush:{"endpoint": "https://10.0.0.1/x", "keys": {"p256dh": "AAAA", "auth": "AAAA"}}',
    ],
)
async def test_a_subscription_that_is_none_is_not_asked(notifier: Setup, address: str) -> None:
    outcome = await notifier.deliver(notifier.message(address=address))
    assert isinstance(outcome, Refused)
    assert outcome.about == "address"
    assert notifier.theirs.asked == []


@webpush
async def test_what_is_too_long_for_a_push_is_refused_here(notifier: Setup) -> None:
    outcome = await notifier.deliver(notifier.message(text="x" * 4096))
    assert isinstance(outcome, Refused)
    assert outcome.about == "message"
    assert notifier.theirs.asked == []


@webpush
async def test_a_key_on_another_curve_is_named(notifier: Setup) -> None:
    for key in (ec.generate_private_key(ec.SECP384R1()), rsa_key(0)):
        with pytest.raises(BadSetting, match=r"^notifications\.webpush: private_key: .*P-256"):
            notifier.with_section({**notifier.theirs.config(), "private_key": pem(key)})


@pytest.mark.parametrize(
    ("endpoint", "is_known"),
    [
        ("https://fcm.googleapis.com/fcm/send/abc", True),
        ("https://updates.push.services.mozilla.com/wpush/v2/x", True),
        ("https://web.push.apple.com/x", True),
        ("https://db5p.notify.windows.com/w/?token=x", True),
        ("https://FCM.googleapis.com/x", True),
        ("http://fcm.googleapis.com/x", False),
        ("https://fcm.googleapis.com:8443/x", False),
        ("https://fcm.googleapis.com.evil.test/x", False),
        ("https://evilfcm.googleapis.com/x", False),
        ("https://fcm.googleapis.com@evil.test/x", False),
        ("https://evil.test/#fcm.googleapis.com", False),
        ("https://notify.windows.com/x", False),
        ("https://.push.apple.com/x", False),
        ("https://127.0.0.1/x", False),
        ("https://[::1]/x", False),
        ("https://fcm.googleapis.com:99999/x", False),
        ("fcm.googleapis.com/x", False),
    ],
)
def test_only_known_push_services_are_asked(endpoint: str, *, is_known: bool) -> None:
    assert pushing.is_known(endpoint) == is_known
