"""The checker of proofs: a file of its own, for whoever does not believe the club.

`python check.py PROOF --key PUBLIC` needs Python, the package `cryptography` and these two files:
no database, no network, nothing of the club. docs/proofs.md says what is checked, to the byte.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

INCLUSION = "club-inclusion-1"
CONSISTENCY = "club-consistency-1"
"""What proofs call themselves."""

ENCODING = b"\x01"
"""The version of the encoding of an event, its first byte."""

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""From when moments are counted in the encoding, as Postgres counts them."""

HASH_SIZE = 32
LARGEST_FILE = 1 << 30
"""Bytes that a file to be read may have."""


class Refused(Exception):
    """It is not proved, or cannot be checked; the message is the sentence that says why."""


# --- the tree: RFC 9162, section 2.1 -----------------------------------------------------------


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an event's encoding."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two hashes below it."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def is_included(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether the path leads from this leaf to the root; section 2.1.3.2."""
    if not 0 <= index < size:
        return False
    at, last, found = index, size - 1, leaf
    for beside in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = node_hash(beside, found)
            at, last = _risen(at, last)
        else:
            found = node_hash(found, beside)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def is_continued(
    first: int, first_root: bytes, second: int, second_root: bytes, path: Sequence[bytes]
) -> bool:
    """Whether the second tree is the first with more behind it; section 2.1.4.2."""
    if not 0 < first < second:
        return 0 < first == second and first_root == second_root and not path
    hashes = list(path)
    if first & (first - 1) == 0:
        hashes.insert(0, first_root)
    if not hashes:
        return False
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    older = newer = hashes[0]
    for beside in hashes[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            older, newer = node_hash(beside, older), node_hash(beside, newer)
            at, last = _risen(at, last)
        else:
            newer = node_hash(newer, beside)
        at, last = at >> 1, last >> 1
    return last == 0 and older == first_root and newer == second_root


def _risen(at: int, last: int) -> tuple[int, int]:
    """To where something is on the left again, or it is the first."""
    while not at & 1 and at:
        at, last = at >> 1, last >> 1
    return at, last


# --- an event, to the byte ---------------------------------------------------------------------


def _of_text(value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value.encode()


def _of_number(value: Any) -> bytes:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("not a whole number")
    return struct.pack(">q", value)


def _of_moment(value: Any) -> bytes:
    since = moment_of(value) - EPOCH
    return struct.pack(">q", since // timedelta(microseconds=1))


def _of_digest(value: Any) -> bytes:
    return hash_of(value)


COLUMNS: Mapping[str, Callable[[Any], bytes]] = {
    "position": _of_number,
    "originator_id": _of_text,
    "originator_version": _of_number,
    "topic": _of_text,
    "state_sha256": _of_digest,
    "recorded_at": _of_moment,
    "actor": _of_text,
    "command": _of_text,
    "command_id": _of_text,
    "correlation_id": _of_text,
    "causation_id": _of_text,
}
"""What is stored of an event, in the order in which it is hashed."""


def encode(event: Mapping[str, Any]) -> bytes:
    """The bytes that stand for an event in the tree; raises Refused."""
    parts = [ENCODING, struct.pack(">h", len(COLUMNS))]
    for name, encoded in COLUMNS.items():
        try:
            value = event[name]
            field = None if value is None else encoded(value)
        except (KeyError, TypeError, ValueError, OverflowError, struct.error) as wrong:
            raise Refused(f"The event's {name} is missing, or not as it should be.") from wrong
        parts += (
            (struct.pack(">i", -1),) if field is None else (struct.pack(">i", len(field)), field)
        )
    return b"".join(parts)


def state_of(event: Mapping[str, Any]) -> bytes | None:
    """The state in an event, where it is not withheld; raises Refused if it is another one."""
    if event.get("state") is None:
        return None
    state = event["state"]
    try:
        if isinstance(state, Mapping):
            found = base64.b64decode(state["base64"], validate=True)
        else:
            found = _of_text(state)
    except (KeyError, TypeError, ValueError) as wrong:
        raise Refused("The event's state is not as it should be.") from wrong
    if hashlib.sha256(found).hexdigest() != event.get("state_sha256"):
        raise Refused("The event's state is not the one that was recorded.")
    return found


def moment_of(text: Any) -> datetime:
    """A moment as it is written here, and in no other way: 2026-11-27T01:02:03.000004Z."""
    if not isinstance(text, str):
        raise TypeError("not a moment")
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    if moment_text(moment) != text:
        raise ValueError("not a moment")
    return moment


def moment_text(moment: datetime) -> str:
    """The moment in UTC, with microseconds."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def hash_of(text: Any) -> bytes:
    """A hash as it is written here: 64 digits, in small letters."""
    if not isinstance(text, str):
        raise TypeError("not a hash")
    found = bytes.fromhex(text)
    if len(found) != HASH_SIZE or found.hex() != text:
        raise ValueError("not a hash")
    return found


# --- a signed head -----------------------------------------------------------------------------


def head_text(head: Mapping[str, Any]) -> bytes:
    """What is signed of a head."""
    return (
        f"club ledger head 1\nposition {head['position']}\nsize {head['size']}\n"
        f"root {head['root']}\nmoment {head['moment']}\n"
    ).encode()


def key_name(key: Ed25519PublicKey) -> str:
    """What a key is called: the first 16 digits of the SHA-256 of its 32 bytes."""
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def check_head(head: Any, key: Ed25519PublicKey) -> tuple[int, bytes]:
    """Size and root of a head that this key signed; raises Refused."""
    try:
        size, root = head["size"], hash_of(head["root"])
        moment_of(head["moment"])
        _of_number(size)
        signature = base64.b64decode(head["signature"], validate=True)
        signed = head_text(head)
    except (KeyError, TypeError, ValueError, struct.error) as wrong:
        raise Refused("The head is not written as a head is.") from wrong
    if size != head["position"] or size < 1:
        raise Refused("The head is not written as a head is.")
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        other = "" if head.get("key") == key_name(key) else " It names another key."
        raise Refused(
            f"The head of position {size} is not signed by the key {key_name(key)}.{other}"
        ) from None
    return size, root


def read_key(text: bytes) -> Ed25519PublicKey:
    """The public key in a PEM file; raises Refused."""
    try:
        key = load_pem_public_key(text)
    except (ValueError, TypeError, UnsupportedAlgorithm) as wrong:
        raise Refused(
            "The key is not a public key in PEM, as `club audit key` prints it."
        ) from wrong
    if not isinstance(key, Ed25519PublicKey):
        raise Refused("The key is not an Ed25519 key, as `club audit key` prints it.")
    return key


# --- a proof -----------------------------------------------------------------------------------


def check(proof: Any, key: Ed25519PublicKey) -> str:
    """What a proof proves, in a sentence; raises Refused."""
    kind = proof.get("format") if isinstance(proof, Mapping) else None
    if kind == INCLUSION:
        return _check_inclusion(proof, key)
    if kind == CONSISTENCY:
        return _check_consistency(proof, key)
    raise Refused("This is not a proof: neither of inclusion nor of consistency.")


def _check_inclusion(proof: Mapping[str, Any], key: Ed25519PublicKey) -> str:
    head, event = proof.get("head"), proof.get("event")
    size, root = check_head(head, key)
    if not isinstance(event, Mapping):
        raise Refused("There is no event in the proof.")
    entry = encode(event)
    state = state_of(event)
    position = event["position"] or 0
    if not is_included(leaf_hash(entry), position - 1, size, _path(proof), root):
        raise Refused(f"The event is not at position {position} of what was sealed.")
    withheld = "" if state is not None else " Its state is withheld."
    return (
        f"The event {event['topic']} of {event['originator_id']}, recorded at "
        f"{event['recorded_at']}, is at position {position} of the ledger, as sealed at "
        f"{proof['head']['moment']} up to position {size}.{withheld}"
    )


def _check_consistency(proof: Mapping[str, Any], key: Ed25519PublicKey) -> str:
    first, first_root = check_head(proof.get("from"), key)
    second, second_root = check_head(proof.get("head"), key)
    if not is_continued(first, first_root, second, second_root, _path(proof)):
        raise Refused(f"What was sealed up to {second} does not begin with what was up to {first}.")
    return (
        f"The ledger up to position {second} begins with what was sealed up to {first}, "
        f"unchanged: nothing was taken away, changed or put in between."
    )


def _path(proof: Mapping[str, Any]) -> list[bytes]:
    path = proof.get("path")
    if not isinstance(path, list):
        raise Refused("There is no path in the proof.")
    try:
        return [hash_of(step) for step in path]
    except (TypeError, ValueError) as wrong:
        raise Refused("The path in the proof is not made of hashes.") from wrong


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The members of an object; what one reader takes of a name twice, another does not."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members


def _no_number(name: str) -> None:
    raise ValueError(name)


def read_json(text: bytes) -> Any:
    """The JSON in a file; raises Refused."""
    try:
        return json.loads(text, object_pairs_hook=_members, parse_constant=_no_number)
    except (ValueError, RecursionError) as wrong:
        raise Refused("The file is not JSON, or a member is in it twice.") from wrong


def read_file(path: Path) -> bytes:
    """What is in a file; raises Refused."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise Refused(f"{path} is too large.")
        return path.read_bytes()
    except OSError as unusable:
        raise Refused(f"{path}: {unusable.strerror}.") from unusable


def check_files(proof: Path, key: Path) -> str:
    """What the proof in a file proves, by the public key in another; raises Refused."""
    return check(read_json(read_file(proof)), read_key(read_file(key)))


def main() -> int:
    """Check one proof; 0 where it holds."""
    parser = argparse.ArgumentParser(description="Check a proof of the club's ledger.")
    parser.add_argument("proof", type=Path, help="the file that `club audit prove` wrote")
    parser.add_argument("--key", type=Path, required=True, help="what `club audit key` printed")
    asked = parser.parse_args()
    try:
        print(check_files(asked.proof, asked.key))
    except Refused as why:
        print(why, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
