"""The page on networks says what the code has."""

from __future__ import annotations

import hashlib
import hmac
import re

from core.providers.affiliate import table
from core.providers.affiliate.protocol import DAY_MS, CanPull
from tests import sources
from tests.providers.affiliate.conftest import KINDS

PAGE = (sources.ROOT / "docs" / "affiliate-networks.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| .+? \| (.+?) \|$", re.MULTILINE)
TERMS = re.compile(r"((?:`[\w.]+`(?:, )?)+); (\d+); (\d+) days; (\d+)")


def test_the_table_of_networks_is_the_code_s() -> None:
    rows = ROW.findall(PAGE)
    assert [slug for slug, _, _ in rows] == list(table.TABLE)
    for slug, sub_id, terms in rows:
        theirs = KINDS[slug]("http://127.0.0.1:1")
        ours = table.make(slug, theirs.config())
        if not isinstance(ours, CanPull):
            assert (sub_id, terms) == ("template", "none")
            continue
        assert sub_id == f"`{theirs.link()[0]}`"
        said = TERMS.fullmatch(terms)
        assert said is not None, terms
        has = ours.terms
        assert re.findall(r"`([\w.]+)`", said[1]) == list(has.dates)
        days = (has.window_ms // DAY_MS, has.look_back_ms // DAY_MS, has.calls_per_minute)
        assert tuple(map(int, said.groups()[1:])) == days


def test_the_signature_of_the_page_is_right() -> None:
    said = re.search(r"secret `(.+?)` the query `(.+?)` has\s+the signature `(\w+)`", PAGE)
    assert said is not None
    assert hmac.new(said[1].encode(), said[2].encode(), hashlib.sha256).hexdigest() == said[3]
