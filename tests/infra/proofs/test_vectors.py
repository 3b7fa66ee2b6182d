"""docs/proofs.md keeps its word: its vectors are ours, and a checker written from it agrees."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.proofs import check as first
from infra.proofs.merkle import Frontier, consistency, inclusion
from tests.infra.proofs import second_checker as second
from tests.infra.proofs import vectors
from tests.infra.proofs.test_proving import NONSENSE, changed, every_place

STORED = json.loads(vectors.FILE.read_text())
KEY = STORED["key"].encode()


def test_the_vectors_are_those_that_are_generated() -> None:
    again = "write them anew: python -m tests.infra.proofs.vectors"
    assert vectors.FILE.read_text() == vectors.as_text(), again
    assert vectors.in_the_page() in vectors.PAGE.read_text(), again


def hashes(case: Any, *names: str) -> list[bytes]:
    return [bytes.fromhex(case[name]) for name in names]


def steps(case: Any) -> list[bytes]:
    return [bytes.fromhex(step) for step in case["path"]]


def test_both_checkers_agree_on_the_roots() -> None:
    leaves = [bytes.fromhex(leaf) for leaf in STORED["leaves"]]
    for size, root in STORED["roots"].items():
        assert second.root(leaves[: int(size)]).hex() == root
    assert set(vectors.SIZES) >= {0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17}


def test_both_checkers_agree_on_the_events() -> None:
    for case in STORED["events"]:
        expected = bytes.fromhex(case["encoding"])
        assert first.encode(case["event"]) == second.encoding(case["event"]) == expected
        assert first.leaf_hash(expected) == second.leaf(expected) == bytes.fromhex(case["leaf"])


def test_both_checkers_agree_on_every_path() -> None:
    for case in STORED["inclusion"]:
        leaf, root = hashes(case, "leaf", "root")
        told = (leaf, case["index"], case["size"], steps(case), root)
        assert first.is_included(*told) == case["holds"]
        assert second.includes(told[1], told[2], leaf, told[3], root) == case["holds"]
    for case in STORED["consistency"]:
        old, new = hashes(case, "first_root", "second_root")
        known = (case["first"], old, case["second"], new, steps(case))
        assert first.is_continued(*known) == second.continues(*known) == case["holds"], case


def believed(proof: Any) -> bool:
    try:
        return bool(first.check(proof, first.read_key(KEY)))
    except first.Refused:
        return False


def test_both_checkers_agree_on_every_proof() -> None:
    verdicts = [case["holds"] for case in STORED["proofs"]]
    assert (verdicts.count(True), verdicts.count(False)) == (11, 5)
    for case in STORED["proofs"]:
        assert believed(case["proof"]) == second.holds(case["proof"], KEY) == case["holds"]


def test_both_checkers_agree_on_files_that_can_be_read_in_two_ways() -> None:
    assert [case["holds"] for case in STORED["texts"]] == [True, *[False] * 6]
    for case in STORED["texts"]:
        try:
            proof = first.read_json(case["text"].encode())
        except first.Refused:
            proof = None
        assert believed(proof) == second.holds_as_text(case["text"], KEY) == case["holds"]


@pytest.mark.parametrize("number", range(0, 16, 5))
def test_both_checkers_agree_on_whatever_is_put_into_a_proof(number: int) -> None:
    case = STORED["proofs"][number]
    for at in every_place(case["proof"]):
        for value in NONSENSE:
            other = changed(case["proof"], at, value)
            assert believed(other) == second.holds(other, KEY), (at, value)


SIZES = sorted({0, 1, 2, 3, 5, *(2**k + n for k in range(2, 9) for n in (-1, 0, 1))})
LEAVES = [sha256(bytes([n % 256, n // 256])).digest() for n in range(max(SIZES))]


@pytest.mark.parametrize("size", SIZES)
def test_both_checkers_agree_on_trees_of_every_kind_of_size(size: int) -> None:
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier.add(leaf)
    top = second.root(LEAVES[:size])
    assert frontier.root() == top
    for index in {0, 1, size // 2, size - 2, size - 1} & set(range(size)):
        path = [second.root(LEAVES[s:e]) for s, e in inclusion(index, size)]
        assert second.includes(index, size, LEAVES[index], path, top)
        assert first.is_included(LEAVES[index], index, size, path, top)
    for before in (each for each in SIZES if 0 < each <= size):
        old = second.root(LEAVES[:before])
        path = [second.root(LEAVES[s:e]) for s, e in consistency(before, size)]
        assert second.continues(before, old, size, top, path)
        assert first.is_continued(before, old, size, top, path)


few = st.lists(st.sampled_from(LEAVES[:6]), max_size=5)
numbers = st.integers(-1, 9)


@settings(max_examples=2000, deadline=None)
@given(numbers, numbers, few, st.sampled_from(LEAVES[:6]), st.sampled_from(LEAVES[:6]), st.data())
def test_both_checkers_agree_on_proofs_that_are_made_up(
    one: int, size: int, path: list[bytes], leaf: bytes, other: bytes, data: st.DataObject
) -> None:
    # The root that one of them would get to, so that some of them hold.
    try:
        top = second.root_over(one, size, leaf, path)
    except second.No:
        top = other
    root = data.draw(st.sampled_from([top, other]))
    expected = second.includes(one, size, leaf, path, root)
    assert first.is_included(leaf, one, size, path, root) == expected
    try:
        old, new = second.roots_over(one, size, path, leaf)
    except (second.No, RecursionError):
        old, new = leaf, other
    known = (one, old, size, new, path)
    assert first.is_continued(*known) == second.continues(*known)
