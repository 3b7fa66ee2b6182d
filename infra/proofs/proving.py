"""Proofs to hand out: that an event is in the ledger, and that a head continues an earlier one."""

from __future__ import annotations

import base64
import re
from hashlib import sha256
from typing import Any

import psycopg

from domain.aggregate import Event
from domain.facts import WITHHELD, declared, facts_of
from infra.faults import Fault
from infra.ledger.mapper import UnreadableEvent, to_event
from infra.proofs import heads, tree
from infra.proofs.check import (
    COLUMNS,
    CONSISTENCY,
    INCLUSION,
    encode,
    is_continued,
    is_included,
    leaf_hash,
    moment_text,
)
from infra.proofs.heads import Head
from infra.proofs.merkle import Range, consistency, inclusion, root_of

Connection = psycopg.AsyncConnection[Any]

_STORED = """
SELECT notification_id, originator_id, originator_version, topic, state, recorded_at,
       actor, command, command_id, correlation_id, causation_id
FROM ledger_events
"""
_AT = f"{_STORED} WHERE notification_id = %s"
_OF = f"{_STORED} WHERE originator_id = %s AND originator_version = %s"


class NoSuchEvent(Fault):
    """There is no event {name}: a position (17) names one, or a version (client-42/3)."""


class NotSealed(Fault):
    """The event at position {position} is not sealed yet: `club audit seal` seals it."""


class NothingSealed(Fault):
    """Nothing is sealed yet: `club audit seal` seals what is there."""


class NotAsSealed(Fault):
    """It cannot be proved: what is in the database is not what was sealed.

    `club audit verify` says what differs.
    """


class LaterHead(Fault):
    """That head is of position {size}, and the last one here is of {last}."""


def shown(row: tuple[Any, ...], *, withheld: bool = False) -> dict[str, Any]:
    """A stored event as JSON has it, in proofs and exports; its state may be withheld."""
    event = dict(zip(COLUMNS, row, strict=True))
    state = bytes(row[4])
    event["state_sha256"] = sha256(state).hexdigest()
    event["recorded_at"] = moment_text(row[5])
    return event if withheld else {**event, "state": state_shown(state)}


def state_shown(state: bytes) -> str | dict[str, str]:
    """The state as text, which all of ours is, or else as base64."""
    try:
        return state.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(state).decode()}


async def prove_event(connection: Connection, name: str, *, withheld: bool) -> dict[str, Any]:
    """That the event is in the ledger, below the first head that was sealed after it.

    The state of an event that holds what no history shows, or what its class does not declare, or
    that cannot be read, is withheld in any case.
    """
    row = await _find(connection, name)
    event = shown(row, withheld=withheld or _is_withheld(row))
    position, leaf = row[0], leaf_hash(encode(event))
    head = await heads.covering(connection, position)
    if head is None:
        raise NotSealed(position=position)
    path = await _hashes(connection, inclusion(position - 1, head.size))
    if not is_included(leaf, position - 1, head.size, path, head.root):
        raise NotAsSealed
    return {
        "format": INCLUSION,
        "event": event,
        "path": [step.hex() for step in path],
        "head": head.shown,
    }


async def prove_continuation(connection: Connection, first: Head) -> dict[str, Any]:
    """That the last head continues an earlier one."""
    last = await heads.last(connection)
    if last is None:
        raise NothingSealed
    if first.size > last.size:
        raise LaterHead(size=first.size, last=last.size)
    path = await _hashes(connection, consistency(first.size, last.size))
    if not is_continued(first.size, first.root, last.size, last.root, path):
        raise NotAsSealed
    return {
        "format": CONSISTENCY,
        "from": first.shown,
        "path": [step.hex() for step in path],
        "head": last.shown,
    }


async def _hashes(connection: Connection, path: list[Range]) -> list[bytes]:
    try:
        nodes = await tree.nodes(connection, path)
        return [root_of(leaves, nodes) for leaves in path]
    except tree.TreeTorn as torn:
        raise NotAsSealed from torn


async def _find(connection: Connection, name: str) -> tuple[Any, ...]:
    position = re.fullmatch(r"[0-9]{1,18}", name)
    of = re.fullmatch(r"(.+)/([0-9]{1,18})", name)
    if position:
        cursor = await connection.execute(_AT.encode(), [int(name)])
    elif of:
        cursor = await connection.execute(_OF.encode(), [of[1], int(of[2])])
    else:
        raise NoSuchEvent(name=name)
    row = await cursor.fetchone()
    if row is None:
        raise NoSuchEvent(name=name)
    return tuple(row)


def _is_withheld(row: tuple[Any, ...]) -> bool:
    try:
        event: Event = to_event(row[1], row[2], row[3], bytes(row[4]))
    except UnreadableEvent:
        return True
    said = declared(type(event))
    return any(fact not in said or said[fact].privacy in WITHHELD for fact in facts_of(event))
