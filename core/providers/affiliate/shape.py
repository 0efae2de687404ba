"""How a network writes what we call a report: the names of its fields, its words, its times."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from core.providers.affiliate import amounts, fields, times
from core.providers.affiliate.config import Config, Field
from core.providers.affiliate.report import Report, Status, Unreadable

#: Longer than any id or word that a network was seen to send.
TEXT_MAX: Final = 255


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """`names` in the order in which they are looked for; `words` in lower case.

    `time_form` is how it writes times: `unix` or strftime's form. With `is_negative_reversal` a
    commission below zero takes the transaction back; otherwise that is said in words, or refused.
    """

    names: Mapping[Field, tuple[str, ...]]
    words: Mapping[str, Status] = {}
    time_form: str = "%Y-%m-%d %H:%M:%S"
    is_negative_reversal: bool = False

    def clicks(self, *names: str) -> Shape:
        """The same with the click id in the first of `names` that has a value."""
        return msgspec.structs.replace(self, names={**self.names, "click_id": names})


class _Texts:
    """The fields under our names; checked, but not yet understood."""

    def __init__(self, found: Mapping[str, str], shape: Shape, own: Mapping[Field, str]) -> None:
        self._found = fields.filled(found)
        self._names = shape.names
        self._own = own

    def get(self, field: Field) -> str:
        own = self._own.get(field)
        for name in _lower(self._names.get(field, ()) if own is None else (own,)):
            value = self._found.get(name)
            if value is None:
                continue
            if len(value) > TEXT_MAX or not value.isprintable():
                raise Unreadable("it is too long, or has characters that do not print", field)
            return value
        return ""


# Each row asks for the same names again.
@lru_cache(maxsize=1_000)
def _lower(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(str.lower, names))


def read(
    found: Mapping[str, str], shape: Shape, config: Config, own: Mapping[Field, str]
) -> Report:
    """The report in these fields, or Unreadable; `own` are names that go before the shape's."""
    texts = _Texts(found, shape, own)
    word = texts.get("status")
    commission, currency = _amount(texts, "commission", config.currency)
    sale, sale_currency = _amount(texts, "sale", currency or config.currency)
    report = Report(
        txn_id=texts.get("txn_id"),
        event=texts.get("event"),
        correction_id=texts.get("correction_id"),
        click_id=texts.get("click_id") or None,
        member=texts.get("member") or None,
        offer=texts.get("offer") or None,
        merchant=texts.get("merchant") or None,
        coupon=texts.get("coupon") or None,
        status=_status(word, shape, config),
        status_word=word,
        commission_minor=commission,
        currency=currency,
        sale_minor=sale,
        sale_currency=sale_currency,
        order_id=texts.get("order_id") or None,
        event_at_ms=_time(texts, "event_at", config),
        updated_at_ms=_time(texts, "updated_at", config),
        raw=fields.raw(found),
    )
    if not report.txn_id:
        raise Unreadable("it is missing", "txn_id")
    return _signed(report, shape)


def write(report: Report, shape: Shape, config: Config) -> dict[str, str] | None:
    """The fields with which the network would say it, or None if it has no words for that."""
    named = {field: names[0] for field, names in shape.names.items()} | config.field_map
    word = next((word for word, status in shape.words.items() if status == report.status), "")
    if not word and report.status != config.absent_status:
        return None
    if "currency" not in named and report.currency not in {None, config.currency}:
        return None
    values: dict[Field, str] = {
        "txn_id": report.txn_id,
        "event": report.event,
        "click_id": report.click_id or "",
        "member": report.member or "",
        "offer": report.offer or "",
        "merchant": report.merchant or "",
        "coupon": report.coupon or "",
        "order_id": report.order_id or "",
        "status": word,
        "currency": report.currency or "",
        "sale_currency": report.sale_currency or "",
        "commission": _written(report.commission_minor, report.currency),
        "sale": _written(report.sale_minor, report.sale_currency),
        "event_at": _moment(report.event_at_ms, shape, config),
        "updated_at": _moment(report.updated_at_ms, shape, config),
    }
    return {named[field]: value for field, value in values.items() if value and field in named}


def _amount(texts: _Texts, field: Field, default: str | None) -> tuple[int | None, str | None]:
    """The amount and its currency; both None when there is no amount."""
    amount = texts.get(field)
    stated = texts.get("sale_currency") if field == "sale" else ""
    code = stated or texts.get("currency") or default
    if not amount:
        return None, None
    if not code:
        raise Unreadable("an amount without a currency", "currency", "currency_unknown")
    code = amounts.currency(code)
    return amounts.minor(amount, code, field), code


def _status(word: str, shape: Shape, config: Config) -> Status:
    if not word:
        return config.absent_status
    own = {theirs.lower(): status for theirs, status in config.status_map.items()}
    return own.get(word.lower()) or shape.words.get(word.lower(), "unknown")


def _time(texts: _Texts, field: Field, config: Config) -> int | None:
    value = texts.get(field)
    return times.unix_ms(value, config.utc_offset_min, field) if value else None


def _signed(report: Report, shape: Shape) -> Report:
    """Amounts below zero stand only in corrections; elsewhere they say that it was taken back."""
    commission, sale = report.commission_minor or 0, report.sale_minor or 0
    if report.correction_id:
        return msgspec.structs.replace(report, status="reversed") if commission < 0 else report
    if commission >= 0 and sale >= 0:
        return report
    status: Status = report.status
    if status not in {"reversed", "rejected"}:
        if not shape.is_negative_reversal:
            raise Unreadable("it is below zero", "commission", "amount_implausible")
        status = "reversed"
    return msgspec.structs.replace(
        report,
        status=status,
        commission_minor=None if report.commission_minor is None else abs(commission),
        sale_minor=None if report.sale_minor is None else abs(sale),
    )


def _written(amount_minor: int | None, code: str | None) -> str:
    return "" if amount_minor is None or code is None else amounts.text(amount_minor, code)


def _moment(ms: int | None, shape: Shape, config: Config) -> str:
    return "" if ms is None else times.written(ms, shape.time_form, config.utc_offset_min)
