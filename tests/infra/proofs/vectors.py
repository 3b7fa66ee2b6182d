"""The test vectors of docs/proofs.md: `python -m tests.infra.proofs.vectors` writes them anew."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from infra.proofs import heads
from infra.proofs.check import CONSISTENCY, INCLUSION, encode, leaf_hash
from infra.proofs.merkle import Frontier, consistency, inclusion
from infra.secrets.sealing_key import SealingKey

DOCS = Path(__file__).parents[3] / "docs"
PAGE, FILE = DOCS / "proofs.md", DOCS / "proofs.json"

SIZES = (0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17)
LEAVES = [leaf_hash(bytes([n])) for n in range(max(SIZES))]
KEY = SealingKey(Ed25519PrivateKey.from_private_bytes(sha256(b"a key for tests").digest()))
MOMENT = datetime(2026, 11, 27, 1, 2, 3, 4, UTC)


def event(position: int, state: str | None = None, **more: Any) -> dict[str, Any]:
    said = f'{{"n":{position}}}' if state is None else state
    return {
        "position": position,
        "originator_id": f"client-{position}",
        "originator_version": 1,
        "topic": "client.registered",
        "state_sha256": sha256(said.encode()).hexdigest(),
        "recorded_at": "2026-11-27T01:02:03.000004Z",
        "actor": "user-1",
        "command": "register-client",
        "command_id": "c1",
        "correlation_id": "r1",
        "causation_id": "c1",
        "state": said,
        **more,
    }


EVENTS = [
    event(1),
    event(2, "", originator_id="", actor=None, recorded_at="1999-12-31T23:59:59.999999Z"),
    event(3, state="für alle 🏋", topic="e\u0301 is not é", originator_version=2**63 - 1),
    event(4),
    event(5),
]


def root(leaves: list[bytes]) -> bytes:
    frontier = Frontier()
    for leaf in leaves:
        frontier.add(leaf)
    return frontier.root()


def path(ranges: list[Any], leaves: list[bytes]) -> list[str]:
    return [root(leaves[start:end]).hex() for start, end in ranges]


def head(size: int) -> dict[str, Any]:
    leaves = [leaf_hash(encode(each)) for each in EVENTS[:size]]
    return heads.sign(KEY, size, root(leaves), MOMENT).shown


def inclusions() -> Iterator[dict[str, Any]]:
    for size in SIZES[1:]:
        for index in sorted({0, size // 2, size - 1}):
            case: dict[str, Any] = {
                "index": index,
                "size": size,
                "leaf": LEAVES[index].hex(),
                "path": path(inclusion(index, size), LEAVES),
                "root": root(LEAVES[:size]).hex(),
            }
            yield {**case, "holds": True}
            yield {**case, "index": index + 1, "holds": False}
            yield {**case, "path": [*case["path"], LEAVES[0].hex()], "holds": False}
            if case["path"]:
                yield {**case, "path": case["path"][1:], "holds": False}


def consistencies() -> Iterator[dict[str, Any]]:
    for second in SIZES[1:]:
        for first in (size for size in SIZES[1:] if size <= second):
            case: dict[str, Any] = {
                "first": first,
                "first_root": root(LEAVES[:first]).hex(),
                "second": second,
                "second_root": root(LEAVES[:second]).hex(),
                "path": path(consistency(first, second), LEAVES),
            }
            yield {**case, "holds": True}
            if second not in {5, 16}:
                continue
            yield {**case, "first_root": LEAVES[-1].hex(), "holds": False}
            yield {**case, "path": [*case["path"], LEAVES[0].hex()], "holds": False}
            if case["path"]:
                yield {**case, "path": case["path"][:-1], "holds": False}


def proofs() -> Iterator[dict[str, Any]]:
    leaves = [leaf_hash(encode(each)) for each in EVENTS]
    for each in EVENTS:
        steps = path(inclusion(each["position"] - 1, 5), leaves)
        yield {"format": INCLUSION, "event": each, "path": steps, "head": head(5)}
    for first in range(1, 6):
        steps = path(consistency(first, 5), leaves)
        yield {"format": CONSISTENCY, "from": head(first), "path": steps, "head": head(5)}


def changed(proof: dict[str, Any], change: str) -> dict[str, Any]:
    """The proof with something in it that must not be believed."""
    other = copy.deepcopy(proof)
    match change:
        case "another event":
            other["event"]["actor"] = "user-2"
        case "another state":
            other["event"]["state"] += " "
        case "another signature":
            other["head"]["signature"] = other["head"]["signature"][::-1]
        case "another moment":
            other["head"]["moment"] = "2026-11-27T01:02:03.000005Z"
        case "another size":
            other["head"]["size"] = other["head"]["position"] = 4
    return other


def texts() -> Iterator[dict[str, Any]]:
    """A proof as the bytes of a file; what readers of JSON take in more than one way is none."""
    text = json.dumps(next(proofs()))
    yield {"text": text, "holds": True}
    for name in ("format", "actor", "size"):
        at = text.index(f'"{name}"')
        yield {"text": f'{text[:at]}"{name}": "x", {text[at:]}', "holds": False}
    for number in ("NaN", "Infinity", "-Infinity"):
        yield {"text": f'{{"more": {number}, {text[1:]}', "holds": False}


def vectors() -> dict[str, Any]:
    whole = list(proofs())
    withheld = copy.deepcopy(whole[0])
    del withheld["event"]["state"]
    changes = ("event", "state", "signature", "moment", "size")
    return {
        "leaves": [leaf.hex() for leaf in LEAVES],
        "roots": {str(size): root(LEAVES[:size]).hex() for size in SIZES},
        "events": [
            {"event": e, "encoding": encode(e).hex(), "leaf": leaf_hash(encode(e)).hex()}
            for e in EVENTS
        ],
        "inclusion": list(inclusions()),
        "consistency": list(consistencies()),
        "key": KEY.public_pem,
        "proofs": [
            *({"proof": proof, "holds": True} for proof in (*whole, withheld)),
            *({"proof": changed(whole[0], f"another {what}"), "holds": False} for what in changes),
        ],
        "texts": list(texts()),
    }


def in_the_page() -> str:
    """The first of the vectors, as the page shows them."""
    encoding = encode(EVENTS[0]).hex()
    return (
        f"root of no leaves        {root([]).hex()}\n"
        f"leaf of the byte 00      {LEAVES[0].hex()}\n"
        f"root of 00, 01, 02       {root(LEAVES[:3]).hex()}\n"
        f"the first event          {encoding[:64]}\n"
        + "".join(f"{'':25}{encoding[at : at + 64]}\n" for at in range(64, len(encoding), 64))
        + f"its leaf                 {leaf_hash(encode(EVENTS[0])).hex()}\n"
        f"the key's name           {KEY.name}\n"
        f"root of the five events  {head(5)['root']}\n"
    )


def as_text() -> str:
    """A case a line."""
    found = [f"{json.dumps(name)}: {lines(value)}" for name, value in vectors().items()]
    return "{\n" + ",\n".join(found) + "\n}\n"


def lines(value: Any) -> str:
    if not isinstance(value, list):
        return json.dumps(value)
    return "[\n" + ",\n".join(json.dumps(each, ensure_ascii=False) for each in value) + "\n]"


if __name__ == "__main__":
    FILE.write_text(as_text())
    page = PAGE.read_text()
    before, _, _ = page.rpartition("```text\n")
    PAGE.write_text(f"{before}```text\n{in_the_page()}```\n")
