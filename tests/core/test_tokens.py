import base64
import hmac
import json
from collections.abc import Callable
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from core import jwks, keyring, tokens
from core.errors import InvalidRequest, TokenExpired, TokenInvalid

NOW_S = 1_700_000_000
RING = keyring.generate(0, bytes(range(96)))
KID = RING.active_token
KEY = keyring.private_key(RING.token[KID])
CLAIMS: dict[str, Any] = {
    "iss": "stampgate",
    "sub": "till 4",
    "iat": NOW_S,
    "exp": NOW_S + 60,
    "scope": "awards:write",
    "program": "prg_1",
}


def issued(ring: keyring.KeyRing = RING, ttl_s: int = 60) -> str:
    return tokens.issue(
        ring,
        program_id="prg_1",
        subject="till 4",
        scopes=["members:read", "awards:write"],
        now_s=NOW_S,
        ttl_s=ttl_s,
        token_id="tok_1",
    )


def signed(claims: object, headers: dict[str, Any] | None = None) -> str:
    payload = msgspec.json.encode(claims)
    return jwt.PyJWS().encode(payload, KEY, "EdDSA", headers={"kid": KID} | (headers or {}))


def with_header(token: str, header: bytes) -> str:
    encoded = base64.urlsafe_b64encode(header).rstrip(b"=").decode()
    return ".".join([encoded, *token.split(".")[1:]])


def rsa_ring() -> keyring.KeyRing:
    private = rsa.generate_private_key(65537, 2048)
    key = keyring.TokenKey(
        alg="RS256",
        public_pem=private.public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        .decode(),
        private_pem=private.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ).decode(),
    )
    return msgspec.structs.replace(RING, token=RING.token | {"rsa": key}, active_token="rsa")


def test_an_issued_token_names_its_principal() -> None:
    assert tokens.verify(RING, issued(), NOW_S) == tokens.Principal(
        program_id="prg_1",
        subject="till 4",
        scopes=frozenset({"members:read", "awards:write"}),
        expires_s=NOW_S + 60,
        token_id="tok_1",
    )


def test_rs256_works_as_well_and_old_keys_stay_valid() -> None:
    ring = rsa_ring()
    assert tokens.verify(ring, issued(ring), NOW_S).subject == "till 4"
    assert tokens.verify(ring, issued(RING), NOW_S).subject == "till 4"
    with pytest.raises(TokenInvalid):
        tokens.verify(RING, issued(ring), NOW_S)


def test_a_token_without_a_program_is_for_platform_staff() -> None:
    token = tokens.issue(
        RING,
        program_id=None,
        subject="ops",
        scopes=[tokens.PLATFORM],
        now_s=NOW_S,
        ttl_s=60,
        token_id="tok_2",
    )
    assert tokens.verify(RING, token, NOW_S).program_id is None
    with pytest.raises(TokenInvalid):
        tokens.verify(RING, signed(CLAIMS | {"program": None}), NOW_S)


@pytest.mark.parametrize(
    ("program_id", "scopes"), [("prg_1", ["awards:*"]), (None, ["awards:write"]), (None, [])]
)
def test_a_token_that_would_not_verify_is_not_issued(
    program_id: str | None, scopes: list[str]
) -> None:
    with pytest.raises(InvalidRequest):
        tokens.issue(
            RING,
            program_id=program_id,
            subject="x",
            scopes=scopes,
            now_s=NOW_S,
            ttl_s=60,
            token_id="tok_3",
        )


def test_a_token_expires_also_when_it_is_remembered() -> None:
    verifier = tokens.Verifier(RING)
    token = issued(ttl_s=60)
    last_s = NOW_S + 60 + tokens.LEEWAY_S - 1
    assert verifier.verify(token, NOW_S) is verifier.verify(token, last_s)
    with pytest.raises(TokenExpired):
        verifier.verify(token, last_s + 1)


def test_a_token_longer_than_any_of_ours_is_not_even_looked_at() -> None:
    room = tokens.TOKEN_BYTES_MAX - len(signed(CLAIMS | {"note": ""}))
    long = signed(CLAIMS | {"note": "x" * (room * 3 // 4 - 3)})
    assert len(long) <= tokens.TOKEN_BYTES_MAX
    assert tokens.verify(RING, long, NOW_S).subject == "till 4"
    with pytest.raises(TokenInvalid):
        tokens.verify(RING, signed(CLAIMS | {"note": "x" * room}), NOW_S)


def test_only_so_many_tokens_are_remembered() -> None:
    verifier = tokens.Verifier(RING, tokens_max=2)
    several = [issued(ttl_s=ttl_s) for ttl_s in (60, 61, 62)]
    first, *others = [verifier.verify(token, NOW_S) for token in several]
    again = [verifier.verify(token, NOW_S) for token in reversed(several)]
    assert again[0] is others[1]
    assert again[1] is others[0]
    assert again[2] is not first


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "elsewhere"},
        {"iss": None},
        {"sub": ""},
        {"sub": 7},
        {"exp": None},
        {"exp": "never"},
        {"exp": 1e300},
        {"exp": NOW_S + 60.5},
        {"exp": [NOW_S + 60]},
        {"exp": True},
        {"iat": None},
        {"iat": NOW_S + tokens.LEEWAY_S + 1},
        {"nbf": NOW_S + tokens.LEEWAY_S + 1},
        {"scope": ["awards:write"]},
        {"program": 1},
    ],
)
def test_claims_that_do_not_hold_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(TokenInvalid):
        tokens.verify(RING, signed(CLAIMS | changes), NOW_S)


@pytest.mark.parametrize("claim", ["iss", "sub", "iat", "exp"])
def test_a_missing_claim_is_refused(claim: str) -> None:
    claims = {name: value for name, value in CLAIMS.items() if name != claim}
    with pytest.raises(TokenInvalid):
        tokens.verify(RING, signed(claims), NOW_S)


@pytest.mark.parametrize("payload", [[], "text", 1, None])
def test_a_payload_that_is_no_object_is_refused(payload: object) -> None:
    with pytest.raises(TokenInvalid):
        tokens.verify(RING, signed(payload), NOW_S)


@pytest.mark.parametrize(
    "headers",
    [
        {"kid": "other"},
        {"kid": f"{KID}\0"},
        {"kid": ""},
        {"kid": KID.upper()},
        {"kid": "x" * 2_000},
        {"kid": RING.active_field},
        {"kid": "x' UNION SELECT 'key"},
        {"kid": "https://attacker.example/key"},
        {"kid": f"../{KID}"},
        {"jku": "https://attacker.example/keys"},
        {"jwk": {"kty": "OKP"}},
        {"x5u": "https://attacker.example/cert"},
        {"crit": ["exp"]},
        {"typ": "JWE"},
    ],
)
def test_a_header_that_points_elsewhere_is_refused(headers: dict[str, Any]) -> None:
    with pytest.raises(TokenInvalid):
        tokens.verify(RING, signed(CLAIMS, headers), NOW_S)


def test_an_unsigned_token_is_refused() -> None:
    header = json.dumps({"alg": "none", "kid": KID}).encode()
    body = with_header(signed(CLAIMS), header).rpartition(".")[0]
    for token in (f"{body}.", body, with_header(signed(CLAIMS), header)):
        with pytest.raises(TokenInvalid):
            tokens.verify(RING, token, NOW_S)


def by_hand(header: object, sign: Callable[[bytes], bytes], claims: object = CLAIMS) -> str:
    """A token that no library of ours made."""
    parts = [msgspec.json.encode(part) for part in (header, claims)]
    body = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    return f"{body.decode()}.{base64.urlsafe_b64encode(sign(body)).rstrip(b'=').decode()}"


def ed25519(body: bytes) -> bytes:
    """The signature of our own key."""
    assert isinstance(KEY, Ed25519PrivateKey)
    return KEY.sign(body)


def pkcs1(ring: keyring.KeyRing) -> Callable[[bytes], bytes]:
    """The signatures of the ring's RSA key."""
    private = keyring.private_key(ring.token["rsa"])
    assert isinstance(private, RSAPrivateKey)
    return lambda body: private.sign(body, padding.PKCS1v15(), SHA256())


def shared_secrets(ring: keyring.KeyRing, kid: str) -> dict[str, bytes]:
    """What of a public key a careless library might take for the secret of an HMAC."""
    key, key_set = ring.token[kid], jwks.key_set(ring)
    pem = key.public_pem.encode()
    der = keyring.public_key(key).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    (jwk,) = [one for one in key_set.keys if one.kid == kid]
    number = (jwk.x or jwk.n).encode()
    return {
        "PEM": pem,
        "PEM without its last line end": pem.strip(),
        "PEM with other line ends": pem.replace(b"\n", b"\r\n"),
        "DER": der,
        "DER as text": base64.b64encode(der),
        "JWK": msgspec.json.encode(jwk),
        "JWK set": msgspec.json.encode(key_set),
        "number in the JWK": number,
        "bytes of that number": base64.urlsafe_b64decode(number + b"=" * (-len(number) % 4)),
        "nothing": b"",
    }


@pytest.mark.parametrize("alg", ["HS256", "hs256", "Hs256", "HS384", "HS512"])
def test_a_public_key_is_not_a_shared_secret(alg: str) -> None:
    ring = rsa_ring()
    for kid in (KID, "rsa"):
        for name, secret in shared_secrets(ring, kid).items():
            token = by_hand(
                {"alg": alg, "kid": kid, "typ": "JWT"},
                lambda body, secret=secret: hmac.digest(secret, body, f"sha{alg[2:]}"),  # type: ignore[misc]  # of this round
            )
            with pytest.raises(TokenInvalid):
                pytest.fail(f"{kid}, {name}: {tokens.verify(ring, token, NOW_S)}")


@pytest.mark.parametrize(
    "alg",
    [
        *("eddsa", "EDDSA", "EdDSA ", "Ed25519", "ES256", "RS256", "PS256", "HS256"),
        *("none", "None", "NONE", "nOnE", "", None, 1, ["EdDSA"]),
    ],
)
def test_a_good_signature_under_another_name_is_none(alg: object) -> None:
    """The name of the algorithm is compared to the letter, and never picks one."""
    good = by_hand({"alg": "EdDSA", "kid": KID}, ed25519)
    assert tokens.verify(RING, good, NOW_S).subject == "till 4"
    for sign in (ed25519, lambda _: b""):
        with pytest.raises(TokenInvalid):
            tokens.verify(RING, by_hand({"alg": alg, "kid": KID}, sign), NOW_S)


@pytest.mark.parametrize("kid", [None, 1, [KID], {"kid": KID}, "rsa"])
def test_a_good_signature_under_another_key_is_none(kid: object) -> None:
    ring = rsa_ring()
    with pytest.raises(TokenInvalid):
        tokens.verify(ring, by_hand({"alg": "EdDSA", "kid": kid}, ed25519), NOW_S)


def test_the_header_does_not_choose_the_algorithm() -> None:
    ring = rsa_ring()
    good = by_hand({"alg": "RS256", "kid": "rsa"}, pkcs1(ring))
    assert tokens.verify(ring, good, NOW_S).subject == "till 4"
    for alg, kid in (("RS256", KID), ("EdDSA", "rsa"), ("RS512", "rsa"), ("PS256", "rsa")):
        for sign in (pkcs1(ring), ed25519):
            with pytest.raises(TokenInvalid):
                tokens.verify(ring, by_hand({"alg": alg, "kid": kid}, sign), NOW_S)


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_a_token_of_the_future_is_good_from_the_leeway_on(claim: str) -> None:
    begins_s = NOW_S + tokens.LEEWAY_S
    token = signed(CLAIMS | {claim: begins_s, "exp": begins_s + 60})
    with pytest.raises(TokenInvalid):
        tokens.verify(RING, token, NOW_S - 1)
    assert tokens.verify(RING, token, NOW_S).subject == "till 4"


@pytest.mark.parametrize("exp", [NOW_S - tokens.LEEWAY_S, 0, -1, -(2**62)])
def test_a_token_of_the_past_has_expired(exp: int) -> None:
    with pytest.raises(TokenExpired):
        tokens.verify(RING, signed(CLAIMS | {"exp": exp}), NOW_S)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "..",
        "a.b.c",
        "\u0661.\u0661.\u0661",
        "\udc80",
        issued() + "x" * tokens.TOKEN_BYTES_MAX,
        with_header(issued(), b"[" * 3000),
        with_header(issued(), b"[" * 2500),
    ],
)
def test_what_is_not_a_token_is_refused(token: str) -> None:
    with pytest.raises(TokenInvalid):
        tokens.verify(RING, token, NOW_S)


@given(st.data())
def test_a_changed_character_is_refused(data: st.DataObject) -> None:
    token = issued()
    # The last character of the signature holds padding bits that carry nothing.
    place = data.draw(st.integers(0, len(token) - 2))
    other = data.draw(st.sampled_from("AQgw_-019z").filter(lambda char: char != token[place]))
    with pytest.raises(TokenInvalid):
        tokens.verify(RING, token[:place] + other + token[place + 1 :], NOW_S)
