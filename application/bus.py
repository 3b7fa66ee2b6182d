"""From a command to its outcome: decide, let policies follow, record it all at once.

A decision that turns out stale is taken again on fresh facts; a refusal is only ever given on
fresh facts. A command that names a key happens once, over any channel, and answers the same.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, cast

import orjson

from application.access import ANYBODY, Caller, still_reaches
from application.command import Cascade, Command, Context
from application.handlers import HANDLERS
from application.policies import consequences
from application.ports.ledger import (
    REFUSAL,
    AlreadyDone,
    Append,
    Receipt,
    ReceiptKey,
    StaleDecision,
    Submission,
)
from application.ports.services import Rules, Services, Zone
from application.repository import Repository
from application.work import Result, Work, rules_in
from domain.refusals import Busy, Conflict, Forbidden, Invalid, Refusal
from domain.rules import THE_ONE, ClubRules

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from domain.aggregate import Event

    Witness = Callable[[Sequence[Event]], Awaitable[None]]

MOST_DECISIONS = 200
"""How often a command may find its facts changed under it before it gives way."""

LONGEST_DECISION = 15.0
"""Seconds after which it gives way in any case."""

MOST_OVERTAKEN = 2
"""How often a large decision may be overtaken; then others wait for it, as it might never pass."""


class KeyReused(Invalid):
    """This idempotency key was used for another request."""


class StillInFlight(Conflict):
    """A request with this idempotency key is being worked on."""


@dataclass(slots=True)
class Outcome:
    """What became of a command."""

    body: Mapping[str, Any] | None
    version: int | None
    position: int
    """Where in the ledger it ended; 0 where it changed nothing."""
    visible: bool = field(default=True, compare=False)
    """Whether the read tables show it already."""
    once: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    """What is shown with a secret in it, by the answer to the first asking alone."""

    @property
    def shown(self) -> Mapping[str, Any] | None:
        """The body as the caller gets it."""
        return self.body if self.once is None else {**(self.body or {}), **self.once}

    def recorded(self) -> dict[str, Any]:
        """The outcome as a receipt keeps it: without a secret.

        The position is not known before the commit.
        """
        return {"body": self.body, "version": self.version}

    @classmethod
    def replayed(cls, recorded: Mapping[str, Any]) -> Self:
        """The outcome that a receipt kept; raises the refusal, where it was one."""
        if REFUSAL in recorded:
            raise _refusal_again(recorded[REFUSAL])
        return cls(recorded["body"], recorded["version"], 0)


class Bus:
    """Takes commands from every channel."""

    def __init__(self, services: Services, witness: Witness | None = None) -> None:
        """`witness` is told of what this bus records, once it is recorded."""
        self._services = services
        self._witness = witness
        self._repository = Repository(services)
        self._in_flight: set[ReceiptKey] = set()

    async def execute(self, command: Command, context: Context) -> Outcome:
        """Decide and record the command, and wait until the read tables show it.

        Raises a Refusal where the club says no; LedgerUnavailable or Overloaded where nothing
        was recorded because the ledger could not take it.
        """
        if context.key is None:
            return await self._decide(command, context)
        key = self._key_of(command, context.caller, context.key)
        return await self._once(command, replace(context, key=key), key)

    def _key_of(self, command: Command, caller: Caller, key: ReceiptKey) -> ReceiptKey:
        """The key of a caller is its own; of those who are not signed in, with what they ask.

        So two strangers never meet, and nobody gets an answer by the key of another alone.
        """
        if caller != ANYBODY:
            return key
        asked = orjson.dumps(key.key) + command.said_in_full()
        return ReceiptKey(key.source, self._services.seal(asked).hex())

    async def _once(self, command: Command, context: Context, key: ReceiptKey) -> Outcome:
        if key in self._in_flight:
            # It may be recorded already, and only wait to be shown.
            return await self._recorded_or(StillInFlight(), key, command, context)
        self._in_flight.add(key)
        try:
            receipt = await self._services.ledger.receipt(key)
            if receipt is None:
                return await self._decide(command, context)
            if context.replayed and receipt.refused and self._is_of(receipt, command):
                return await self.execute(command, _replayed(context, key))
            return self._again(receipt, command, context.caller)
        finally:
            self._in_flight.discard(key)

    async def rules(self) -> Rules:
        """What the club has set for itself, as of now."""
        return rules_in(await self._rules(), self._services)

    async def zone(self) -> Zone:
        """The time zone of the club's days, as of now."""
        rules = await self._rules()
        since = None if rules is None else rules.timezone_since
        return Zone(rules_in(rules, self._services).timezone, since)

    async def _rules(self) -> ClubRules | None:
        stream = ClubRules.stream(THE_ONE)
        return cast("ClubRules | None", (await self._repository.read([stream])).get(stream))

    async def _decide(self, command: Command, context: Context) -> Outcome:
        command_id = secrets.token_hex(16)
        use_known = True
        hashes: dict[str, str] = {}
        give_way = time.monotonic() + LONGEST_DECISION
        overtaken = 0
        for _ in range(MOST_DECISIONS):
            if time.monotonic() > give_way and overtaken < MOST_OVERTAKEN:
                break
            work = Work(
                self._services,
                self._repository,
                context,
                command.NAME,
                command_id,
                use_known=use_known,
                hashes=hashes,
            )
            try:
                if overtaken < MOST_OVERTAKEN:
                    outcome = await self._try(command, work, self._services.ledger.append)
                else:
                    async with self._services.ledger.alone() as append:
                        outcome = await self._try(command, work, append)
            except StaleDecision:
                work.stale()
                overtaken += work.is_large
            except AlreadyDone:
                return await self._settle_twins(command, context)
            else:
                if outcome is not None:
                    return await self._shown(outcome, context)
                use_known = False
        raise Busy

    async def _try(self, command: Command, work: Work, append: Append) -> Outcome | None:
        """Decide, and record what was decided; None where that needs facts that are read anew.

        Raises the refusal, StaleDecision or AlreadyDone.
        """
        refusal: Refusal | None = None
        result = Result(None)
        try:
            result = await self._handle(command, work)
        except Refusal as said:
            refusal = said
        if work.rests_on_known and (refusal is not None or not work.recordings):
            return None
        return await self._record(command, work, result, refusal, append)

    async def _handle(self, command: Command, work: Work) -> Result:
        result = await HANDLERS[type(command)](command, work)
        happened = work.collect()
        while happened:
            following = [(event, command) for event in happened for command in consequences(event)]
            await work.foresee([c for _, c in following if isinstance(c, Cascade)])
            happened = []
            for event, consequence in following:
                work.follow(consequence.NAME, event)
                await HANDLERS[type(consequence)](consequence, work)
                happened += work.collect()
        return result

    async def _record(
        self,
        command: Command,
        work: Work,
        result: Result,
        refusal: Refusal | None,
        append: Append,
    ) -> Outcome:
        context = work.context
        outcome = Outcome(result.body, result.version, 0, once=result.once)
        recordings = work.recordings if refusal is None else []
        receipt = None
        if context.key is not None and (refusal is None or context.keep_refusals):
            kept = outcome.recorded() if refusal is None else {REFUSAL: _recorded(refusal)}
            kept |= {"relied_on": sorted(work.relied_on)}
            receipt = Receipt(context.key, self._fingerprint(command), kept)
        if recordings or receipt is not None:
            submission = Submission(
                command_id=work.command_id,
                actor=context.caller.actor,
                correlation_id=context.correlation_id,
                recordings=recordings,
                expected=work.expected,
                conditions=work.conditions,
                receipt=receipt,
                era=work.era,
            )
            outcome.position = await append(submission)
            if refusal is None and recordings:
                work.committed()
                if self._witness is not None:
                    await self._witness([recording.event for recording in recordings])
                return outcome
        if refusal is not None:
            raise refusal
        outcome.position = 0
        return outcome

    async def _shown(self, outcome: Outcome, context: Context) -> Outcome:
        """The outcome, once the read tables show it, or after a short limit."""
        if outcome.position:
            reached = self._services.read_side.reached
            outcome.visible = context.visible and await reached(outcome.position)
        return outcome

    async def _settle_twins(self, command: Command, context: Context) -> Outcome:
        """Another process recorded the same command first: its outcome is ours."""
        if context.key is None:
            raise Busy
        return await self._recorded_or(Busy(), context.key, command, context)

    async def _recorded_or(
        self, no: Refusal, key: ReceiptKey, command: Command, context: Context
    ) -> Outcome:
        receipt = await self._services.ledger.receipt(key)
        if receipt is None:
            raise no
        return self._again(receipt, command, context.caller)

    def _again(self, receipt: Receipt, command: Command, caller: Caller) -> Outcome:
        """What became of it, for a caller whose role would let it be asked today as well."""
        if not self._is_of(receipt, command):
            raise KeyReused
        if not still_reaches(caller, receipt.outcome.get("relied_on", ())):
            raise Forbidden
        return Outcome.replayed(receipt.outcome)

    def _is_of(self, receipt: Receipt, command: Command) -> bool:
        """Whether it is the receipt of this very command."""
        # Receipts of release 0.1.0 do not tell one password from another, nor what they took.
        return receipt.fingerprint in {self._fingerprint(command), command.fingerprint()}

    def _fingerprint(self, command: Command) -> bytes:
        """A digest of all that is asked; sealed where a password is in it."""
        if command.has_password:
            return self._services.seal(command.said_in_full())
        return command.fingerprint()


def _replayed(context: Context, key: ReceiptKey) -> Context:
    """In what a refused command is decided anew.

    Its refusal is what became of its own key; under the other one it happens once, too, however
    often it is replayed. A refusal is not kept there.
    """
    anew = ReceiptKey(f"{key.source} replayed", key.key)
    return replace(context, key=anew, keep_refusals=False, replayed=False)


def _recorded(refusal: Refusal) -> dict[str, Any]:
    return {"code": refusal.code, "detail": refusal.detail, "field": refusal.field}


def _refusal_again(recorded: Mapping[str, Any]) -> Refusal:
    """The refusal that a receipt kept, word for word."""
    kinds = {kind.code: kind for kind in Refusal.kinds()}
    refusal = kinds[recorded["code"]].__new__(kinds[recorded["code"]])
    Exception.__init__(refusal, recorded["detail"])
    refusal.detail, refusal.field, refusal.case = recorded["detail"], recorded["field"], {}
    return refusal
