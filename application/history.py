"""What happened: to one thing, in all of the club, and what led to what.

It is told from the ledger alone. What of an event may be told is declared where its class is
(`domain/privacy.py`): no hash, code or address from where somebody asked is ever told.
"""

from __future__ import annotations

import base64
import binascii
import inspect
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

from application.absent import missing
from application.access import THE_CLUB, Caller
from application.ports.history import Entry, History, Wanted
from application.ports.ledger import UnreadableHistory
from application.ports.queries import UnreadableCursor
from application.slices import Slices
from domain.aggregate import Aggregate, Event, time_text
from domain.clients import Client
from domain.exercises import Exercise
from domain.facts import facts_of, has_plain_ids, withheld
from domain.memberships import Membership
from domain.page_links import PageLink
from domain.payments import Payment
from domain.refusals import Busy, Invalid, NotFound
from domain.reports import Report
from domain.rules import ClubRules
from domain.sessions import Session
from domain.subscriptions import Subscription
from domain.training_plans import TrainingPlan
from domain.trainings import Training
from domain.users import User

LAST = 2**63 - 1
"""No position or version comes after this one."""

CHUNK = 500
"""Events of one thing that are read and told together."""

MOST_LOOKED_AT = 5_000
"""Events of one thing that are looked through for one page, however few of them are wanted."""

KEPT = 32
"""How many states of things are kept, to go on from: they may be large."""

APART = 16
"""Of a long history that is gone through once, each so many chunks apart are kept."""

MOST_AROUND = 1_000
"""Positions before an event, and after it, at which what belongs to it is looked for."""

DEEPEST = 50
"""So many causes of causes are followed back."""


class Resource(StrEnum):
    """What has a history, as paths name it."""

    USERS = "users"
    MEMBERSHIPS = "memberships"
    CLIENTS = "clients"
    EXERCISES = "exercises"
    TRAININGS = "trainings"
    TRAINING_PLANS = "training-plans"
    PAYMENTS = "payments"
    REPORTS = "reports"
    SUBSCRIPTIONS = "subscriptions"
    PAGE_LINKS = "page-links"
    RULES = "rules"
    SESSIONS = "sessions"


KINDS: Mapping[Resource, type[Aggregate]] = {
    Resource.USERS: User,
    Resource.MEMBERSHIPS: Membership,
    Resource.CLIENTS: Client,
    Resource.EXERCISES: Exercise,
    Resource.TRAININGS: Training,
    Resource.TRAINING_PLANS: TrainingPlan,
    Resource.PAYMENTS: Payment,
    Resource.REPORTS: Report,
    Resource.SUBSCRIPTIONS: Subscription,
    Resource.PAGE_LINKS: PageLink,
    Resource.RULES: ClubRules,
    Resource.SESSIONS: Session,
}


class LiesAhead(Invalid):
    """This has not come yet: the ledger ends at position {head}, now."""


class EventOfNewerRelease(Busy):
    """What happened at position {position} ({topic}) is not for this release to read: {reason}."""


@dataclass(frozen=True, slots=True)
class Pages:
    """Which page of a history is wanted."""

    limit: int = 50
    after: str | None = None
    """The cursor that the page before gave."""
    newest_first: bool = False
    type: str | None = None
    first: int = 1
    """The first position that counts."""
    last: int = LAST


class PageOf(NamedTuple):
    """Some entries, each as it is told, and the cursor of the next page."""

    entries: Sequence[dict[str, Any]]
    after: str | None


class Holding(NamedTuple):
    """A fact of a thing, and the position since which it holds."""

    fact: Any
    position: int


class _State(NamedTuple):
    """What a thing was, after so many of its events; or what keeps this release from knowing."""

    aggregate: Aggregate | None = None
    unreadable: Entry | None = None

    def twin(self) -> _State:
        return self if self.aggregate is None else _State(self.aggregate.twin())

    def known(self) -> Aggregate | None:
        """The thing; raises EventOfNewerRelease where this release cannot know."""
        if self.unreadable is not None:
            newer = self.unreadable
            raise EventOfNewerRelease(
                position=newer.position, topic=newer.topic, reason=newer.unreadable
            )
        return self.aggregate


class Past:
    """What happened and how it was, as the ledger has it."""

    def __init__(self, history: History, era: Callable[[], int]) -> None:
        """`era` is the ledger's: what was known of another may be in no ledger any more."""
        self._history = history
        self._era = era
        self._kept: OrderedDict[tuple[int, str, int], _State] = OrderedDict()

    # --- one thing -------------------------------------------------------------------------

    async def of(
        self,
        kind: type[Aggregate],
        number: int,
        pages: Pages,
        reader: Caller = THE_CLUB,
        since: int = 0,
    ) -> PageOf:
        """A page of what happened to a thing, also one that is gone; raises NotFound.

        To whoever is no ADMIN, it is told without saying who others are; and since the position
        at which it became theirs, without what it was before. A page may have less than it
        could: so much is looked through for each.
        """
        stream = kind.stream(number)
        first, last = await self._versions(kind, number, pages, since)
        page: list[dict[str, Any]] = []
        looked_at = 0
        async for entry, told in self._told(stream, first, last, newest_first=pages.newest_first):
            if len(page) == pages.limit or looked_at == MOST_LOOKED_AT:
                before = entry.version + 1 if pages.newest_first else entry.version - 1
                return PageOf(page, _write_cursor(stream, before))
            looked_at += 1
            if pages.type in {None, entry.topic}:
                theirs = _without_before(told) if entry.position == since else told
                page.append(_logged(entry, reader) | theirs)
        return PageOf(page, None)

    async def _versions(
        self, kind: type[Aggregate], number: int, pages: Pages, since: int
    ) -> tuple[int, int]:
        """The first and the last version of a thing that may be on a page; raises NotFound."""
        stream = kind.stream(number)
        first, last = 1, await self._history.version_at(stream, LAST)
        if not last:
            raise missing(kind, number)
        if (begin := max(pages.first, since)) > 1:
            first = await self._history.version_at(stream, begin - 1) + 1
        if pages.last < LAST:
            last = await self._history.version_at(stream, pages.last)
        if pages.after is not None:
            # Anybody can write a cursor: it does not lead to what is before the first.
            (place,) = _read_cursor(pages.after, stream, 1)
            if pages.newest_first:
                last = min(last, place - 1)
            else:
                first = max(first, place + 1)
        return first, last

    async def _told(
        self, stream: str, first: int, last: int, *, newest_first: bool
    ) -> AsyncIterator[tuple[Entry, dict[str, Any]]]:
        """What is told of each event from one version to another."""
        chunks = range(max(first - 1, 0) // CHUNK, max(last - 1, 0) // CHUNK + 1)
        for chunk in reversed(chunks) if newest_first else chunks:
            told = [one for one in await self._chunk(stream, chunk) if first <= one[0].version]
            told = [one for one in told if one[0].version <= last]
            for one in reversed(told) if newest_first else told:
                yield one

    async def _chunk(self, stream: str, chunk: int) -> list[tuple[Entry, dict[str, Any]]]:
        state = (await self._before(stream, chunk)).twin()
        told, slices = [], Slices()
        for entry in await self._history.stream(stream, chunk * CHUNK, CHUNK):
            state, one = _tell(state, entry)
            told.append((entry, one))
            await slices.between()
        if len(told) == CHUNK:
            self._keep(stream, chunk + 1, state)
        return told

    # --- how it was ------------------------------------------------------------------------

    async def was(self, stream: str, position: int) -> Aggregate | None:
        """What a thing was at a position; None where it was not there yet, or not any more.

        Raises EventOfNewerRelease where this release cannot know.
        """
        aggregate = await self.ever(stream, position)
        return None if aggregate is None or aggregate.deleted else aggregate

    async def ever(self, stream: str, position: int) -> Aggregate | None:
        """The same, but what was gone by then is what it was when it went."""
        entries = await self._history.stream(stream, 0, CHUNK)
        if len(entries) == CHUNK and entries[-1].position < position:
            version = await self._history.version_at(stream, position)
            chunk = (version - 1) // CHUNK
            state = (await self._before(stream, chunk)).twin()
            entries = await self._history.stream(stream, chunk * CHUNK, CHUNK)
        else:
            state = _State()
        slices = Slices()
        for entry in entries:
            if entry.position > position:
                break
            state = _after(state, entry)
            await slices.between()
        return state.known()

    async def holds_since(self, stream: str, fact: str) -> Holding | None:
        """A fact of a thing as it is, or was when it went, and since when: the end of the command.

        None for what never was. Raises EventOfNewerRelease where this release cannot know.
        """
        state, held, command = _State(), None, ""
        version, slices = 0, Slices()
        while entries := await self._history.stream(stream, version, CHUNK):
            for entry in entries:
                state = _after(state, entry)
                aggregate = state.known()
                assert aggregate is not None  # noqa: S101 - what has events is there
                found = aggregate.facts[fact]
                if held is None or held.fact != found:
                    command = entry.command_id
                if entry.command_id == command:
                    held = Holding(found, entry.position)
                await slices.between()
            version = entries[-1].version
        return held

    async def position(self, given: int | datetime) -> int:
        """The position that is meant by a position, or by a moment; raises LiesAhead.

        A moment stands for the last event that was recorded by then.
        """
        if isinstance(given, datetime):
            position = await self._history.position_at(given)
        else:
            position = given if given <= await self._history.head() else None
        if position is None:
            raise LiesAhead(head=await self._history.head())
        return position

    async def whole(self, given: int | datetime) -> int:
        """The same, but where it is in the middle of a command, the end of that one."""
        return await self._history.end_of_command(await self.position(given))

    async def _before(self, stream: str, chunk: int) -> _State:
        """What the thing was before a chunk of its events."""
        known = chunk
        while known and (self._era(), stream, known) not in self._kept:
            known -= 1
        state = self._kept.get((self._era(), stream, known), _State())
        if known:
            self._keep(stream, known, state)
        state, slices = state.twin(), Slices()
        for behind in range(known, chunk):
            for entry in await self._history.stream(stream, behind * CHUNK, CHUNK):
                state = _after(state, entry)
                await slices.between()
            if behind + 1 == chunk or not (behind + 1) % APART:
                self._keep(stream, behind + 1, state.twin())
        return state

    def _keep(self, stream: str, chunk: int, state: _State) -> None:
        key = (self._era(), stream, chunk)
        self._kept[key] = state
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    # --- everything ------------------------------------------------------------------------

    async def log(
        self, pages: Pages, *, actor: str | None = None, correlation_id: str | None = None
    ) -> PageOf:
        """A page of everything that happened, up to when its first page was asked for.

        A page may have less than it could: so much is looked through for each, and no more.
        """
        until = min(pages.last, await self._history.head())
        after = pages.first - 1
        if pages.after is not None:
            after, until = _read_cursor(pages.after, "log", 2)
        wanted = Wanted(
            after, until, pages.limit, pages.newest_first, pages.type, actor, correlation_id
        )
        found = await self._history.log(wanted)
        cursor = None
        if found.reached is not None:
            rest = (after, found.reached - 1) if pages.newest_first else (found.reached, until)
            cursor = _write_cursor("log", *rest)
        return PageOf([_logged(entry) for entry in found.entries], cursor)

    async def why(self, event: int | str) -> dict[str, Any]:
        """What caused an event, and all that it caused, as a tree; raises NotFound."""
        entry = await self._history.entry(event)
        if entry is None:
            raise NotFound(what="event", id=event)
        around = await self._history.around(entry, MOST_AROUND)
        causes = {e.event_id: e for e in around}
        path = [entry]
        while "/" in path[0].causation_id and len(path) < DEEPEST:
            of = path[0].causation_id
            cause = causes.get(of) or await self._history.entry(of)
            if cause is None:
                break
            path.insert(0, cause)
        node = _caused(entry, around)
        for above in reversed(path[:-1]):
            node = {**_logged(above), "caused": [node]}
        first = path[0]
        return {
            "by": _asked_by(first),
            "actor": first.actor,
            "command": first.command,
            "command_id": first.command_id,
            "correlation_id": first.correlation_id,
            "complete": around[-1].position < entry.position + MOST_AROUND,
            "looked_up_to": entry.position + MOST_AROUND,
            "caused": [node],
        }


# --- telling ---------------------------------------------------------------------------------


def _tell(state: _State, entry: Entry) -> tuple[_State, dict[str, Any]]:
    """What an event changed, and what it says beside that; and what the thing is after it."""
    event = entry.event
    if event is None:
        return _after(state, entry), {"changes": [], "facts": {}, "withheld": []}
    hidden = withheld(entry.kind)
    before = {} if state.aggregate is None else dict(state.aggregate.told(event))
    state = _after(state, entry)
    after = {} if state.aggregate is None else dict(state.aggregate.told(event))
    changes = {
        name: (before.get(name), after.get(name))
        for name in {**before, **after}
        if before.get(name) != after.get(name) and name not in hidden
    }
    facts = facts_of(event)
    return state, {
        "changes": [{"field": n, "before": b, "after": a} for n, (b, a) in changes.items()],
        "facts": {n: fact for n, fact in facts.items() if n not in hidden and n not in changes},
        "withheld": sorted(name for name in facts if name in hidden),
    }


def _without_before(told: dict[str, Any]) -> dict[str, Any]:
    """What is told of the event that made a thing somebody's: not what it had been to another."""
    return told | {"changes": [change | {"before": None} for change in told["changes"]]}


def _after(state: _State, entry: Entry) -> _State:
    """What a thing is after an event; nobody guesses what one of a newer release made of it."""
    if state.unreadable is not None:
        return state
    if entry.event is None:
        return _State(None, entry)
    try:
        return _State(entry.event.mutate(state.aggregate))
    except Exception as fault:
        raise UnreadableHistory from fault


def _logged(entry: Entry, reader: Caller = THE_CLUB) -> dict[str, Any]:
    """Who did what, when and in which conversation."""
    everything = reader.role is THE_CLUB.role
    own = everything or entry.actor == reader.actor
    return {
        "position": entry.position,
        "recorded_at": None if entry.recorded_at is None else time_text(entry.recorded_at),
        "type": entry.topic,
        "said": None if entry.event is None else _sentence(type(entry.event)),
        "resource": entry.kind,
        "subject": entry.stream if has_plain_ids(entry.kind) else None,
        "version": entry.version,
        "actor": entry.actor if everything else _in_general(entry.actor, reader),
        "command": entry.command,
        "command_id": entry.command_id if own else None,
        "correlation_id": entry.correlation_id if own else None,
        "causation_id": entry.causation_id if own else None,
        "unreadable": entry.unreadable,
    }


def _sentence(kind: type[Event]) -> str:
    """What an event is in the club, as its class says it."""
    first = inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0]
    return " ".join(first.partition(";")[0].split()).removesuffix(".")


def _in_general(actor: str, reader: Caller) -> str:
    """Who it was, for somebody who may not know: `other` is mostly the front desk."""
    if actor == reader.actor:
        return "you"
    known = actor.partition("-")[0]
    return known if known in {"club", "provider"} else "other"


def _caused(entry: Entry, around: Sequence[Entry]) -> dict[str, Any]:
    """An event with all that it caused; that is recorded with it, after it."""
    caused: dict[str, list[Entry]] = {}
    for one in around:
        caused.setdefault(one.causation_id, []).append(one)

    def node(one: Entry, depth: int) -> dict[str, Any]:
        below = caused.get(one.event_id, ()) if depth < DEEPEST else ()
        return {**_logged(one), "caused": [node(follows, depth + 1) for follows in below]}

    return node(entry, 0)


def _asked_by(entry: Entry) -> str:
    """What it began with: a request (over REST or RabbitMQ), a message, time, or a person.

    Whoever asks names the conversation as they like; who they are is not theirs to say.
    """
    if entry.actor.startswith("provider-"):
        return "message of a provider"
    if entry.actor != THE_CLUB.actor:
        return "request"
    if entry.correlation_id.startswith("housekeeping-"):
        return "timer"
    return {"command-line": "command line", "first-start": "first start"}.get(
        entry.correlation_id, "request"
    )


# --- cursors ---------------------------------------------------------------------------------


def _write_cursor(of: str, *place: int) -> str:
    """An opaque name of a place in a history; that of another one is none."""
    return base64.urlsafe_b64encode(orjson.dumps([of, *place])).decode().rstrip("=")


def _read_cursor(cursor: str, of: str, length: int) -> Iterator[int]:
    try:
        place = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", True))
    except (binascii.Error, ValueError) as unreadable:
        raise UnreadableCursor from unreadable
    if not isinstance(place, list) or place[:1] != [of] or len(place) != length + 1:
        raise UnreadableCursor
    if not all(type(number) is int and 0 <= number <= LAST for number in place[1:]):
        raise UnreadableCursor
    return iter(place[1:])
