"""A second checker, written from docs/proofs.md alone: it knows nothing of the first."""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

TEXT, NUMBER, HASH, MOMENT = range(4)
COLUMNS = [
    ("position", NUMBER),
    ("originator_id", TEXT),
    ("originator_version", NUMBER),
    ("topic", TEXT),
    ("state_sha256", HASH),
    ("recorded_at", MOMENT),
    ("actor", TEXT),
    ("command", TEXT),
    ("command_id", TEXT),
    ("correlation_id", TEXT),
    ("causation_id", TEXT),
]


class No(Exception):
    """It is not proved."""


def sure(holds: object) -> None:
    if not holds:
        raise No


def hexadecimal(text: Any) -> bytes:
    sure(isinstance(text, str) and re.fullmatch("[0-9a-f]{64}", text))
    return bytes.fromhex(text)


def whole_number(value: Any) -> int:
    sure(type(value) is int and -(2**63) <= value < 2**63)
    return int(value)


def moment(text: Any) -> int:
    form = r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6})Z"
    sure(isinstance(text, str) and re.fullmatch(form, text, re.ASCII))
    try:
        since = datetime.fromisoformat(text[:-1]) - datetime.fromisoformat("2000-01-01")
    except ValueError:
        raise No from None
    return since // timedelta(microseconds=1)


def column(kind: int, value: Any) -> bytes:
    if value is None:
        return b"\xff\xff\xff\xff"
    if kind == TEXT:
        sure(isinstance(value, str))
        try:
            field: bytes = value.encode("utf-8")
        except UnicodeEncodeError:
            raise No from None
    elif kind == HASH:
        field = hexadecimal(value)
    else:
        number = whole_number(value) if kind == NUMBER else moment(value)
        field = number.to_bytes(8, "big", signed=True)
    return len(field).to_bytes(4, "big") + field


def encoding(event: Any) -> bytes:
    sure(isinstance(event, dict))
    sure(all(name in event for name, _ in COLUMNS))
    return b"\x01\x00\x0b" + b"".join(column(kind, event[name]) for name, kind in COLUMNS)


def leaf(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def half(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def root(leaves: list[bytes]) -> bytes:
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = half(len(leaves))
    return node(root(leaves[:k]), root(leaves[k:]))


def root_over(i: int, n: int, leaf_: bytes, path: list[bytes]) -> bytes:
    sure(0 <= i < n)
    if n == 1:
        sure(not path)
        return leaf_
    sure(path)
    k = half(n)
    if i < k:
        return node(root_over(i, k, leaf_, path[:-1]), path[-1])
    return node(path[-1], root_over(i - k, n - k, leaf_, path[:-1]))


def roots_over(
    m: int, n: int, path: list[bytes], earlier: bytes, whole: bool = True
) -> tuple[bytes, bytes]:
    if m == n:
        sure(len(path) == (0 if whole else 1))
        return (earlier, earlier) if whole else (path[0], path[0])
    sure(path)
    k = half(n)
    if m <= k:
        old, new = roots_over(m, k, path[:-1], earlier, whole)
        return old, node(new, path[-1])
    old, new = roots_over(m - k, n - k, path[:-1], earlier, False)
    return node(path[-1], old), node(path[-1], new)


def includes(i: int, n: int, leaf_: bytes, path: list[bytes], expected: bytes) -> bool:
    try:
        return root_over(i, n, leaf_, path) == expected
    except No:
        return False


def continues(m: int, first: bytes, n: int, second: bytes, path: list[bytes]) -> bool:
    try:
        sure(0 < m <= n)
        return roots_over(m, n, path, first) == (first, second)
    except No:
        return False


def head(found: Any, key: bytes) -> tuple[int, bytes]:
    sure(isinstance(found, dict))
    size, top = whole_number(found.get("size")), hexadecimal(found.get("root"))
    sure(size >= 1)
    sure(type(found.get("position")) is int and found["position"] == size)
    moment(found.get("moment"))
    lines = ["club ledger head 1", f"position {size}", f"size {size}"]
    lines += [f"root {found['root']}", f"moment {found['moment']}"]
    sure(isinstance(found.get("signature"), str))
    try:
        signature = base64.b64decode(found["signature"], validate=True)
        public: Any = load_pem_public_key(key)
        public.verify(signature, "".join(f"{line}\n" for line in lines).encode("ascii"))
    except (ValueError, InvalidSignature):
        raise No from None
    return size, top


def steps(path: Any) -> list[bytes]:
    sure(isinstance(path, list))
    return [hexadecimal(step) for step in path]


def state_fits(event: Any) -> bool:
    state = event.get("state")
    if state is None:
        return True
    if isinstance(state, dict):
        stored = base64.b64decode(state["base64"], validate=True)
    else:
        sure(isinstance(state, str))
        stored = state.encode()
    return bool(sha256(stored).hexdigest() == event["state_sha256"])


def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    sure(len({name for name, _ in pairs}) == len(pairs))
    return dict(pairs)


def no_number(_: str) -> None:
    raise No


def holds_as_text(text: str, key: bytes) -> bool:
    """Whether there is a proof in the text of a file, which proves what it says."""
    try:
        return holds(json.loads(text, object_pairs_hook=members, parse_constant=no_number), key)
    except (No, ValueError):
        return False


def holds(proof: Any, key: bytes) -> bool:
    """Whether the proof proves what it says."""
    try:
        sure(isinstance(proof, dict))
        size, top = head(proof.get("head"), key)
        path = steps(proof.get("path"))
        if proof.get("format") == "club-inclusion-1":
            entry = encoding(proof.get("event"))
            sure(state_fits(proof["event"]))
            index = whole_number(proof["event"]["position"]) - 1
            return includes(index, size, leaf(entry), path, top)
        sure(proof.get("format") == "club-consistency-1")
        first, before = head(proof.get("from"), key)
        return continues(first, before, size, top, path)
    except (No, KeyError, TypeError, ValueError):
        return False
