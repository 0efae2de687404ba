"""What the peers are told: where Redis is, the links, the keys, our scripts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec

from core import classes
from core.keyring import KeyRing
from core.linkrules import STATIC, Link
from core.settings import Settings
from db import keys
from db.redis import CLICK_BATCH, POINTS

Told = dict[str, Any]

_SCHEME_BUN: Final = "redis+unix"


def redirector(settings: Settings, ring: KeyRing, links: Path) -> Told:
    """For a peer of the redirector; `links` is a file of `write_links`."""
    return {
        **_redis(settings.redis_url),
        "links": str(links),
        "key_id": ring.active_click,
        "key": ring.click[ring.active_click].hex(),
        # JavaScript names groups without the P.
        "declared": classes.DECLARED.pattern.replace("(?P<", "(?<"),
        "prefetch_status": settings.prefetch_status,
        "boots_key": keys.BOOTS,
        "streams": list(map(keys.click_stream, range(keys.CLICK_PARTITIONS))),
        "counts": list(map(keys.click_counts, range(keys.CLICK_PARTITIONS))),
        "click_batch": CLICK_BATCH.source,
    }


def gateway(settings: Settings, ring: KeyRing, run_id: str) -> Told:
    """For a peer of the gateway, on a Redis of this run id."""
    return {
        **_redis(settings.redis_url),
        "public_key": ring.token[ring.active_token].public_pem,
        "points": POINTS.source,
        "partitions": keys.AWARD_PARTITIONS,
        "heads": list(map(keys.award_head, range(keys.AWARD_PARTITIONS))),
        "run_id": run_id,
        "high_water": str(settings.stream_high_water),
        "marker_ttl_ms": str(settings.idempotency_ttl_s * 1000),
    }


def write_links(path: Path, links: Mapping[str, Link]) -> None:
    """Write links of the kinds that take the fast lane, by slug."""
    path.write_bytes(msgspec.json.encode({slug: _link(link) for slug, link in links.items()}))


def _link(link: Link) -> Told:
    snapshot = link.snapshot
    return {
        "link_id": snapshot.link_id,
        "program_id": snapshot.program_id,
        "link_bits": link.link_bits,
        "is_static": link.kind == STATIC,
        "prefix": link.location_prefix.decode(),
        "suffix": link.location_suffix.decode(),
        "status": snapshot.redirect_status,
        "referrer_policy": snapshot.referrer_policy,
    }


def _redis(url: str) -> Told:
    """One address as the two clients want it: ioredis takes a path or an address."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return {"redis_path": url, "redis_bun": url}
    path = unquote(parts.path)
    return {"redis_path": path, "redis_bun": f"{_SCHEME_BUN}://{path}"}
