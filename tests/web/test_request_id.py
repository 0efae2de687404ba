from __future__ import annotations

import pytest
from multidict import CIMultiDict

from web import request_id


@pytest.mark.parametrize("name", ["X-Request-Id", "Request-Id", "x-request-id"])
def test_a_sane_id_of_the_client_is_kept(name: str) -> None:
    assert request_id.assign(CIMultiDict({name: "Order_7.a-b"})) == "Order_7.a-b"


@pytest.mark.parametrize("given", ["", "a b", "a\nb", "é", "x" * 65, '"><script>', "a\n"])
def test_any_other_id_is_replaced(given: str) -> None:
    assigned = request_id.assign(CIMultiDict({"X-Request-Id": given}))
    assert assigned != given
    assert request_id._is_sane(assigned)


def test_no_two_requests_share_an_id() -> None:
    assert len({request_id.assign({}) for _ in range(1000)}) == 1000
