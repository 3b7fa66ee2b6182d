"""The tree and its proofs, against RFC 9162 as it is written there, and against whoever cheats."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.proofs.check import is_continued, is_included, leaf_hash, node_hash
from infra.proofs.merkle import (
    EMPTY,
    HEIGHT,
    TILE_SIZE,
    WIDTH,
    Frontier,
    Node,
    Range,
    complete,
    consistency,
    ends,
    grow,
    in_tile,
    inclusion,
    root_of,
    tile_of,
)

SIZES = sorted({0, 1, 2, 3, 5, *(2**k + n for k in range(2, 9) for n in (-1, 0, 1))})
LEAVES = [leaf_hash(str(n).encode()) for n in range(302)]


def mth(leaves: Sequence[bytes]) -> bytes:
    """Section 2.1.1, word for word."""
    n = len(leaves)
    if n == 0:
        return sha256(b"").digest()
    if n == 1:
        return leaves[0]
    k = 1
    while k * 2 < n:
        k *= 2
    return node_hash(mth(leaves[:k]), mth(leaves[k:]))


@cache
def span(start: int, end: int) -> bytes:
    return mth(LEAVES[start:end])


def roots(ranges: Sequence[Range], leaves: Sequence[bytes] = LEAVES) -> list[bytes]:
    if leaves is LEAVES:
        return [span(*each) for each in ranges]
    return [mth(leaves[start:end]) for start, end in ranges]


def tiles_of(leaves: Sequence[bytes], steps: Sequence[int]) -> dict[tuple[int, int], bytes]:
    """The tiles of a tree that has grown in these steps."""
    tiles: dict[tuple[int, int], bytes] = {}
    size = 0
    for step in steps:
        open_ends = {level: tiles[level, number] for level, number in ends(size)}
        for level, number, hashes in grow(size, leaves[size : size + step], open_ends):
            tiles[level, number] = hashes
        size = min(size + step, len(leaves))
    return tiles


# --- what holds --------------------------------------------------------------------------------


def test_a_tree_without_leaves_has_the_root_that_the_rfc_says() -> None:
    assert Frontier().root() == root_of(Range(0, 0), lambda _: b"") == EMPTY == sha256().digest()


@pytest.mark.parametrize("size", SIZES)
def test_every_leaf_is_included(size: int) -> None:
    root = span(0, size)
    for index in range(size):
        path = roots(inclusion(index, size))
        assert is_included(LEAVES[index], index, size, path, root)
        assert len(path) <= size.bit_length()


@pytest.mark.parametrize("second", SIZES)
def test_every_tree_continues_every_smaller_one(second: int) -> None:
    for first in range(1, second + 1):
        path = roots(consistency(first, second))
        assert is_continued(first, span(0, first), second, span(0, second), path)


@pytest.mark.parametrize("size", SIZES)
def test_a_tree_that_grows_leaf_by_leaf_has_the_same_root(size: int) -> None:
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier.add(leaf)
    assert frontier.root() == span(0, size)


@settings(deadline=None)
@given(st.lists(st.integers(1, 3 * WIDTH), max_size=8))
def test_tiles_are_the_same_in_whatever_steps_they_grow(steps: list[int]) -> None:
    size = sum(steps)
    leaves = [sha256(n.to_bytes(4)).digest() for n in range(size)]
    tiles = tiles_of(leaves, steps)
    assert tiles == tiles_of(leaves, [size])
    assert root_of(Range(0, size), lambda n: in_tile(n, tiles[tile_of(n)])) == mth(leaves)
    for (level, number), hashes in tiles.items():
        whole = number * WIDTH + len(hashes) // 32 == size >> HEIGHT * level
        assert len(hashes) == TILE_SIZE or whole, "only the last of a level is not full"


def test_a_large_tree_has_proofs_of_a_few_tiles() -> None:
    size = 1_000_000
    for index in (0, 1, 524_287, 524_288, 999_998, 999_999):
        ranges = inclusion(index, size)
        tiles = {tile_of(node) for leaves in ranges for node in complete(leaves)}
        assert len(ranges) <= 20
        assert len(tiles) <= 6
    assert {tile_of(node) for node in complete(Range(0, size))} == {(0, 7812), (1, 61), (2, 0)}
    with pytest.raises(KeyError):
        in_tile(Node(0, 5), b"\0" * 32 * 5)


# --- who cheats --------------------------------------------------------------------------------

flips = st.integers(0, 255)
sizes = st.integers(1, 300)


def flipped(value: bytes, bit: int) -> bytes:
    return (int.from_bytes(value) ^ 1 << bit).to_bytes(len(value))


@settings(deadline=None)
@given(st.data(), sizes, flips)
def test_no_bit_of_a_proof_of_inclusion_may_be_another(
    data: st.DataObject, size: int, bit: int
) -> None:
    index = data.draw(st.integers(0, size - 1))
    path = roots(inclusion(index, size))
    root, leaf = span(0, size), LEAVES[index]
    assert not is_included(flipped(leaf, bit), index, size, path, root)
    assert not is_included(leaf, index, size, path, flipped(root, bit))
    for n, step in enumerate(path):
        changed = [*path[:n], flipped(step, bit), *path[n + 1 :]]
        assert not is_included(leaf, index, size, changed, root)
        assert not is_included(leaf, index, size, [*path[:n], *path[n + 1 :]], root)
    assert not is_included(leaf, index, size, [*path, LEAVES[0]], root)


@settings(deadline=None)
@given(st.data(), sizes)
def test_a_proof_is_good_for_one_place_in_one_tree(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    path, root = roots(inclusion(index, size)), span(0, size)
    for other in range(-1, size + 2):
        if other != index:
            assert not is_included(LEAVES[index], other, size, path, root)
    other_size = data.draw(sizes.filter(lambda s: s != size))
    assert not is_included(LEAVES[index], index, size, path, span(0, other_size))
    assert not is_included(LEAVES[index], index, other_size, path, span(0, other_size))
    assert not is_included(LEAVES[index], index, 0, path, root)


@settings(deadline=None)
@given(st.data(), st.integers(2, 300))
def test_a_node_is_not_a_leaf(data: st.DataObject, size: int) -> None:
    # What is hashed for a node, offered as what is hashed for a leaf, in a tree half as deep.
    index = data.draw(st.integers(0, size - 1))
    path = inclusion(index, size)
    below = path[0]
    pair = [mth(LEAVES[index : index + 1]), mth(LEAVES[below.start : below.end])]
    for left, right in (pair, pair[::-1]):
        entry = left + right
        for n, of in ((index // 2, size // 2), (index // 2, (size + 1) // 2), (index, size)):
            for rest in (path[1:], path):
                offered = roots(rest, LEAVES)
                assert not is_included(leaf_hash(entry), n, of, offered, span(0, size))


@settings(deadline=None)
@given(st.data(), st.integers(2, 300), flips)
def test_no_bit_of_a_proof_of_consistency_may_be_another(
    data: st.DataObject, second: int, bit: int
) -> None:
    first = data.draw(st.integers(1, second - 1))
    path = roots(consistency(first, second))
    old, new = span(0, first), span(0, second)
    assert not is_continued(first, flipped(old, bit), second, new, path)
    assert not is_continued(first, old, second, flipped(new, bit), path)
    for n, step in enumerate(path):
        changed = [*path[:n], flipped(step, bit), *path[n + 1 :]]
        assert not is_continued(first, old, second, new, changed)
        assert not is_continued(first, old, second, new, [*path[:n], *path[n + 1 :]])
    assert not is_continued(first, old, second, new, [*path, LEAVES[0]])
    assert not is_continued(first, old, second, new, [])
    assert not is_continued(second, new, first, old, path)
    assert not is_continued(0, EMPTY, second, new, path)
    assert not is_continued(first, old, first, old, path)


@settings(deadline=None)
@given(st.data(), st.integers(2, 300))
def test_a_log_that_was_cut_changed_or_put_in_order_anew_does_not_continue(
    data: st.DataObject, second: int
) -> None:
    first = data.draw(st.integers(2, second))
    here, there = sorted(data.draw(st.sets(st.integers(0, first - 1), min_size=2, max_size=2)))
    old = span(0, first)
    swapped = LEAVES[:second]
    swapped[here], swapped[there] = swapped[there], swapped[here]
    shorter = LEAVES[:here] + LEAVES[here + 1 : second + 1]
    longer = [*LEAVES[:here], leaf_hash(b"new"), *LEAVES[here : second - 1]]
    for log in (swapped, shorter, longer):
        new = mth(log[:second])
        assert not is_continued(first, old, second, new, roots(consistency(first, second), log))
