"""Link configs: what is accepted, what is refused where, and what a snapshot holds."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from core import errors, links, macros

M = "https://m.example/"


def _config(**fields: Any) -> links.LinkConfig:
    body = {"slug": "demo", "destination": M, **fields}
    return msgspec.json.decode(msgspec.json.encode(body), type=links.LinkConfig)


def _snapshot(**fields: Any) -> links.Snapshot:
    config = links.validate(_config(**fields))
    return links.compile_snapshot("lnk_1", "prg_1", 7, config, None)


def _text(template: macros.Template) -> str:
    """The template with each macro as `<name>`, for reading."""
    return "".join(part if isinstance(part, str) else f"<{part.name}>" for part in template.parts)


@pytest.mark.parametrize("slug", ["demo", "0a", "a" * 64, "aBc_D-9"])
def test_slug_is_accepted(slug: str) -> None:
    assert _config(slug=slug).slug == slug


@pytest.mark.parametrize(
    "fields",
    [
        {"slug": ""},
        {"slug": "Demo"},
        {"slug": "-a"},
        {"slug": "a" * 65},
        {"slug": "a/b"},
        {"slug": "demo\n"},
        {"slug": "dém"},
        {"slug": 5},
        {"destination": ""},
        {"destination": None},
        {"destination": "https://m.example/" + "a" * 2048},
        {"title": "a\x00b"},
        {"title": "a" * 201},
        {"external_id": "a b"},
        {"external_id": ""},
        {"state": "deleted"},
        {"starts_at": "2026-01-01T00:00:00"},
        {"starts_at": 5},
        {"cap": 0},
        {"cap": 2**70},
        {"cap": 1.5},
        {"cap": True},
        {"password": ""},
        {"query_mode": "on"},
        {"network": "unknown"},
        {"subid_param": "a&b"},
        {"redirect_status": 301},
        {"referrer_policy": "x\r\ny"},
        {"unknown": 1},
        {"utm": {"source": "a", "unknown": "b"}},
        {"rules": [{"destination": M}]},
        {"rules": [{"when": {"country": ["in"]}, "destination": M}]},
        {"rules": [{"when": {"weekday": [0]}, "destination": M}]},
        {"rules": [{"when": {"click_class": ["robot"]}, "destination": M}]},
        {"rules": [{"when": {}, "destination": M}] * 51},
        {"variants": [{"name": "a b", "weight": 1, "destination": M}]},
        {"variants": [{"name": "a", "weight": -1, "destination": M}]},
    ],
)
def test_wrong_shape_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        _config(**fields)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"password": "ü" * 37}, "/password"),
        ({"password": "a\x00b"}, "/password"),
        (
            {"starts_at": "2026-01-02T00:00:00Z", "expires_at": "2026-01-02T05:30:00+05:30"},
            "/expires_at",
        ),
        ({"fallback_url": "https://m.example/{sub1}"}, "/fallback_url"),
        ({"fallback_url": "https://m.example/[[subid]]"}, "/fallback_url"),
        ({"variants": [{"name": "a", "weight": 0, "destination": M}]}, "/variants"),
        ({"variants": [{"name": "a", "weight": 1, "destination": M}] * 2}, "/variants"),
        (
            {"rules": [{"when": {"timezone": "Mars/Base"}, "destination": M}]},
            "/rules/0/when/timezone",
        ),
        (
            {"rules": [{"when": {"timezone": "../etc/passwd"}, "destination": M}]},
            "/rules/0/when/timezone",
        ),
    ],
)
def test_contradiction_is_refused_with_its_pointer(fields: dict[str, Any], pointer: str) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        links.validate(_config(**fields))
    assert [error["pointer"] for error in caught.value.errors or []] == [pointer]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"destination": "javascript:alert(1)"}, "/destination"),
        ({"fallback_url": "//evil.example"}, "/fallback_url"),
        ({"rules": [{"when": {}, "destination": "data:,x"}]}, "/rules/0/destination"),
        (
            {"variants": [{"name": "a", "weight": 1, "destination": "ftp://m.example"}]},
            "/variants/0/destination",
        ),
    ],
)
def test_bad_destination_is_refused_with_its_pointer(fields: dict[str, Any], pointer: str) -> None:
    with pytest.raises(errors.InvalidDestination) as caught:
        links.validate(_config(**fields))
    assert [error["pointer"] for error in caught.value.errors or []] == [pointer]
    assert caught.value.code == "invalid_destination"


def test_own_hosts_and_allowed_networks_reach_every_destination() -> None:
    config = _config(destination="http://127.0.0.1:9000/", fallback_url="https://go.example/")
    with pytest.raises(errors.InvalidDestination, match="leads back"):
        links.validate(config, {"go.example"}, {"127.0.0.0/8"})


def test_validating_stores_destinations_in_their_stored_form() -> None:
    config = links.validate(_config(destination="HTTPS://Bücher.example/[[c1]]"))
    assert config.destination == "https://xn--bcher-kva.example/{sub1}"
    assert links.validate(config) == config


def test_config_survives_json() -> None:
    config = _config(
        cap=5,
        starts_at="2026-01-01T00:00:00+05:30",
        rules=[{"when": {"country": ["IN"], "query": {"a": None}}, "destination": M}],
    )
    assert msgspec.json.decode(msgspec.json.encode(config), type=links.LinkConfig) == config


def test_an_absent_password_is_not_a_removed_one() -> None:
    assert _config().password is msgspec.UNSET
    assert _config(password=None).password is None
    assert b"password" not in msgspec.json.encode(_config())


@pytest.mark.parametrize(("network", "parameter"), links.NETWORKS.items())
def test_network_gets_the_click_id_in_its_own_parameter(network: str, parameter: str) -> None:
    snapshot = _snapshot(network=network)
    assert _text(snapshot.template) == f"{M}?{parameter}=<click_id>"
    assert snapshot.protected == (parameter,)


def test_network_names_are_the_table() -> None:
    assert set(links.NETWORKS) == set(links.NetworkName.__args__)  # type: ignore[attr-defined]  # a Literal


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"destination": f"{M}?subid={{click_id}}&a=1", "network": "awin"},
            "?subid=<click_id>&a=1",
        ),
        ({"network": "awin", "subid_param": "ref2"}, "?ref2=<click_id>"),
        ({"destination": f"{M}?subid=&a=1#f", "network": "admitad"}, "?a=1&subid=<click_id>#f"),
        ({"utm": {"source": "a b", "term": "{sub1}"}}, "?utm_source=a%20b&utm_term=<sub1>"),
        ({"destination": f"{M}?utm_source=x", "utm": {"source": "y"}}, "?utm_source=x"),
        ({"destination": f"{M}{{slug}}/{{link_id}}/{{offer_id|none}}"}, "demo/lnk_1/none"),
        ({"destination": f"{M}{{variant}}{{rule}}{{unknown}}"}, ""),
    ],
)
def test_destination_is_completed_and_constants_are_bound(
    fields: dict[str, Any], text: str
) -> None:
    assert _text(_snapshot(**fields).template) == M + text


def test_rules_and_variants_are_compiled_like_the_destination() -> None:
    snapshot = _snapshot(
        network="tune",
        rules=[{"when": {"device": ["mobile"]}, "destination": f"{M}{{rule}}"}],
        variants=[{"name": "b", "weight": 3, "destination": f"{M}{{variant}}?own={{click_id}}"}],
    )
    assert _text(snapshot.rules[0].template) == f"{M}0?aff_sub=<click_id>"
    assert _text(snapshot.variants[0].template) == f"{M}b?own=<click_id>"
    assert snapshot.protected == ("aff_sub", "own")


def test_snapshot_survives_redis() -> None:
    snapshot = _snapshot(
        destination=f"{M}{{device:mobile=m}}?x={{_sub1|a}}",
        network="cj",
        cap=3,
        starts_at="2026-01-01T00:00:00Z",
        fallback_url="https://f.example/",
        rules=[
            {
                "when": {"before": "2026-01-01T00:00:00+05:30", "hour": [9], "query": {"a": "b"}},
                "destination": M,
            }
        ],
        variants=[{"name": "a", "weight": 1, "destination": M}],
    )
    assert links.decode(links.encode(snapshot)) == snapshot
    assert snapshot.starts_ms == 1_767_225_600_000


def test_a_plain_snapshot_is_small() -> None:
    assert len(links.encode(_snapshot(network="cj"))) < 200


def test_snapshot_of_a_newer_writer_is_read() -> None:
    newer = msgspec.msgpack.decode(links.encode(_snapshot())) | {"added_later": 1}
    assert links.decode(msgspec.msgpack.encode(newer)) == _snapshot()


def test_snapshot_needs_a_slug() -> None:
    with pytest.raises(ValueError, match="slug"):
        links.compile_snapshot("lnk_1", "prg_1", 1, links.LinkConfig(destination=M), None)
