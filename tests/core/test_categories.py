"""The tree of categories stays a tree of few levels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import categories, errors
from core.categories import Category

CHAIN = {"a": None, "b": "a", "c": "b", "d": "c", "e": "d"}


def category(name: str, parent: str | None = None, position: int = 0) -> Category:
    return Category(id=name, slug=name, name=name, parent_id=parent, position=position)


@pytest.mark.parametrize("parent", ["b", "c", "d"])
def test_a_category_does_not_stand_under_what_is_below_it(parent: str) -> None:
    with pytest.raises(errors.CategoryCycle):
        categories.check_place(CHAIN, "b", parent)


def test_the_tree_has_five_levels_and_no_more() -> None:
    categories.check_place(CHAIN, "new", "d")
    with pytest.raises(errors.InvalidRequest) as refused:
        categories.check_place(CHAIN, "new", "e")
    assert refused.value.errors is not None
    assert refused.value.errors[0]["pointer"] == "/parent_id"


def test_what_is_below_is_moved_along_and_counts() -> None:
    two = {**CHAIN, "x": None, "y": "x"}
    categories.check_place(two, "x", "c")
    with pytest.raises(errors.InvalidRequest):
        categories.check_place(two, "x", "d")


def test_a_parent_is_one_of_the_programs() -> None:
    with pytest.raises(errors.CategoryNotFound):
        categories.check_place(CHAIN, "new", "elsewhere")


def test_there_are_only_so_many() -> None:
    full = {f"c{number}": None for number in range(categories.COUNT_MAX)}
    categories.check_place(full, "c0", "c1")
    with pytest.raises(errors.InvalidRequest):
        categories.check_place(full, "new", None)


def test_children_stand_by_position_then_by_name() -> None:
    (root,) = categories.tree(
        [category("b", "r"), category("r"), category("a", "r"), category("z", "r", -1)]
    )
    assert [child.id for child in root.children] == ["z", "a", "b"]


@given(st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 9)), max_size=40))
def test_whatever_is_moved_it_stays_a_tree(moves: list[tuple[int, int | None]]) -> None:
    parents: dict[str, str | None] = {str(number): None for number in range(10)}
    for moved, parent in moves:
        try:
            categories.check_place(parents, str(moved), None if parent is None else str(parent))
        except (errors.CategoryCycle, errors.InvalidRequest):
            continue
        parents[str(moved)] = None if parent is None else str(parent)
    roots = categories.tree([category(name, parent) for name, parent in parents.items()])
    left, depth = 0, 0
    while roots:
        left, depth = left + len(roots), depth + 1
        roots = [child for root in roots for child in root.children]
    assert left == 10
    assert depth <= categories.DEPTH_MAX
