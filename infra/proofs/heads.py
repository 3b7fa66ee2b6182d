"""Signed heads: what the ledger was up to a position, at a moment.

They are kept in the database, where nobody changes one, and outside of it: whoever rewrites the
ledger with everything that is beside it still has to explain the heads that others hold.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from infra.faults import Fault
from infra.files import whole_file
from infra.proofs.check import (
    Refused,
    hash_of,
    head_text,
    moment_of,
    moment_text,
    read_file,
    read_json,
)
from infra.secrets.sealing_key import SealingKey

Connection = psycopg.AsyncConnection[Any]

OUT = "club.seals"
"""The name under which is noted how far they went out over RabbitMQ."""


class NotAHead(Fault):
    """{path} is not a head as the club wrote it."""


class OtherHeadOutside(Fault):
    """{path} is another head than the one that was sealed now: somebody sealed another ledger."""


class Head(NamedTuple):
    """The root over all events up to a position, signed."""

    size: int
    root: bytes
    moment: datetime
    key: str
    signature: bytes

    @property
    def shown(self) -> dict[str, Any]:
        """The head as JSON has it."""
        return {
            **_signed(self.size, self.root, self.moment),
            "key": self.key,
            "signature": base64.b64encode(self.signature).decode(),
        }

    @classmethod
    def of(cls, shown: Any) -> Head:
        """The head in JSON, whoever signed it; raises Refused."""
        try:
            size = shown["size"]
            if type(size) is not int or size < 1 or shown["position"] != size:
                raise TypeError
            return cls(
                size,
                hash_of(shown["root"]),
                moment_of(shown["moment"]),
                str(shown["key"]),
                base64.b64decode(shown["signature"], validate=True),
            )
        except (KeyError, TypeError, ValueError) as wrong:
            raise Refused("The head is not written as a head is.") from wrong


def sign(key: SealingKey, size: int, root: bytes, moment: datetime) -> Head:
    """A head that this key stands for."""
    signature = key.sign(head_text(_signed(size, root, moment)))
    return Head(size, root, moment, key.name, signature)


def _signed(size: int, root: bytes, moment: datetime) -> dict[str, Any]:
    # The last position is the number of events, as positions have no gaps.
    return {"position": size, "size": size, "root": root.hex(), "moment": moment_text(moment)}


# --- in the database ---------------------------------------------------------------------------

_COLUMNS = "size, root, moment, key, signature"
# A moment that nobody here can say was put there by somebody else: no signature fits another one.
_SHOWN = """
size, root, CASE WHEN moment BETWEEN '0001-01-02Z' AND '9999-12-30Z' THEN moment
                 ELSE '2000-01-01Z' END, key, signature
"""
_KEEP = f"""
INSERT INTO ledger_seals (position, {_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s)
"""  # noqa: S608 - made of constants
_LAST = f"SELECT {_SHOWN} FROM ledger_seals ORDER BY position DESC LIMIT 1"  # noqa: S608
# The first head that an event is below.
_COVERING = f"""
SELECT {_SHOWN} FROM ledger_seals WHERE position >= %s ORDER BY position LIMIT 1
"""  # noqa: S608
_AFTER = f"""
SELECT {_SHOWN} FROM ledger_seals WHERE position >= %s ORDER BY position LIMIT %s
"""  # noqa: S608
_MISPLACED = "SELECT size, position FROM ledger_seals WHERE size <> position"


async def keep(connection: Connection, head: Head) -> None:
    """Keep it for good."""
    await connection.execute(_KEEP, [head.size, *head])


async def last(connection: Connection) -> Head | None:
    """The last one."""
    found = await _heads(connection, _LAST)
    return found[0] if found else None


async def covering(connection: Connection, position: int) -> Head | None:
    """The first one that has this position below it."""
    found = await _heads(connection, _COVERING, position)
    return found[0] if found else None


async def after(connection: Connection, position: int, most: int | None = None) -> Sequence[Head]:
    """Those after a position, in order."""
    return await _heads(connection, _AFTER, position + 1, most)


async def everywhere(connection: Connection) -> Sequence[Head]:
    """All of them, also at positions that no event of ours has."""
    return await _heads(connection, _AFTER, -(2**63), None)


async def misplaced(connection: Connection) -> Sequence[tuple[int, int]]:
    """Sizes of heads that are kept under another position, and which one."""
    cursor = await connection.execute(_MISPLACED)
    return await cursor.fetchall()


async def _heads(connection: Connection, sql: str, *params: object) -> list[Head]:
    cursor = await connection.execute(sql.encode(), params or None)
    return [
        Head(size, bytes(root), moment, key, bytes(signature))
        for size, root, moment, key, signature in await cursor.fetchall()
    ]


# --- outside of it -----------------------------------------------------------------------------


class Outside:
    """A folder of heads, one in a file, which this process only adds to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._last: Path | None = None

    def put(self, head: Head) -> None:
        """Keep one more; raises OtherHeadOutside where there is another of its position."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{head.size:020}.json"
        text = _text(head)
        try:
            with whole_file(path, mode=0o644, only_new=True) as file:
                file.write(text)
        except FileExistsError:
            if path.read_bytes() != text:
                raise OtherHeadOutside(path=path) from None
        self._last = path

    def last(self) -> Head | None:
        """That of the last position; raises NotAHead."""
        # A folder of years has a file for each minute: it is not looked through for each seal.
        if self._last is None or not self._last.exists():
            self._last = max(self._paths(), default=None)
        return None if self._last is None else read_head(self._last)

    def all(self) -> Iterator[Head]:
        """All of them, in order; raises NotAHead."""
        return map(read_head, self._paths())

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*.json")) if self.folder.exists() else []


class BesideTheKey:
    """The last head in the club's home, beside the key: who has the database alone has it not."""

    def __init__(self, home: Path) -> None:
        self._path = home / "seals" / "last.json"

    def put(self, head: Head) -> None:
        """Keep it in place of the one before."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with whole_file(self._path) as file:
            file.write(_text(head))

    def last(self) -> Head | None:
        """The one that is kept; raises NotAHead."""
        return read_head(self._path) if self._path.exists() else None


async def last_head(connection: Connection, home: Path) -> Head | None:
    """The last one that is known without the heads outside."""
    return await last(connection) or BesideTheKey(home).last()


def _text(head: Head) -> bytes:
    return json.dumps(head.shown, indent=1).encode() + b"\n"


def read_head(path: Path) -> Head:
    """The head in a file; raises NotAHead, or Refused where it cannot be read."""
    text = read_file(path)
    try:
        return Head.of(read_json(text))
    except Refused as wrong:
        raise NotAHead(path=path) from wrong
