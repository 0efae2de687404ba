"""The page on networks says what the code has."""

from __future__ import annotations

import hashlib
import hmac
import re
from urllib.parse import quote

import pytest

from core.providers.affiliate import table
from core.providers.affiliate.protocol import DAY_MS, CanPull
from core.providers.affiliate.report import Postback
from tests import sources
from tests.providers.affiliate.conftest import KINDS, bare

PAGE = (sources.ROOT / "docs" / "affiliate-networks.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| .+? \| (.+?) \|$", re.MULTILINE)
TERMS = re.compile(r"((?:`[\w.]+`(?:, )?)+); (\d+); (\d+) days; (\d+)")

AMOUNTS = {
    **dict.fromkeys(("payment_sum", "payout", "Payout", "commission"), "1.50"),
    **dict.fromkeys(("order_sum", "sale_amount", "Amount", "transactionAmount"), "30"),
}


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


@pytest.mark.parametrize("slug", ["admitad", "trackier", "tune", "impact", "awin"])
def test_the_templates_of_the_page_are_read(slug: str) -> None:
    said = re.search(rf"^\| `{slug}` \| .*?`\?(.+?)` \|$", PAGE, re.MULTILINE)
    assert said is not None
    known = {**AMOUNTS, "transactionDate": "2026-08-20 00:00:00", "time": "1787184000"}
    known |= {"datetime": "2026-08-20 00:00:00", "currency": "USD", "Currency": "USD"}
    known |= {"transactionCurrency": "USD", "status": "approved", "Status": "APPROVED"}
    known |= {"payment_status": "approved"}
    names = [pair.partition("=")[0] for pair in said[1].split("&")]
    macros = [pair.partition("=")[2].strip("[]{}!") for pair in said[1].split("&")]
    assert names == macros
    query = "&".join(f"{name}={quote(known.get(name, 'of-' + name))}" for name in names)
    theirs = KINDS[slug]("http://127.0.0.1:1")
    report = bare(table.make(slug, theirs.config()).read_postback(Postback(query=query)))
    assert report.txn_id.startswith("of-")
    assert report.click_id in {"of-subid4", "of-p1", "of-aff_sub", "of-SubId1", "of-clickRef"}
    assert (report.commission_minor, report.currency) == (150, "USD")
    assert report.status == ("pending" if slug == "awin" else "approved")


def test_the_signature_of_the_page_is_right() -> None:
    said = re.search(r"secret `(.+?)` the query `(.+?)` has\s+the signature `(\w+)`", PAGE)
    assert said is not None
    assert hmac.new(said[1].encode(), said[2].encode(), hashlib.sha256).hexdigest() == said[3]
