"""Templates: every form, the field's other spellings, and what can never come out of them."""

from __future__ import annotations

import hashlib
import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import macros

VALUES = {"click_id": "0abc", "sub1": "A b/ü", "status": "", "device": "mobile", "path": "a b/?c"}
# Lone surrogates too: that is how bytes that are not UTF-8 arrive from a request line.
ANY_TEXT = st.text(st.characters(codec=None), max_size=40)
FORBIDDEN = re.compile(r"[^\x21-\x7e]|[{}]")


def _render(template: str) -> str:
    compiled = macros.compile(macros.canonical(template))
    return compiled.render(lambda name: VALUES.get(name, ""))


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("/p", "/p"),
        ("{click_id}", "0abc"),
        ("a={sub1}", "a=A%20b%2F%C3%BC"),
        ("a={_sub1}", "a=Ab/%C3%BC"),
        ("/{_path}?p={path}", "/a%20b/%3Fc?p=a%20b%2F%3Fc"),
        ("a={sub2|none given}", "a=none%20given"),
        ("a={sub1|none}", "a=A%20b%2F%C3%BC"),
        ("a={sub1:lower}", "a=a%20b%2F%C3%BC"),
        ("a={sub1:sha256}", "a=" + hashlib.sha256("A b/ü".encode()).hexdigest()),
        ("a={sub2:sha256}", "a="),
        ("a={device:mobile=m desktop=d}", "a=m"),
        ("a={device:tablet=t|x}", "a=x"),
        ("a={query:nothing|x}", "a=x"),
        ("a={query:}", "a="),
        ("a={sub1:upper}", "a="),
        ("a={unknown}&b={}", "a=&b="),
        ("a={unknown|default}", "a="),
        ("a={sub1", "a={sub1"),
        ("{clickid}{cid}{subid}{transaction_id}{aff_sub}", "0abc" * 5),
        ("[[subid]]/[[c1]]/{sub_id_1}", "0abc/A%20b%2F%C3%BC/A%20b%2F%C3%BC"),
        ("{_ClickId}", "0abc"),
        ("{subid|none}", "0abc"),
    ],
)
def test_form(template: str, text: str) -> None:
    assert _render(template) == text


def test_every_alias_leads_to_a_known_macro() -> None:
    assert set(macros.ALIASES.values()) <= macros.KNOWN
    assert not set(macros.ALIASES) & macros.KNOWN


@given(
    value=ANY_TEXT,
    macro=st.builds(
        macros.Macro,
        st.sampled_from(["sub1", "path"]),
        st.booleans(),
        ANY_TEXT,
        st.sampled_from(["", "lower", "sha256"]),
    ),
)
def test_a_value_never_breaks_out_of_the_location(value: str, macro: macros.Macro) -> None:
    assert FORBIDDEN.search(macro.text(value)) is None


@given(st.sampled_from(sorted(macros.KNOWN)), st.sampled_from(["", ":lower", ":sha256", ":a=b"]))
def test_a_known_macro_without_a_value_leaves_nothing(name: str, form: str) -> None:
    assert macros.compile(f"<{{{name}{form}}}>{{_{name}}}").render(lambda _name: "") == "<>"


@given(before=st.text("abc/?=&"), after=st.text("abc/?=&"), click_id=st.text("0az", min_size=1))
def test_splice_is_render(before: str, after: str, click_id: str) -> None:
    template = macros.compile(f"{before}{{click_id}}{after}")
    assert template.splice() == (before, after)
    assert template.render(lambda _name: click_id) == before + click_id + after


@pytest.mark.parametrize(
    "template", ["", "/p", "{click_id}{click_id}", "{click_id|x}", "{click_id}{sub1}", "{sub1}"]
)
def test_only_a_single_plain_click_id_is_a_splice(template: str) -> None:
    assert macros.compile(template).splice() is None


def test_static_is_the_text_without_macros() -> None:
    assert macros.compile("/p{unknown}/q").static() == "/p/q"
    assert macros.compile("/p{sub1}").static() is None


@given(st.lists(st.sampled_from(["{slug}", "{sub1}", "{_slug}", "x", "{slug:lower}"])))
def test_binding_first_changes_no_rendering(pieces: list[str]) -> None:
    template = macros.compile("".join(pieces))
    bound = template.bind({"slug": "My Link"})
    values = {"slug": "My Link", "sub1": "1"}
    assert bound.render(values.__getitem__) == template.render(values.__getitem__)
    assert bound.macros <= {"sub1"}
    literals = [isinstance(part, str) for part in bound.parts]
    assert not any(a and b for a, b in itertools.pairwise(literals))
