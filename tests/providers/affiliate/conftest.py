"""Each network of ours beside a local one, with the client of production between them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec
import pytest

from core.http import HttpRequest, HttpResponse
from core.providers.affiliate import table
from core.providers.affiliate.protocol import AffiliateNetwork, CanPull, Page, Terms, Window
from core.providers.affiliate.report import Problem, Report
from tests.providers import server
from tests.providers.affiliate.admitad import Admitad
from tests.providers.affiliate.awin import Awin
from tests.providers.affiliate.cj import Cj
from tests.providers.affiliate.cuelinks import Cuelinks
from tests.providers.affiliate.generic import Generic
from tests.providers.affiliate.impact import Impact
from tests.providers.affiliate.rakuten import Rakuten
from tests.providers.affiliate.server import DAY_MS, EPOCH_MS, Network
from tests.providers.affiliate.trackier import Trackier
from tests.providers.affiliate.tune import Tune
from web.outbound import Outbound

KINDS: dict[str, type[Network]] = {
    kind.slug: kind
    for kind in (Admitad, Trackier, Cuelinks, Tune, Impact, Awin, Cj, Rakuten, Generic)
}
PULLING = [slug for slug in KINDS if slug != "generic"]
#: Long, for machines that are busy, unless it is known that nothing will come.
PATIENCE_S = 20.0
IMPATIENCE_S = 0.3
#: Longer than what any of them may be asked for at once.
WINDOW = Window(EPOCH_MS - 75 * DAY_MS, EPOCH_MS)


class Account(NamedTuple):
    """A network of ours, and the local one that knows how it should be set up."""

    ours: AffiliateNetwork
    theirs: Network

    def with_config(self, **changes: Any) -> Account:
        config = {**self.theirs.config(), **changes}
        slug, credentials = self.theirs.slug, self.theirs.credentials()
        return self._replace(ours=table.make(slug, config, credentials))


class Setup(NamedTuple):
    """A network of ours, the server that it speaks to, and the client between them."""

    ours: AffiliateNetwork
    theirs: Network
    outbound: Outbound

    async def send(self, request: HttpRequest) -> HttpResponse:
        faults = [fault for faults in self.theirs.faults.values() for fault in faults]
        is_silent = any(fault.is_hanging for fault in faults)
        timeout_s = IMPATIENCE_S if is_silent else PATIENCE_S
        return await self.outbound.send(msgspec.structs.replace(request, timeout_s=timeout_s))

    @property
    def terms(self) -> Terms:
        assert isinstance(self.ours, CanPull)
        return self.ours.terms

    def with_config(self, **changes: Any) -> Setup:
        changed = Account(self.ours, self.theirs).with_config(**changes)
        return self._replace(ours=changed.ours)

    def pages(self, window: Window = WINDOW, cursor: str = "") -> AsyncIterator[Page]:
        assert isinstance(self.ours, CanPull)
        return self.ours.pull(self.send, window, cursor)

    async def pull(self, window: Window = WINDOW) -> list[Report]:
        """All reports of a window without problems."""
        found: list[Report] = []
        async for page in self.pages(window):
            assert page.problems == []
            found += page.reports
        return found


def bare(report: Report | Problem) -> Report:
    """The report without what is kept raw."""
    assert isinstance(report, Report), report
    return msgspec.structs.replace(report, raw={})


@pytest.fixture(params=KINDS)
async def setup(request: pytest.FixtureRequest) -> AsyncIterator[Setup]:
    """Each network in turn, or the one that the test names."""
    async with server.running(KINDS[request.param]) as theirs:
        ours = table.make(theirs.slug, theirs.config(), theirs.credentials())
        outbound = Outbound(allow="127.0.0.1")
        yield Setup(ours, theirs, outbound)
        await outbound.close()
