import inspect
import re
from collections.abc import Iterator

import pytest

from core import errors

MAP_LINE = re.compile(r"^[│├└─ ]*(\w+) +(\d{3}) (\w+)(?:  .*)?$", re.MULTILINE)


def tree(root: type[errors.StampgateError]) -> Iterator[type[errors.StampgateError]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


OURS = [error for error in tree(errors.StampgateError) if error.__module__ == errors.__name__]


def test_the_map_in_the_docstring_is_the_tree() -> None:
    drawn = [
        (name, int(status), code) for name, status, code in MAP_LINE.findall(errors.__doc__ or "")
    ]
    assert sorted(drawn) == sorted((error.__name__, error.status, error.code) for error in OURS)


def test_every_malformed_text_is_on_the_map() -> None:
    drawn = re.findall(r"\b(?:Bad|Forged)\w+", errors.__doc__ or "")
    names = [
        name
        for name, error in inspect.getmembers(errors, inspect.isclass)
        if issubclass(error, errors.Malformed) and error is not errors.Malformed
    ]
    assert sorted(drawn) == names


def test_codes_are_unique() -> None:
    codes = [error.code for error in OURS]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("error", OURS, ids=lambda error: error.__name__)
def test_every_error_explains_itself(error: type[errors.StampgateError]) -> None:
    assert error.__doc__
    assert error.__doc__.endswith(".")
    assert error.title
    assert 400 <= error.status <= 503


def test_the_docstring_is_the_default_detail() -> None:
    assert errors.SlugTaken().detail == "Another link has this slug."
    assert str(errors.SlugTaken("abc is taken.")) == "abc is taken."


def test_only_refusals_that_pass_say_when_to_retry() -> None:
    assert errors.Unavailable().retry_after_s == 1
    assert errors.OutcomeUnknown().retry_after_s == 1
    assert errors.OverCapacity(retry_after_s=30).retry_after_s == 30
    assert errors.LinkNotFound().retry_after_s is None


def test_an_unknown_outcome_is_not_mistaken_for_nothing_happened() -> None:
    assert not issubclass(errors.OutcomeUnknown, errors.Unavailable)


def test_a_refused_method_names_the_allowed_ones() -> None:
    error = errors.MethodNotAllowed(["POST", "GET"])
    assert error.allow == ("GET", "POST")
    assert error.detail == "The path takes GET, POST."
