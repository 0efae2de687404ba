"""In which order members are told of their money, as a program's settings say it."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from core import notices, templates
from core.notices import NoticeRules


def test_the_next_channel_is_the_first_that_reaches_and_was_not_tried() -> None:
    order = NoticeRules().order("cashback_credited")
    assert order == ("push", "whatsapp", "email", "sms")
    assert notices.following(order, [], {"sms", "email"}) == "email"
    assert notices.following(order, ["email"], {"sms", "email", "push"}) == "push"
    assert notices.following(order, ["email", "sms"], {"sms", "email"}) is None
    assert notices.following((), [], {"sms"}) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": ["email", "email"]},
        {"channels": ["pigeon"]},
        {"channels_of": {"claim_sent": ["sms", "sms"]}},
        {"channels_of": {"sign_in_code": ["sms"]}},
        {"colors": []},
    ],
)
def test_an_order_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, NoticeRules)


def test_every_notice_can_go_out_by_every_channel() -> None:
    for name in get_args(notices.Name):
        assert set(templates.KINDS[name].channels) == set(get_args(templates.Channel)), name
