"""Postbacks of an account: read, answered, and made for trying things out."""

from __future__ import annotations

import re
from urllib.parse import urlencode

from core.providers.affiliate import fields, shape
from core.providers.affiliate.config import Config
from core.providers.affiliate.report import Postback, Problem, Report, Unreadable
from core.providers.affiliate.shape import Shape

_MACRO = re.compile(r"\{(txn_id|event|click_id)\}")


def read(postback: Postback, form: Shape, config: Config) -> Report | Problem:
    """The report in the fields of the postback's query and body."""
    try:
        return shape.read(fields.received(postback), form, config, config.field_map)
    except Unreadable as error:
        return error.problem


def reply(report: Report | None, config: Config) -> str:
    """The account's reply, filled in; without a report its macros leave nothing."""

    def value(found: re.Match[str]) -> str:
        return str(getattr(report, found[1], "") or "")

    return _MACRO.sub(value, config.reply)


def sample(report: Report, form: Shape, config: Config) -> Postback | None:
    """A GET with the fields of the report, or None if the network has no word for its status."""
    written = shape.write(report, form, config)
    return None if written is None else Postback(query=urlencode(written))
