import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import signing
from core.errors import BadSignature
from tests.core.test_vectors import VECTORS

PARTS = VECTORS["8 Standard Webhooks"].parts
SECRET, MESSAGE_ID, SIGNATURE = PARTS["secret"], PARTS["message_id"], PARTS["signature"]
SENT_S, BODY = int(PARTS["time"]), PARTS["body"].encode()

OTHER = signing.new_secret(bytes(32))
HEADERS = signing.sign([SECRET], MESSAGE_ID, SENT_S, BODY)


def test_the_published_vector_holds() -> None:
    assert signing.sign([SECRET], MESSAGE_ID, SENT_S, BODY) == {
        "webhook-id": MESSAGE_ID,
        "webhook-timestamp": str(SENT_S),
        "webhook-signature": SIGNATURE,
    }


def test_during_a_rotation_either_secret_verifies() -> None:
    headers = signing.sign([OTHER, SECRET], MESSAGE_ID, SENT_S, BODY)
    assert headers["webhook-signature"].split()[1] == SIGNATURE
    for secret in (OTHER, SECRET):
        signing.verify([secret], headers, BODY, SENT_S)
    signing.verify([OTHER, SECRET], HEADERS, BODY, SENT_S)


@given(st.binary(min_size=32, max_size=32), st.text(max_size=20), st.binary())
def test_what_is_signed_verifies(entropy: bytes, message_id: str, body: bytes) -> None:
    secret = signing.new_secret(entropy)
    assert secret.startswith("whsec_")
    signing.verify([secret], signing.sign([secret], message_id, SENT_S, body), body, SENT_S)


@pytest.mark.parametrize("age_s", [-301, 301])
def test_a_message_from_another_time_is_refused(age_s: int) -> None:
    with pytest.raises(BadSignature, match="timestamp"):
        signing.verify([SECRET], HEADERS, BODY, SENT_S + age_s)


@pytest.mark.parametrize("age_s", [-300, 300])
def test_clocks_may_differ_by_five_minutes(age_s: int) -> None:
    signing.verify([SECRET], HEADERS, BODY, SENT_S + age_s)


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook-id": "msg_other"},
        {"webhook-timestamp": str(SENT_S + 1)},
        {"webhook-timestamp": "now"},
        {"webhook-signature": ""},
        {"webhook-signature": SIGNATURE.replace("v1,", "v1a,")},
        {"webhook-signature": SIGNATURE[:-2] + "A="},
        {"webhook-signature": "v1,\udc80"},
    ],
)
def test_a_changed_header_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(BadSignature):
        signing.verify([SECRET], HEADERS | changes, BODY, SENT_S)


@pytest.mark.parametrize("name", HEADERS)
def test_a_missing_header_is_refused(name: str) -> None:
    headers = {key: value for key, value in HEADERS.items() if key != name}
    with pytest.raises(BadSignature, match="missing"):
        signing.verify([SECRET], headers, BODY, SENT_S)


def test_another_body_secret_or_no_secret_is_refused() -> None:
    for secrets, body in (([SECRET], BODY + b" "), ([OTHER], BODY), ([], BODY)):
        with pytest.raises(BadSignature, match="no signature matches"):
            signing.verify(secrets, HEADERS, body, SENT_S)


def test_a_secret_that_is_none_is_refused() -> None:
    with pytest.raises(BadSignature, match="not base64"):
        signing.sign(["whsec_?"], MESSAGE_ID, SENT_S, BODY)
    with pytest.raises(ValueError):
        signing.new_secret(b"short")
