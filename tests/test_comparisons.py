"""What is secret is compared in constant time, everywhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests import sources

SECRET = re.compile(
    r"(?<!^active)(?:^|_)(?:secret|signature|token|password|digest|mac|hmac|otp|nonce|code_hash|body_hash)s?$"
)
# What has such a name and is no secret: a count of them, or whether there is one.
HARMLESS = (ast.Constant,)
# Whose digests are shown to everybody who may read what they are of.
PUBLIC = {"db/audit_chain.py"}
# What somebody far away can send texts to, and measure.
REACHED = ("core", "db", "web", "gateway", "redirector", "workers")


def named(node: ast.expr) -> str:
    """The last name of what is compared; empty when it has none."""
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return node.attr
        case ast.Subscript(slice=ast.Constant(value=str() as key)):
            return key
        case ast.Call():
            return named(node.func)
        case _:
            return ""


def plain_comparisons() -> Iterator[str]:
    for path in sources.files(".py", under=REACHED):
        if sources.named(path) in PUBLIC:
            continue
        for node in ast.walk(sources.tree(path)):
            if not isinstance(node, ast.Compare):
                continue
            if not any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                continue
            sides = [node.left, *node.comparators]
            if any(isinstance(side, HARMLESS) for side in sides):
                continue
            if any(SECRET.search(named(side)) for side in sides):
                yield f"{sources.named(path)}:{node.lineno}: {ast.unparse(node)}"


def test_secrets_are_never_compared_with_equals() -> None:
    assert list(plain_comparisons()) == []


def test_the_search_finds_what_it_is_for() -> None:
    for text in ("a.signature == b", "row['code_hash'] != given", "token == x", "mac() == y"):
        compared = ast.parse(text, mode="eval").body
        assert isinstance(compared, ast.Compare)
        sides = (compared.left, *compared.comparators)
        assert any(SECRET.search(named(side)) for side in sides), text
