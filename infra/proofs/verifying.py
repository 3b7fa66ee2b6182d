"""Looking at every event, whether it is the one that was sealed.

The leaves of the tree name the events that differ; the signed heads, those that others hold above
all, say whether the tree is the one that was.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from infra.ledger.schema import number_in
from infra.proofs import heads, tree
from infra.proofs.check import HASH_SIZE, Refused, check_head
from infra.proofs.heads import Head
from infra.proofs.merkle import WIDTH, Frontier, Node, Nodes, Range
from infra.proofs.tree import Leaf, TreeTorn, at_position, hash_of_row

CHUNK = 64 * WIDTH
"""Events that are looked at together."""

MOST_MOVED = 500
"""Events that differ among which those are looked for that changed places."""

Connection = psycopg.AsyncConnection[Any]
Keys = Mapping[str, Ed25519PublicKey]
"""Public keys that are believed, by their names."""

_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_AS_LONG_AS_IT_TAKES = "SET LOCAL statement_timeout = 0"

_THERE = f"""
SELECT (SELECT count(*) FROM ledger_events)
     + {WIDTH} * (SELECT count(*) FROM ledger_tree WHERE level = 0)
"""  # noqa: S608 - made of constants
"""More positions than this have neither an event nor a leaf."""

_NONE = bytes(HASH_SIZE)
"""What is read in place of a hash that is missing."""

MISSING = "the event is missing"
ADDED = "an event was added"
CHANGED = "the event was changed"
MOVED = "the event was moved here from position {}"
TORN = "the stored tree is not that of the events"
SHORTER = "sealed, but the ledger ends before"
OTHER = "what was sealed up to here is not what is there"
UNSIGNED = "the head is not signed by a key that is believed"
NOT_KEPT = "the head that is kept outside is not in the database"
MISPLACED = "the head is in the database under the position {}"
NOT_IN_DATABASE = "the head that is kept beside the key is not in the database"


class Finding(NamedTuple):
    """Something that is not as it was sealed, at these positions."""

    first: int
    last: int
    what: str

    @property
    def sentence(self) -> str:
        """The finding, for people."""
        if self.first == self.last:
            return f"position {self.first}: {self.what}"
        return f"positions {self.first} to {self.last}: {self.what}"


@dataclass
class Verified:
    """What was looked at, and found."""

    events: int
    sealed: int
    """Up to where a head stands for them."""
    heads: int
    """In the database."""
    findings: Sequence[Finding] = ()


async def verify(
    connection: Connection,
    keys: Keys,
    outside: Sequence[Head] = (),
    progress: Callable[[int], object] = lambda _: None,
    *,
    beside: Head | None = None,
) -> Verified:
    """Look at everything, as of one moment.

    `outside` are heads that others kept, and `beside` is the one that is beside the key.
    """
    await connection.execute(_SNAPSHOT)
    await connection.execute(_AS_LONG_AS_IT_TAKES)
    try:
        kept = await heads.everywhere(connection)
        misplaced = await heads.misplaced(connection)
        every = sorted({*kept, *outside, *filter(None, [beside])})
        looking = _Looking(await tree.size_of(connection), {head.size for head in every})
        # Whoever may write may have tree and ledger end anywhere: there is no more than there is.
        end = min(looking.size, await number_in(connection, _THERE))
        for start in range(0, end, CHUNK):
            await _look(connection, looking, start, progress)
        behind = min(looking.size, -(-end // CHUNK) * CHUNK)
        await _look(connection, looking, behind, progress, last=True)
    finally:
        await connection.rollback()
    sealed = max((head.size for head in kept), default=0)
    findings = [*looking.findings(sealed), *_of_heads(every, keys, looking)]
    if beside and (beside.size, beside.root) not in {(head.size, head.root) for head in kept}:
        findings.append(Finding(beside.size, beside.size, NOT_IN_DATABASE))
    findings += [Finding(size, size, MISPLACED.format(at)) for size, at in misplaced]
    findings += [Finding(head.size, head.size, NOT_KEPT) for head in {*outside}.difference(kept)]
    return Verified(looking.events, sealed, len(kept), sorted(findings))


async def _look(
    connection: Connection,
    looking: _Looking,
    start: int,
    progress: Callable[[int], object],
    *,
    last: bool = False,
) -> None:
    """Look at the events after `start`: a chunk of those in the tree, or all that come after."""
    end = tree.LAST if last else min(start + CHUNK, looking.size)
    known = b"" if last else await tree.hashes(connection, Range(start, end))
    looking.knows(start, known)
    before = looking.events
    first = tree.FIRST if start == 0 else start + 1
    async for leaf in tree.leaves(connection, first, end=end):
        looking.look_at(leaf)
        if (looking.events - before) % CHUNK == 0:
            progress(CHUNK)
    progress((looking.events - before) % CHUNK)
    looking.ends(min(end, looking.size))
    await looking.compare_inner(connection)


@dataclass
class _Looking:
    """What was seen so far."""

    size: int
    """Events in the tree."""
    wanted: Collection[int]
    """Sizes of which the root is asked for."""
    events: int = 0
    roots: dict[int, bytes] = field(default_factory=dict)
    end: int = 0
    """The last position."""
    _seen: int = 0
    """Up to where it is known what is missing."""
    _start: int = 0
    _known: bytes = b""
    _frontier: Frontier = field(default_factory=Frontier)
    _found: list[Finding] = field(default_factory=list)
    _torn: list[Finding] = field(default_factory=list)
    _differ: dict[int, bytes] = field(default_factory=dict)
    """The rows of events that differ, by position."""
    _lost: dict[int, bytes] = field(default_factory=dict)
    """The leaves that were there, by position."""

    def knows(self, start: int, hashes: bytes) -> None:
        """The leaves after `start`, as they are in the tree."""
        self._start, self._known = start, hashes
        torn = [n for n in range(0, len(hashes), HASH_SIZE) if hashes.startswith(_NONE, n)]
        if torn:
            first, last = (start + 1 + at // HASH_SIZE for at in (torn[0], torn[-1]))
            self._torn.append(Finding(first, last, TORN))

    def look_at(self, leaf: Leaf) -> None:
        """The next event in the table."""
        self.events += 1
        if leaf.position <= self.end:
            self._note(leaf.position, leaf.position, ADDED)
            return
        self.ends(leaf.position - 1)
        known = self._leaf(leaf.position)
        if known not in {leaf.hash, b""}:
            self._note(leaf.position, leaf.position, CHANGED)
            if len(self._differ) < MOST_MOVED:
                self._differ[leaf.position] = leaf.row
                self._lost[leaf.position] = known
        self.end = leaf.position
        self._grow(leaf)

    def ends(self, position: int) -> None:
        """There is nothing more up to here."""
        first = max(self.end, self._seen) + 1
        if position < first:
            return
        self._note(first, position, MISSING)
        for missing in range(first, min(position + 1, first + MOST_MOVED)):
            if len(self._lost) < MOST_MOVED and (known := self._leaf(missing)):
                self._lost[missing] = known
        self._seen = position

    def _leaf(self, position: int) -> bytes:
        """The leaf that the tree has there; empty beyond it."""
        at = (position - 1 - self._start) * HASH_SIZE
        known = self._known[at : at + HASH_SIZE] if at >= 0 else b""
        return b"" if known == _NONE else known

    def _grow(self, leaf: Leaf) -> None:
        if self._frontier.size == leaf.position - 1:  # else something is missing below it
            self._frontier.add(leaf.hash)
            if leaf.position in self.wanted:
                self.roots[leaf.position] = self._frontier.root()

    async def compare_inner(self, connection: Connection) -> None:
        """Whether the hashes above the leaves are theirs, as far as the tree has them."""
        made, self._frontier.whole = self._frontier.whole, []
        made = [(node, value) for node, value in made if node.leaves.end <= self.size]
        if not made or self._found:
            return
        stored = await tree.nodes(connection, [node.leaves for node, _ in made])
        for node, value in made:
            if not _is(value, node, stored):
                self._torn.append(Finding(node.leaves.start + 1, node.leaves.end, TORN))

    def _note(self, first: int, last: int, what: str) -> None:
        before = self._found[-1] if self._found else None
        if before is not None and (before.last + 1, before.what) == (first, what):
            self._found[-1] = Finding(before.first, last, what)
        else:
            self._found.append(Finding(first, last, what))

    def findings(self, sealed: int) -> Iterator[Finding]:
        """What was found; of what is moved, from where."""
        moved = dict(self._moved())
        for found in self._found:
            here = [at for at in moved if found.first <= at <= found.last]
            if found.what != CHANGED or not here:
                yield found
                continue
            for at in range(found.first, found.last + 1):
                yield Finding(at, at, MOVED.format(moved[at]) if at in moved else CHANGED)
        if not self._found:
            yield from self._torn
        if self.size < sealed:
            yield Finding(self.size + 1, sealed, TORN)

    def _moved(self) -> Iterator[tuple[int, int]]:
        for at, row in self._differ.items():
            for before, known in self._lost.items():
                if at != before and hash_of_row(at_position(row, before)) == known:
                    yield at, before


def _is(value: bytes, node: Node, stored: Nodes) -> bool:
    try:
        return stored(node) == value
    except TreeTorn:
        return False


def _of_heads(every: Sequence[Head], keys: Keys, looking: _Looking) -> Iterator[Finding]:
    """What is wrong with heads, or with the ledger according to them."""
    for head in every:
        if not _is_signed(head, keys):
            yield Finding(head.size, head.size, UNSIGNED)
        if looking.end < head.size:
            yield Finding(head.size, head.size, SHORTER)
        elif looking.roots.get(head.size) != head.root:
            yield Finding(head.size, head.size, OTHER)


def _is_signed(head: Head, keys: Keys) -> bool:
    key = keys.get(head.key)
    try:
        return key is not None and check_head(head.shown, key) == (head.size, head.root)
    except Refused:
        return False
