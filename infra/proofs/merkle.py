"""The tree over the events of the ledger: a Merkle tree as in RFC 9162, section 2.1.

Leaf 0 is the event at position 1. A proof is a list of ranges of leaves, each of which one hash
stands for. Every range is made of complete subtrees, and those never change once they are there:
they are kept in tiles, 128 hashes of one height together, so that a proof reads a few tiles
however long the ledger is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from infra.proofs.check import HASH_SIZE, node_hash

EMPTY = hashlib.sha256().digest()
"""The root of a tree without leaves."""

HEIGHT = 7
WIDTH = 1 << HEIGHT
"""Hashes in a tile; those of a full one are below one hash of the tile above."""

TILE_SIZE = WIDTH * HASH_SIZE


class Range(NamedTuple):
    """Leaves from `start` on, up to but without `end`."""

    start: int
    end: int


class Node(NamedTuple):
    """A complete subtree: of those with 2^level leaves, the one with this number."""

    level: int
    number: int

    @property
    def leaves(self) -> Range:
        """What is below it."""
        return Range(self.number << self.level, self.number + 1 << self.level)


class Tile(NamedTuple):
    """Hashes of one height that are kept together, and which those are."""

    level: int
    number: int
    hashes: bytes


Nodes = Callable[[Node], bytes]
"""The hash of a complete subtree."""


# --- which hashes make up what -----------------------------------------------------------------


def inclusion(index: int, size: int) -> list[Range]:
    """What the path from a leaf to the root is made of; section 2.1.3.1."""
    path, start, end = [], 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(Range(middle, end))
            end = middle
        else:
            path.append(Range(start, middle))
            start = middle
    return path[::-1]


def consistency(first: int, second: int) -> list[Range]:
    """What proves that the second tree begins with the first; section 2.1.4.1."""
    path, start, end, whole = [], 0, second, True
    while end != first:
        middle = start + _split(end - start)
        if first <= middle:
            path.append(Range(middle, end))
            end = middle
        else:
            path.append(Range(start, middle))
            start, whole = middle, False
    return ([] if whole else [Range(start, end)]) + path[::-1]


def complete(leaves: Range) -> Iterator[Node]:
    """The largest complete subtrees of a range that begins where one of its size may."""
    start, end = leaves
    while start < end:
        level = (end - start).bit_length() - 1
        yield Node(level, start >> level)
        start += 1 << level


def root_of(leaves: Range, nodes: Nodes) -> bytes:
    """The hash that stands for a range."""
    return _joined([nodes(node) for node in complete(leaves)])


def _split(size: int) -> int:
    """The largest power of two that is smaller."""
    return 1 << (size - 1).bit_length() - 1


def _joined(subtrees: Sequence[bytes]) -> bytes:
    """Complete subtrees, from the largest on, under one hash."""
    if not subtrees:
        return EMPTY
    *larger, found = subtrees
    for subtree in reversed(larger):
        found = node_hash(subtree, found)
    return found


# --- growing -----------------------------------------------------------------------------------


class Frontier:
    """A tree that grows leaf by leaf, of which only what a root needs is kept."""

    def __init__(self) -> None:
        self.size = 0
        self.whole: list[tuple[Node, bytes]] = []
        """The hashes of full tiles, as they are made; for whoever looks at them."""
        self._subtrees: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        """One leaf more."""
        size, level = self.size, 0
        while size & 1:
            leaf = node_hash(self._subtrees.pop(), leaf)
            size, level = size >> 1, level + 1
            if level % HEIGHT == 0:
                self.whole.append((Node(level, size), leaf))
        self._subtrees.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """The hash of all leaves so far."""
        return _joined(self._subtrees)


def grow(size: int, leaves: Iterable[bytes], ends: Mapping[int, bytes]) -> Iterator[Tile]:
    """The tiles that change when leaves are added to a tree of this size.

    `ends` are the hashes in the last tile of each level, where that is not full.
    """
    level, added = 0, list(leaves)
    while added:
        number = (size >> HEIGHT * level) // WIDTH
        hashes = ends.get(level, b"") + b"".join(added)
        added = []
        for start in range(0, len(hashes), TILE_SIZE):
            tile = Tile(level, number, hashes[start : start + TILE_SIZE])
            yield tile
            number += 1
            if len(tile.hashes) == TILE_SIZE:
                added.append(_within(tile.hashes))
        level += 1


def ends(size: int) -> Iterator[tuple[int, int]]:
    """Level and number of the tiles that are not full in a tree of this size."""
    level = 0
    while size:
        if size % WIDTH:
            yield level, size // WIDTH
        level, size = level + 1, size // WIDTH


def tile_of(node: Node) -> tuple[int, int]:
    """Level and number of the tile in which the hash of a subtree is found."""
    level, height = divmod(node.level, HEIGHT)
    return level, (node.number << height) // WIDTH


def in_tile(node: Node, hashes: bytes) -> bytes:
    """The hash of a subtree, from the hashes of its tile; raises KeyError if they do not reach."""
    height = node.level % HEIGHT
    start = (node.number << height) % WIDTH * HASH_SIZE
    end = start + (HASH_SIZE << height)
    if end > len(hashes):
        raise KeyError(node)
    return _within(hashes[start:end])


def _within(hashes: bytes) -> bytes:
    """The hash over a power of two of hashes."""
    row = [hashes[at : at + HASH_SIZE] for at in range(0, len(hashes), HASH_SIZE)]
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]
