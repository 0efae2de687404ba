"""The key set is what others verify our tokens with."""

from __future__ import annotations

import jwt
import msgspec

from core import jwks, keyring, tokens
from tests.core.test_tokens import NOW_S, RING, issued, rsa_ring


def test_a_token_is_verified_with_the_key_set_alone() -> None:
    for ring in (RING, rsa_ring()):
        key_set = jwt.PyJWKSet.from_json(msgspec.json.encode(jwks.key_set(ring)).decode())
        token = issued(ring)
        kid = jwt.get_unverified_header(token)["kid"]
        payload = jwt.PyJWS().decode(token, key_set[kid], algorithms=["EdDSA", "RS256"])
        assert msgspec.json.decode(payload)["sub"] == tokens.verify(ring, token, NOW_S).subject


def test_the_active_key_stands_first() -> None:
    rotated = keyring.rotate(RING, "token", 1, bytes(keyring.KEY_BYTES))
    kids = [key.kid for key in jwks.key_set(rotated).keys]
    assert kids == [rotated.active_token, RING.active_token]


def test_no_private_half_is_shown() -> None:
    shown = msgspec.to_builtins(jwks.key_set(rsa_ring()))
    assert {name for key in shown["keys"] for name in key} <= set(jwks.Key.__struct_fields__)
    assert "PRIVATE" not in repr(shown)
    [rsa] = [key for key in shown["keys"] if key["kty"] == "RSA"]
    assert set(rsa) == {"kty", "use", "kid", "alg", "n", "e"}
