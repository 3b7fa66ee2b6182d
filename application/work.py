"""One command at work: what it loaded, what it decided, and what the decision rests on.

Every aggregate that a handler looks at, also one that it only refers to, goes into the check
that the ledger makes at commit. So a decision is recorded only if all it rests on still holds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar, cast

from application.absent import missing, unknown
from application.access import RULES, THE_CLUB, Permission, allow
from application.command import Cascade, Context
from application.ports.ledger import NothingSince, Recording
from application.ports.read_side import Seen
from application.ports.services import Rules, Services
from application.repository import MANY, Repository
from application.slices import Slices
from domain.aggregate import Aggregate, Event
from domain.refusals import Conflict, Forbidden, Invalid, PreconditionFailed
from domain.reservations import Reservation, Value
from domain.rules import THE_ONE, ClubRules

A = TypeVar("A", bound=Aggregate)


class ReadOnly(Invalid):
    """This is not for a request to change: it is left out, or sent back as it is."""


class Result(NamedTuple):
    """What the caller is shown: a body, and the version of the aggregate behind it."""

    body: dict[str, Any] | None
    version: int | None = None
    once: dict[str, Any] | None = None
    """What of the body is shown with a secret in it, to this caller and this time only."""


class Work:
    """One command at work, and the policies that follow from it."""

    def __init__(
        self,
        services: Services,
        repository: Repository,
        context: Context,
        command: str,
        command_id: str,
        *,
        use_known: bool,
        hashes: dict[str, str],
    ) -> None:
        """`hashes` are of the passwords in the command, as far as they are worked out."""
        self.services = services
        self.context = context
        self.command_id = command_id
        self.caller = self._asking = context.caller
        self.origin = context.origin
        self.at: datetime = services.clock.now()
        self.era = services.ledger.era
        self.recordings: list[Recording] = []
        self.expected: dict[str, int] = {}
        self.conditions: list[NothingSince] = []
        self.rests_on_known = False
        self.relied_on: set[Permission] = set()
        """What the caller's role lets it do to everybody's, as far as the decision rests on it."""
        self._repository = repository
        self._use_known = use_known
        self._hashes = hashes
        self._loaded: dict[str, Aggregate | None] = {}
        self._foreseen: dict[tuple[str, int], Seen] = {}
        self._slices = Slices()
        self._happened: list[Event] = []
        """What happened to any of them since the last `collect`, in the order in which it did."""
        self._command = command
        self._causation_id = command_id
        self._asked: Context | None = context

    async def rules(self) -> Rules:
        """What the club has set for itself; the decision then rests on it."""
        return rules_in(await self.find(ClubRules, THE_ONE), self.services)

    # --- loading ---------------------------------------------------------------------------

    async def look(self, *streams: str) -> None:
        """Load these aggregates together, for `find` and `get` to hand out."""
        missing = [stream for stream in streams if stream not in self._loaded]
        if self._use_known and len(missing) <= MANY:
            for stream in missing:
                known = self._repository.known(stream)
                if known is not None:
                    self.rests_on_known = True
                    self._remember(stream, known)
            missing = [stream for stream in missing if stream not in self._loaded]
        if missing:
            read = await self._repository.read(missing)
            for stream in missing:
                self._remember(stream, read.get(stream))

    def _remember(self, stream: str, aggregate: Aggregate | None) -> None:
        self._loaded[stream] = aggregate
        self.expected[stream] = 0 if aggregate is None else aggregate.version
        if aggregate is not None:
            aggregate.share(self._happened)

    async def find(self, kind: type[A], number: int | str) -> A | None:
        """The aggregate, or None where there is none (any more)."""
        stream = kind.stream(number)
        await self.look(stream)
        aggregate = self._loaded[stream]
        return None if aggregate is None or aggregate.deleted else cast("A", aggregate)

    async def get(self, kind: type[A], number: int) -> A:
        """The aggregate that the command is about; refused as not found."""
        aggregate = await self.find(kind, number)
        if aggregate is None:
            raise missing(kind, number)
        return aggregate

    async def refer(self, kind: type[A], number: int, field: str) -> A:
        """An aggregate that the command refers to in `field`; refused where there is none."""
        aggregate = await self.find(kind, number)
        if aggregate is None:
            raise unknown(kind, number, field)
        return aggregate

    async def hash(self, password: str) -> str:
        """What is kept of a password; worked out once, however often the command is decided."""
        if password not in self._hashes:
            self._hashes[password] = await self.services.passwords.hash(password)
        return self._hashes[password]

    # --- deciding --------------------------------------------------------------------------

    def allow(self, permission: Permission, aggregate: Aggregate, *, owner: int | None) -> None:
        """Refuse, as not found, what is out of the caller's reach."""
        if not self.reaches_all(permission):
            not_found = missing(type(aggregate), aggregate.number)
            allow(self.caller, permission, owner=owner, missing=not_found)

    def must_reach_all(self, permission: Permission) -> None:
        """Refuse where the caller's role may not do this to everybody's."""
        if not self.reaches_all(permission):
            raise Forbidden

    def reaches_all(self, permission: Permission) -> bool:
        """Whether the caller's role may do this to everybody's."""
        reaches = self.caller.role in RULES[permission].roles
        if reaches and self.caller is self._asking:
            self.relied_on.add(permission)
        return reaches

    def must_match(self, aggregate: Aggregate, row: Mapping[str, Any] | None = None) -> None:
        """Refuse where the request is about another version than the aggregate is at.

        It names versions, or sends back what nobody changes, as the `row` shows it.
        """
        self.must_be_at(aggregate.version)
        if self._asked is not None and self._asked.sent_back:
            shown = aggregate.row() if row is None else row
            for name, fact in self._asked.sent_back.items():
                if fact != shown[name] and not _moved_on(name, fact, shown[name]):
                    raise ReadOnly(field=name)

    def must_be_at(self, version: int) -> None:
        """Refuse where the request is about another version; 0 is before anything happened."""
        versions = None if self._asked is None else self._asked.versions
        if versions is not None and version not in versions:
            none = f'none (it is named as its ETag, quotes and all: "{version}")'
            named = ", ".join(str(one) for one in sorted(versions)) or none
            raise PreconditionFailed(expected=named, actual=version)

    async def new_number(self, kind: type[Aggregate]) -> int:
        """A number for a new aggregate."""
        return await self.services.ledger.next_id(kind.TOPIC)

    def add(self, aggregate: A) -> A:
        """Take up a new aggregate."""
        self._loaded[aggregate.id] = aggregate
        self.expected[aggregate.id] = 0
        aggregate.share(self._happened)
        return aggregate

    async def reserve(self, name: str, holder: Aggregate, taken: type[Conflict]) -> None:
        """Reserve a value for the holder; refused with `taken` while another has it."""
        reservation = await self.find(Reservation, name)
        if reservation is None:
            self.add(Reservation.make(name, holder.id, self.at))
        else:
            reservation.take(holder.id, self.at, taken)

    async def claim(self, value: Value, holder: Aggregate, taken: type[Conflict]) -> None:
        """Reserve a value for the holder, however others wrote it before."""
        await self.must_be_free(value, taken, holder.id)
        await self.reserve(value.name, holder, taken)

    async def must_be_free(
        self, value: Value, taken: type[Conflict], holder: str | None = None
    ) -> None:
        """Refuse with `taken` while another than the holder has the value."""
        names = value.names
        await self.look(*(Reservation.stream(name) for name in names))
        for name in names:
            reservation = await self.find(Reservation, name)
            if reservation is not None and reservation.holder not in {None, holder}:
                raise taken(holder=reservation.holder)

    async def exchange(
        self, old: Value, new: Value, holder: Aggregate, taken: type[Conflict]
    ) -> None:
        """Reserve a value, and only then give back the one before."""
        await self.claim(new, holder, taken)
        for name in old.names:
            if name != new.name:
                await self.release(name, holder)

    async def give_back(self, value: Value, holder: Aggregate) -> None:
        """Give a value back, under whatever name it is reserved."""
        for name in value.names:
            await self.release(name, holder)

    async def release(self, name: str, holder: Aggregate) -> None:
        """Give a reserved value back."""
        reservation = await self.find(Reservation, name)
        if reservation is not None:
            reservation.release(holder.id, self.at)

    async def foresee(self, cascades: Sequence[Cascade[Any]]) -> None:
        """Look once at everything that all of these will look at, for each of them to find it."""
        by_kind: dict[type[Cascade[Any]], list[int]] = {}
        for cascade in cascades:
            by_kind.setdefault(type(cascade), []).append(cascade.number)
        for kind, numbers in by_kind.items():
            seen = await self.services.read_side.referring(kind.REFERENCE, numbers)
            self._foreseen |= {(kind.REFERENCE, number): seen[number] for number in numbers}
            referring = {n for number in numbers for n in seen[number].numbers}
            await self.look(*map(kind.KIND.stream, sorted(referring)))

    async def referring(self, reference: str, number: int) -> tuple[int, ...]:
        """Who may refer to this number; the decision then rests on nobody joining them."""
        seen = self._foreseen.get((reference, number))
        if seen is None:
            seen = (await self.services.read_side.referring(reference, [number]))[number]
        self.conditions.append(seen.condition)
        await self._slices.between()
        return seen.numbers

    async def each(self, cascade: Cascade[A]) -> AsyncIterator[A]:
        """All that it may befall, and that are still there; whether it does is theirs to say."""
        numbers = await self.referring(cascade.REFERENCE, cascade.number)
        await self.look(*map(cascade.KIND.stream, numbers))
        for number in numbers:
            aggregate = await self.find(cascade.KIND, number)
            if aggregate is not None:
                yield aggregate
            await self._slices.between()

    async def shared_memberships(self) -> tuple[int, ...]:
        """The memberships that may have several holders; the decision rests on no other joining.

        Whoever joins does so on any membership: that it is one that somebody holds is known of
        the reservations alone. So this condition names topics, and no value.
        """
        seen = await self.services.read_side.shared_memberships()
        self.conditions.append(seen.condition)
        return seen.numbers

    @property
    def is_large(self) -> bool:
        """Whether it takes so long that others may overtake it each time."""
        return len(self.expected) > MANY

    # --- recording -------------------------------------------------------------------------

    def collect(self) -> list[Event]:
        """The events that happened since the last call, with the command they came from."""
        happened = self._happened.copy()
        self._happened.clear()
        self.recordings += [Recording(e, self._command, self._causation_id) for e in happened]
        return happened

    def follow(self, command: str, cause: Event) -> None:
        """From here on a policy is at work: the club itself answers `cause` with `command`."""
        self.caller = THE_CLUB
        self._asked = None
        self._command = command
        self._causation_id = cause.event_id

    def committed(self) -> None:
        """Everything decided here is in the ledger now; nothing here is worked on any more."""
        self._repository.keep([a for a in self._loaded.values() if a is not None], self.era)

    def stale(self) -> None:
        """Something here was not what the ledger holds."""
        self._repository.forget(list(self._loaded))


MOVES_BY_ITSELF = frozenset({"last_login"})
"""Moments that move on though nobody changes the thing."""


def _moved_on(name: str, sent: Any, shown: Any) -> bool:
    """Whether what is sent back is what was shown before it moved on by itself."""
    return name in MOVES_BY_ITSELF and shown is not None and (sent is None or sent < shown)


def result_of(aggregate: Aggregate) -> Result:
    """The aggregate as its row shows it."""
    return Result(aggregate.row(), aggregate.version)


def rules_in(rules: ClubRules | None, services: Services) -> Rules:
    """The rules in the form of decisions; those of the settings, where the ledger has none."""
    return services.first_rules if rules is None else Rules(**rules.facts)  # type: ignore[arg-type]
