"""The ports in memory, for fast tests; `test_contracts.py` holds them to what the real ones do."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import orjson

from application.ports.ledger import (
    AlreadyDone,
    Append,
    NothingSince,
    Receipt,
    ReceiptKey,
    Recording,
    StaleDecision,
    Submission,
)
from application.ports.read_side import Seen
from application.ports.services import Rules, Services
from application.ports.signing_in import (
    ChannelUnavailable,
    Count,
    PageClaims,
    ShortLivedStore,
    StoreUnavailable,
)
from domain.aggregate import Event, time_text
from domain.recorded import Recorded
from projections.catalogue import DOCUMENTED
from projections.engine.table import Gather, Operation, Patch, Put, Remove, Switch
from projections.references import HOLDING, REFERENCES

A_MORNING = datetime(2026, 3, 2, 9, tzinfo=UTC)
"""The time of tests that do not care for it."""

Rows = dict[tuple[Any, ...], dict[str, Any]]
_REFERENCE = re.compile(
    r"SELECT \w+ AS number, (\w+)(?: AS id)? FROM (\w+) WHERE (\w+) = ANY\(%s\)"
    r"(?: AND (\w+) IS NULL AND \w+ > %s)?"
)


class FakeLedger:
    """A log that forgets everything at the end of the test."""

    def __init__(self) -> None:
        self.era = 0
        self.log: list[tuple[Recording, Submission]] = []
        """What was recorded, in order; the position is the index plus one."""
        self._streams: defaultdict[str, list[Event]] = defaultdict(list)
        self._receipts: dict[ReceiptKey, Receipt] = {}
        self._numbers: Counter[str] = Counter()

    @property
    def events(self) -> list[Event]:
        """Every event, in order."""
        return [recording.event for recording, _ in self.log]

    def given(self, *events: Event) -> None:
        """Let these have happened before the test; ids from `next_id` come after theirs."""
        recordings = [Recording(event, "given", "given") for event in events]
        self._record(Submission("given", "given", "given", recordings, {}))
        for event in events:
            kind, _, number = event.originator_id.rpartition("-")
            if number.isdecimal():
                self._numbers[kind] = max(self._numbers[kind], int(number))

    async def append(self, submission: Submission) -> int:
        """Record all of it or nothing; see the port."""
        receipt = submission.receipt
        if submission.era != self.era:
            raise StaleDecision
        if receipt is not None and receipt.key in self._receipts:
            raise AlreadyDone
        if any(len(self._streams[s]) != v for s, v in submission.expected.items()):
            raise StaleDecision
        if not all(self._holds(condition) for condition in submission.conditions):
            raise StaleDecision
        self._record(submission)
        return len(self.log)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[Append]:
        """Nobody else is at it in between, as long as nobody waits."""
        yield self.append

    async def streams(self, ids: Sequence[str]) -> Mapping[str, Sequence[Event]]:
        """The events of each of these aggregates."""
        return {stream: list(self._streams[stream]) for stream in ids}

    async def ids(self, kind: str) -> Sequence[str]:
        """The ids of all aggregates of a kind."""
        return sorted(stream for stream in self._streams if stream.startswith(f"{kind}-"))

    async def receipt(self, key: ReceiptKey) -> Receipt | None:
        """What became of the command of this key."""
        return self._receipts.get(key)

    async def next_id(self, kind: str) -> int:
        """1, 2, 3 and so on, for each kind."""
        self._numbers[kind] += 1
        return self._numbers[kind]

    def _holds(self, condition: NothingSince) -> bool:
        return not any(
            event.TOPIC in condition.topics
            and (condition.field is None or getattr(event, condition.field) == condition.value)
            for event in self.events[condition.position :]
        )

    def _record(self, submission: Submission) -> None:
        for recording in submission.recordings:
            self.log.append((recording, submission))
            self._streams[recording.event.originator_id].append(recording.event)
        receipt = submission.receipt
        if receipt is not None:
            outcome = orjson.loads(orjson.dumps(receipt.outcome))
            self._receipts[receipt.key] = Receipt(receipt.key, receipt.fingerprint, outcome)


class FakeReadSide:
    """Read tables that are always current, folded from the log with the projectors' own words."""

    def __init__(self, ledger: FakeLedger) -> None:
        self._ledger = ledger

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of a read table, without columns that only the database fills in."""
        return list(_folded(self._ledger.events)[table].values())

    async def reached(self, position: int) -> bool:
        """Whatever is recorded is shown."""
        return position <= len(self._ledger.log)

    async def referring(self, reference: str, numbers: Sequence[int]) -> Mapping[int, Seen]:
        """Who refers to each of these."""
        return {number: self._referring(reference, number) for number in numbers}

    def _referring(self, reference: str, number: int) -> Seen:
        found = REFERENCES[reference]
        parts = _REFERENCE.fullmatch(found.sql)
        assert parts, found.sql
        column, table, where, null = parts.groups()
        numbers = sorted(
            row[column]
            for row in self.rows(table)
            if row[where] == number and row.get(null) is None
        )
        condition = NothingSince(len(self._ledger.log), found.topics, found.field, number)
        return Seen(tuple(numbers), condition)

    async def shared_memberships(self) -> Seen:
        """The memberships that several clients hold."""
        held = Counter(row["membership_id"] for row in self.rows("clients"))
        numbers = sorted(number for number, holders in held.items() if holders > 1)
        return Seen(tuple(numbers), NothingSince(len(self._ledger.log), HOLDING))

    async def admins(self) -> Sequence[int]:
        """The users who are ADMIN."""
        users = self.rows("users")
        return [u["id"] for u in users if u["role"] == "ADMIN" and u.get("deleted_at") is None]

    async def overdue_payments(self, before: datetime, limit: int) -> Sequence[int]:
        """PENDING payments whose status is from before that moment, oldest first."""
        overdue = sorted(
            (row["timestamp"], row["id"])
            for row in self.rows("payments")
            if row["payment_status"] == "PENDING" and row["timestamp"] < time_text(before)
        )
        return [number for _, number in overdue[:limit]]

    async def lapsed_clients(self, at: datetime, limit: int) -> Sequence[int]:
        """ACTIVE clients whose time had ended by that moment."""
        active = {row["id"] for row in self.rows("clients") if row["status"] == "ACTIVE"}
        lapsed = sorted(
            (row["until"], row["client_id"])
            for row in self.rows("client_admissions")
            if row["until"] and row["until"] <= time_text(at) and row["client_id"] in active
        )
        return [number for _, number in lapsed[:limit]]


def operations_of(recorded: Recorded) -> list[Operation]:
    """What an event means for the documented tables."""
    projects = DOCUMENTED.projects.get(recorded.event.kind, ())
    return [operation for project in projects for operation in project(recorded)]


def _recorded(event: Event) -> Recorded:
    return Recorded(0, event, event.timestamp, *["fake"] * 5)


def _folded(events: Iterable[Event]) -> defaultdict[str, Rows]:
    tables: defaultdict[str, Rows] = defaultdict(dict)
    for event in events:
        for operation in operations_of(_recorded(event)):
            match operation:
                case Put(table, row):
                    tables[table.name][tuple(row[c] for c in table.key)] = dict(row)
                case Patch(table, key, changes):
                    tables[table.name][key].update(changes)
                case Remove(table, key):
                    tables[table.name].pop(key, None)
                case Gather() | Switch():
                    pass  # reports and constraints of real tables: no decision rests on them
    return tables


class FakeHasher:
    """Salted, and of the form of the real one, but fast."""

    def __init__(self) -> None:
        self._salts = count(1)

    async def hash(self, password: str, *, at_the_door: bool = False) -> str:
        """A digest; not for keeping."""
        salt = next(self._salts)
        return self._hashed(str(salt), password)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether it is the password of this hash."""
        if password_hash is None:
            return False
        return self._hashed(password_hash.split("$")[3], password) == password_hash

    @staticmethod
    def _hashed(salt: str, password: str) -> str:
        return f"$argon2id$fake${salt}${hashlib.sha256(f'{salt}{password}'.encode()).hexdigest()}"


class FakeTelegram:
    """Links to a bot that is not there."""

    PREFIX = "https://t.me/club_bot?start="

    def __init__(self) -> None:
        self.lost = False

    async def link(self, payload: str) -> str:
        """The link; refused while Telegram is lost."""
        if self.lost:
            raise ChannelUnavailable
        return self.PREFIX + payload


class WatchedStore:
    """A store that keeps a list of what it was asked; it may be slow, and it may fail."""

    def __init__(self, store: ShortLivedStore) -> None:
        self._store = store
        self.asked: list[tuple[str, str]] = []
        """Each call and its key."""
        self.kept: list[bytes] = []
        """Every value that was ever put."""
        self.pauses: Callable[[], int] = lambda: 1
        """How often others go on before and after a call."""
        self.answers: int | None = None
        """How many calls are answered from here on, where it is to fail."""

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keep it for so long."""
        await self._called("put", key)
        self.kept.append(value)
        await self._store.put(key, value, seconds)
        await self._pause()

    async def get(self, *keys: str) -> Sequence[bytes | None]:
        """What is kept under each of these keys."""
        await self._called("get", *keys)
        found = await self._store.get(*keys)
        await self._pause()
        return found

    async def take(self, key: str) -> bytes | None:
        """What is kept, which is then gone."""
        await self._called("take", key)
        taken = await self._store.take(key)
        await self._pause()
        return taken

    async def drop(self, *keys: str) -> None:
        """Keep these no longer."""
        await self._called("drop", *keys)
        await self._store.drop(*keys)
        await self._pause()

    async def count(self, key: str, seconds: float) -> Count:
        """Count one more."""
        await self._called("count", key)
        counted = await self._store.count(key, seconds)
        await self._pause()
        return counted

    async def uncount(self, key: str, seconds: float) -> None:
        """Count one less."""
        await self._called("uncount", key)
        await self._store.uncount(key, seconds)
        await self._pause()

    async def _called(self, name: str, *keys: str) -> None:
        await self._pause()
        if self.answers is not None:
            if self.answers <= 0:
                raise StoreUnavailable
            self.answers -= 1
        self.asked += [(name, key) for key in keys]

    async def _pause(self) -> None:
        for _ in range(self.pauses()):
            await asyncio.sleep(0)


class FixedClock:
    """It is always the same time, until the test lets some pass."""

    def __init__(self, at: datetime = A_MORNING) -> None:
        self.at = at

    def now(self) -> datetime:
        """This moment."""
        return self.at

    def seconds(self) -> float:
        """This moment, in seconds since 1970."""
        return self.at.timestamp()

    def let_pass(self, time: timedelta) -> None:
        """Be later."""
        self.at += time


class FakePageTokens:
    """Tokens that anybody could make."""

    def page_token(self, claims: PageClaims) -> str:
        """What it says, in plain words."""
        return f"{claims.page}.{claims.link_id}.{claims.user_id}.{claims.ends_at}"


@dataclass(frozen=True, slots=True)
class FakeServices(Services):
    """The ports together, each a fake."""

    ledger: FakeLedger
    read_side: FakeReadSide
    passwords: FakeHasher
    clock: FixedClock


def fake_services(rules: Rules | None = None) -> FakeServices:
    """A club in memory in which nothing has happened yet."""
    ledger = FakeLedger()
    return FakeServices(
        ledger=ledger,
        read_side=FakeReadSide(ledger),
        passwords=FakeHasher(),
        clock=FixedClock(),
        page_tokens=FakePageTokens(),
        first_rules=rules or Rules(),
    )
