"""Templates: what may be saved, what is sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import templates
from core.errors import BadTemplate, InvalidTemplate
from core.templates import KINDS, Texts
from core.texts import builtin

GOOD = Texts(subject="For {program}", text="{code}, {minutes} minutes")
VALUES: dict[str, templates.Value] = {"code": "482913", "minutes": 5, "program": "Tea"}
LANGUAGES = ("en", "de", "hi", "fr", "es")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", KINDS)
def test_every_template_is_there_in_every_language_and_is_one(name: str, language: str) -> None:
    kind = KINDS[name]
    for channel in kind.channels:
        texts = builtin.TEXTS[name, channel, language]
        templates.check(name, channel, texts)
        filled = templates.fill_in(texts, dict(kind.samples) | {"program": "Tea"})
        assert "Tea" in filled.text
        assert "{" not in filled.subject + filled.text + filled.html


def test_there_is_no_built_in_text_of_no_template() -> None:
    known = {(name, channel) for name, kind in KINDS.items() for channel in kind.channels}
    assert {key[:2] for key in builtin.TEXTS} == known
    assert {key[2] for key in builtin.TEXTS} == set(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_built_in_text_message_has_its_code_early(language: str) -> None:
    """Beyond two parts of a long message some phones show nothing on the lock screen."""
    for (name, channel, spoken), texts in builtin.TEXTS.items():
        if channel == "sms" and spoken == language:
            samples = {**KINDS[name].samples, "program": "Tea"}
            assert len(templates.fill_in(texts, samples).text) <= 153


@pytest.mark.parametrize(
    ("texts", "field"),
    [
        (Texts(subject="For {program}", text="{minutes} minutes"), "text"),
        (Texts(subject="For {program}", text="{code} {cod}"), "text"),
        (Texts(subject="{name}", text="{code}"), "subject"),
        (Texts(subject="{code}", text="{code}"), "subject"),
        (Texts(subject="", text="{code}"), "subject"),
        (Texts(subject=" ", text="{code}"), "subject"),
        (Texts(subject="a\nBcc: x@example.com", text="{code}"), "subject"),
        (Texts(subject="a\rb", text="{code}"), "subject"),
        (Texts(subject="a\u2028b", text="{code}"), "subject"),
        (Texts(subject="a" * 201, text="{code}"), "subject"),
        (Texts(subject="a", text=""), "text"),
        (Texts(subject="a", text="{code}\x00"), "text"),
        (Texts(subject="a", text="{code}\r\n"), "text"),
        (Texts(subject="a", text="{code}" + "a" * 20_000), "text"),
        (Texts(subject="a", text="{code}", html="<b>your code</b>"), "html"),
        (Texts(subject="a", text="{code}", html="{code} {script}"), "html"),
    ],
)
def test_a_text_that_cannot_serve_is_not_saved(texts: Texts, field: str) -> None:
    with pytest.raises(InvalidTemplate) as refusal:
        templates.check("sign_in_code", "email", texts)
    assert refusal.value.errors is not None
    assert refusal.value.errors[0]["pointer"] == f"/{field}"


@pytest.mark.parametrize(
    "texts",
    [
        Texts(text="{minutes}"),
        Texts(text="{code}", subject="a"),
        Texts(text="{code}", html="{code}"),
        Texts(text="{code}" + "a" * 1_000),
    ],
)
def test_a_text_message_is_text_and_not_too_long(texts: Texts) -> None:
    with pytest.raises(InvalidTemplate):
        templates.check("sign_in_code", "sms", texts)


def test_braces_that_are_no_variable_are_text() -> None:
    html = "<style>b {color: red}</style><b>{code}</b> {} {1} {CODE}"
    templates.check("sign_in_code", "email", Texts(subject="a", text="{code}", html=html))
    filled = templates.fill_in(Texts(subject="a", text="{code}", html=html), VALUES)
    assert filled.html == "<style>b {color: red}</style><b>482913</b> {} {1} {CODE}"


def test_values_are_filled_in_once_and_escaped_in_html() -> None:
    texts = Texts(subject="{program}", text="{program}", html="<i title='{program}'>{program}</i>")
    filled = templates.fill_in(texts, {"program": '<b>"T\'" & {code}'})
    assert filled.text == '<b>"T\'" & {code}'
    assert "<b>" not in filled.html
    assert filled.html.count("&lt;b&gt;&quot;T&#x27;&quot; &amp; {code}") == 2


@pytest.mark.parametrize("value", ["a\nBcc: x@example.com", "a\rb", "a\tb", "\x85", "\u2029"])
def test_a_value_never_ends_the_line_of_a_subject(value: str) -> None:
    with pytest.raises(BadTemplate):
        templates.fill_in(Texts(subject="{program}", text="a"), {"program": value})


def test_a_missing_value_is_not_sent_as_nothing() -> None:
    with pytest.raises(BadTemplate, match="minutes"):
        templates.fill_in(GOOD, {"code": "1", "program": "Tea"})


@pytest.mark.parametrize("value", ["a\x00b", "a\rb", "a\x1bb", "a" * 2_001])
def test_a_value_that_no_mail_can_carry_is_not_taken(value: str) -> None:
    with pytest.raises(BadTemplate, match="code"):
        templates.check_values("sign_in_code", "email", {"code": value, "minutes": 5})


def test_what_is_said_of_a_bad_value_does_not_repeat_it() -> None:
    with pytest.raises(BadTemplate) as refusal:
        templates.check_values("sign_in_code", "email", {"code": "48\x002913", "minutes": 5})
    assert "2913" not in str(refusal.value)


@pytest.mark.parametrize(
    ("wanted", "order"),
    [
        ("de", ["de", "en"]),
        ("de-AT", ["de-AT", "de", "en"]),
        ("zh-Hant-TW", ["zh-Hant-TW", "zh-Hant", "zh", "en"]),
        ("en-GB", ["en-GB", "en"]),
        ("en", ["en"]),
    ],
)
def test_languages_are_looked_for_from_the_closest_on(wanted: str, order: list[str]) -> None:
    assert templates.languages(wanted) == order


def test_a_programs_own_text_comes_before_the_built_in_one_of_its_language() -> None:
    own = {"de": GOOD}
    assert builtin.choose(own, "sign_in_code", "email", "de-AT") == ("de", GOOD)
    language, texts = builtin.choose(own, "sign_in_code", "email", "fr")
    assert (language, texts) == ("fr", builtin.TEXTS["sign_in_code", "email", "fr"])
    assert builtin.choose(own, "sign_in_code", "email", "tlh")[0] == "en"
    with pytest.raises(BadTemplate):
        builtin.choose({}, "export_ready", "sms", "en")


@given(st.text(max_size=200), st.dictionaries(st.sampled_from(sorted(VALUES)), st.text()))
def test_any_text_is_filled_in_or_refused(text: str, values: dict[str, str]) -> None:
    try:
        filled = templates.fill_in(Texts(subject="s", text=text, html=text), values)
    except BadTemplate:
        return
    for value in values.values():
        if "<" in value:
            assert f"<{value}" not in filled.html
