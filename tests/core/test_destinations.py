"""Destinations: what is refused and why, the stored form, merging of query and path."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import destinations, errors, macros

OWN = frozenset({"go.example", "127.0.0.1:8081", "links.example:443"})
ALLOW = ("127.0.0.0/8", "shop.internal")

NAMES = st.sampled_from(["a", "b", "subid", "_r.t", "_t", "ü", "a b", ""])
PAIRS = st.lists(st.tuples(NAMES, st.text(st.characters(codec=None), max_size=8)), max_size=6)
MODES = st.sampled_from(["off", "append", "append_if_absent", "overwrite"])
URLS = st.sampled_from(
    [
        "https://m.example",
        "https://m.example/p?a=1&subid=x",
        "https://m.example/p?a=1#f?a=2",
        "https://m.example/?a=1?b=2",
        "https://m.example/??a",
    ]
)


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("javascript:alert(1)", "the scheme javascript is not allowed"),
        ("JavaScript://m.example/%0aalert(1)", "the scheme JavaScript is not allowed"),
        ("data:text/html,x", "the scheme data is not allowed"),
        ("vbscript:x", "the scheme vbscript is not allowed"),
        ("file:///etc/passwd", "the scheme file is not allowed"),
        ("intent://m.example", "the scheme intent is not allowed"),
        ("//evil.example", "absolute http or https"),
        ("/p", "absolute http or https"),
        ("m.example", "absolute http or https"),
        ("https:m.example", "absolute http or https"),
        ("https:/m.example", "absolute http or https"),
        ("", "absolute http or https"),
        ("{_sub1}", "absolute http or https"),
        ("{sub1}://m.example", "absolute http or https"),
        ("http:\\\\evil.example", "backslash"),
        ("https://m.example\\@evil.example", "backslash"),
        (" https://m.example", "space"),
        ("https://m.example/a b", "space"),
        ("https://m.example/a\u00a0b", "space"),
        ("https://m.example/a\r\nSet-Cookie: a=b", "control"),
        ("https://m.example/\x00", "control"),
        ("https://m.example/\x85", "control"),
        ("java\tscript:alert(1)", "control"),
        ("https://user:secret@m.example/", "user name"),
        ("https://m.example@evil.example/", "user name"),
        ("https://{sub1}.example/", "a macro cannot stand"),
        ("https://m.example{_path}", "a macro cannot stand"),
        ("https://m.example:{sub1}/", "a macro cannot stand"),
        ("https:///p", "no valid host"),
        ("https://?a", "no valid host"),
        ("https://./", "no valid host"),
        ("https://a..example/", "no valid host"),
        ("https://-a.example/", "no valid host"),
        ("https://m.exa%6dple/", "no valid host"),
        ("https://m<.example/", "no valid host"),
        ("https://" + "a" * 64 + ".example/", "no valid host"),
        ("https://[::1", "no valid host"),
        ("https://[fe80::1%25eth0]/", "no valid host"),
        ("https://m.example:x/", "no valid host"),
        ("https://m.example:1:2/", "no valid host"),
        ("https://2130706433/", "no valid host"),
        ("https://0x7f.1/", "no valid host"),
        ("https://127.1/", "no valid host"),
        ("https://m.example:0/", "port is out of range"),
        ("https://m.example:65536/", "port is out of range"),
        ("http://[::1]/", "private or local"),
        ("http://[::ffff:10.0.0.1]/", "private or local"),
        ("http://10.0.0.1/", "private or local"),
        ("http://169.254.169.254/latest/meta-data", "private or local"),
        ("http://100.64.0.1/", "private or local"),
        ("http://0.0.0.0/", "private or local"),
        ("http://224.0.0.1/", "private or local"),
        ("http://localhost:8000/", "private or local"),
        ("http://LOCALHOST./", "private or local"),
        ("http://db.internal/", "private or local"),
        ("https://go.example/r/x", "leads back"),
        ("https://GO.example.:8443/r/x", "leads back"),
        ("https://ｇｏ.example/r/x", "leads back"),
        ("https://links.example/r/x", "leads back"),
        ("http://127.0.0.1:8081/r/x", "leads back"),
        ("https://m.example/" + "a" * 2048, "longer than 2048"),
        ("https://m.example/" + "ü" * 500, "longer than 2048"),
    ],
)
def test_destination_is_refused(text: str, detail: str) -> None:
    with pytest.raises(errors.InvalidDestination, match=re.escape(detail)):
        destinations.validate(text, OWN)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("https://m.example", "https://m.example"),
        ("HTTPS://M.Example:443/P", "https://m.example/P"),
        ("http://m.example:8080/p", "http://m.example:8080/p"),
        ("http://m.example:/p", "http://m.example/p"),
        ("https://links.example:8443/", "https://links.example:8443/"),
        ("https://bücher.example/straße?q=ü#ä", None),
        ("https://m.example/%7e100%?a=%zz", "https://m.example/%7e100%25?a=%25zz"),
        ('https://m.example/"<>`^|', "https://m.example/%22%3C%3E%60%5E%7C"),
        ("https://m.example/?s=[[subid]]&c=[[c1]]", "https://m.example/?s={click_id}&c={sub1}"),
        ("https://m.example/{sub1|a b}/{sub1", "https://m.example/{sub1|a b}/%7Bsub1"),
        ("https://m.example/{device:mobile=m desktop=d}", None),
        ("http://93.184.216.34/", "http://93.184.216.34/"),
        ("http://[2606:4700:0000::1111]/", "http://[2606:4700::1111]/"),
    ],
)
def test_destination_is_stored(text: str, stored: str | None) -> None:
    result = destinations.validate(text, OWN)
    if stored is not None:
        assert result == stored
    assert result.isascii()
    assert destinations.validate(result, OWN) == result


def test_unicode_host_is_stored_as_punycode() -> None:
    stored = destinations.validate("https://bücher.example/straße")
    assert stored == "https://xn--bcher-kva.example/stra%C3%9Fe"


@pytest.mark.parametrize("text", ["http://127.0.0.1:9000/p", "http://shop.internal/p"])
def test_private_destination_passes_where_it_is_allowed(text: str) -> None:
    with pytest.raises(errors.InvalidDestination):
        destinations.validate(text)
    assert destinations.validate(text, OWN, ALLOW) == text


@given(st.text(st.characters(codec="utf-8")))
def test_what_is_stored_is_stored_again_unchanged(text: str) -> None:
    try:
        stored = destinations.validate(f"https://m.example/{text}")
    except errors.InvalidDestination:
        return
    assert destinations.validate(stored) == stored
    assert stored.startswith("https://m.example/")


@given(st.text("{}[]_|:=? #&%subid1clkü", max_size=60), st.text(st.characters(codec=None)))
def test_no_macro_and_no_unsafe_character_ever_reaches_a_location(text: str, value: str) -> None:
    try:
        stored = destinations.validate(f"https://m.example/{text}")
    except errors.InvalidDestination:
        return
    rendered = macros.compile(stored).render(lambda _name: value)
    assert re.fullmatch(r"[!-~]*", rendered)
    assert not {"{", "}"} & set(rendered)


@pytest.mark.parametrize(
    ("template", "result"),
    [
        ("https://m.example", "https://m.example?subid={click_id}"),
        ("https://m.example/?a=1#f", "https://m.example/?a=1&subid={click_id}#f"),
        ("https://m.example/?subid=&a=1", "https://m.example/?a=1&subid={click_id}"),
        ("https://m.example/{sub1|#?}#f", "https://m.example/{sub1|#?}?subid={click_id}#f"),
    ],
)
def test_parameter_is_set_once_before_the_fragment(template: str, result: str) -> None:
    assert destinations.with_parameter(template, "subid", "{click_id}") == result
    assert destinations.has_parameter(result, "subid")
    assert destinations.click_id_parameters(result) == {"subid"}


def test_parameters_with_the_click_id_are_found_in_any_form() -> None:
    template = (
        "https://m.example/{click_id}?a={sub1}&b=x{_click_id}&c%2Fd={sub1|&}{click_id:lower}&e=f"
    )
    assert destinations.click_id_parameters(template) == {"b", "c/d"}


def test_parameter_text_is_encoded_around_its_macros() -> None:
    assert destinations.parameter("a&b={c1|x y}#") == "a%26b%3D{sub1|x y}%23"


@pytest.mark.parametrize(
    ("mode", "merged"),
    [
        ("off", "https://m.example/p?a=1&b=2#f"),
        ("append", "https://m.example/p?a=1&b=2&a=9&c=x%20y%26#f"),
        ("append_if_absent", "https://m.example/p?a=1&b=2&c=x%20y%26#f"),
        ("overwrite", "https://m.example/p?b=2&a=9&c=x%20y%26#f"),
    ],
)
def test_query_is_merged(mode: destinations.QueryMode, merged: str) -> None:
    pairs = [("a", "9"), ("c", "x y&"), ("_r.t", "qr"), ("_t", "sig")]
    assert destinations.merge_query("https://m.example/p?a=1&b=2#f", pairs, mode) == merged


def test_only_allowed_names_are_merged() -> None:
    merged = destinations.merge_query(
        "https://m.example", [("a", "1"), ("b", "2")], "append", allow=("b",)
    )
    assert merged == "https://m.example?b=2"


@pytest.mark.parametrize(
    ("url", "healed"),
    [
        ("https://m.example/?a=1?b=2", "https://m.example/?a=1&b=2&c=3"),
        ("https://m.example/??a=1", "https://m.example/?a=1&c=3"),
        ("https://m.example/?u=/x?y", "https://m.example/?u=/x?y&c=3"),
        ("https://m.example/?", "https://m.example/?c=3"),
    ],
)
def test_second_question_mark_is_healed(url: str, healed: str) -> None:
    assert destinations.merge_query(url, [("c", "3")], "append") == healed


@given(url=URLS, pairs=PAIRS, mode=MODES, allow=st.sets(NAMES))
def test_merging_keeps_the_place_and_the_protected(
    url: str, pairs: list[tuple[str, str]], mode: destinations.QueryMode, allow: set[str]
) -> None:
    merged = destinations.merge_query(url, pairs, mode, allow=allow, protected=("subid",))
    before, after = urlsplit(url), urlsplit(merged)
    assert merged.isascii()
    assert (before.scheme, before.netloc, before.path) == (after.scheme, after.netloc, after.path)
    assert before.fragment == after.fragment
    names = [name for name, _ in parse_qsl(after.query, keep_blank_values=True)]
    assert not {"_r.t", "_t"} & set(names)
    assert names.count("subid") == url.count("subid")
    if mode == "append_if_absent" or not pairs:
        assert names.count("a") <= max(1, sum(name == "a" for name, _ in pairs))


@pytest.mark.parametrize(
    ("suffix", "clean"),
    [
        ("", ""),
        ("a/b", "a/b"),
        ("a//b/", "a/b/"),
        ("../../etc", "etc"),
        ("a/%2e%2e/%2E./b", "a/b"),
        ("..%2f..%5c..%2Fb", "b"),
        ("..\\b", "b"),
        ("%252e%252e/a", "%2e%2e/a"),
        ("a%0d%0ab", "a\r\nb"),
        ("%C3%BC%3F", "ü?"),
        ("..", ""),
    ],
)
def test_path_is_clean(suffix: str, clean: str) -> None:
    assert destinations.clean_path(suffix) == clean


@given(st.text("./\\%2ef?#a", max_size=20) | st.text(st.characters(codec=None)))
def test_an_appended_path_never_leaves_its_folder(suffix: str) -> None:
    clean = destinations.clean_path(suffix)
    url = destinations.append_path("https://m.example/p?a=1#f", clean)
    parts = urlsplit(url)
    assert url.isascii()
    assert (parts.netloc, parts.query, parts.fragment) == ("m.example", "a=1", "f")
    assert parts.path.startswith("/p")
    assert not {".", ".."} & set(unquote(parts.path).split("/"))


@pytest.mark.parametrize(
    ("url", "result"),
    [
        ("https://m.example", "https://m.example/a%20%3F/b%25"),
        ("https://m.example/p/?q#f", "https://m.example/p/a%20%3F/b%25?q#f"),
    ],
)
def test_path_is_appended_before_the_query(url: str, result: str) -> None:
    assert destinations.append_path(url, "a ?/b%") == result
    assert destinations.append_path(url, "") == url
