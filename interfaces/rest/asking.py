"""One request: who asks for what, what they may reach, and how an answer is given."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import urlencode

import orjson
from fastapi import Request, Response

from application.absent import missing
from application.access import ANYBODY, Caller, Origin
from application.askable import AskableRow
from application.bus import Bus, Outcome
from application.catalogue import COMMANDS, LISTS, ROWS
from application.command import Command, Context
from application.fields import Body
from application.ports.ledger import ReceiptKey
from application.ports.queries import PageRequest, Queries, ReadRow
from application.ports.read_side import ReadSide
from application.ports.signing_in import Callers
from application.sign_in import SignIn, Visit
from domain.refusals import Busy, Invalid
from interfaces.rest.lists import PageQuery
from interfaces.rest.places import PLACE
from interfaces.rest.problems import JSON

POSITION = "Ledger-Position"
"""On answers: where in the ledger a change is. On requests: show at least this."""

REQUEST_ID = "request_id"
"""Where a request's state keeps its id, which is the correlation id of the events."""


class BadIdempotencyKey(Invalid):
    """An Idempotency-Key has 1 to 255 printable ASCII characters, bare or as a quoted string."""


class SeveralIdempotencyKeys(Invalid):
    """A request has one Idempotency-Key; this one has several."""


class BadPosition(Invalid):
    """A Ledger-Position is a whole number."""


class PositionNotReached(Busy):
    """What is shown is not as far as position {position} yet. Please try again."""


class Bearers(Protocol):
    """Whose a token is, as far as it says so itself."""

    def bearer(self, token: str) -> int | None: ...


class Service(Protocol):
    """What REST needs of the running club."""

    @property
    def bus(self) -> Bus: ...
    @property
    def reads(self) -> Queries: ...
    @property
    def tokens(self) -> Bearers: ...
    @property
    def callers(self) -> Callers: ...
    @property
    def read_side(self) -> ReadSide: ...
    @property
    def sign_in(self) -> SignIn: ...


class Asking:
    """A request for an entry of the catalogue, whose caller is known."""

    __slots__ = ("caller", "everybody", "name", "request", "service")

    def __init__(
        self, request: Request, service: Service, name: str, caller: Caller, *, everybody: bool
    ) -> None:
        self.request = request
        self.service = service
        self.name = name
        """What is asked for, as the catalogue names it."""
        self.caller = caller
        self.everybody = everybody
        """Whether the caller reaches everybody's, or only their own."""

    @property
    def origin(self) -> Origin:
        """From where the caller asks."""
        client = self.request.client
        agent = self.request.headers.get("user-agent", "")
        return Origin("unknown" if client is None else client.host, agent)

    @property
    def visit(self) -> Visit:
        """The request, for whoever signs in or out with it."""
        return Visit(self.request.scope["state"][REQUEST_ID], self.origin)

    # --- commands --------------------------------------------------------------------------

    async def create(self, body: Body, *numbers: int, location: str) -> Response:
        """201 with the new thing; `location` is its path, `{…}` standing for its fields."""
        entry = COMMANDS[self.name]
        outcome = await self._execute(entry.made(numbers, body), self._idempotency_key())
        facts = outcome.body or {}
        created = answer(201, outcome, {"Location": location.format(**facts)})
        if entry.view is not None:
            row = await self.service.reads.one(entry.view, facts["id"])
            if row is not None:
                return Response(row.body, 201, _without_length(created), JSON)
        return created

    async def change(self, body: Body, *numbers: int) -> Response:
        """200 with the thing as it is now."""
        return answer(200, await self._execute(COMMANDS[self.name].made(numbers, body)))

    async def delete(self, *numbers: int) -> Response:
        """204."""
        return answer(204, await self._execute(COMMANDS[self.name].made(numbers)))

    async def _execute(self, command: Command, key: ReceiptKey | None = None) -> Outcome:
        """Have the command done, for this caller and in this conversation."""
        context = Context(
            self.caller,
            correlation_id=self.request.scope["state"][REQUEST_ID],
            versions=_versions(self._every("if-match")),
            key=key,
            origin=self.origin,
        )
        if self.caller == ANYBODY:
            return await self.service.sign_in.register(command, context)
        return await self.service.bus.execute(command, context)

    def _every(self, header: str) -> str | None:
        """All lines of a header that is a list, as one."""
        lines = self.request.headers.getlist(header)
        return ", ".join(lines) if lines else None

    def _idempotency_key(self) -> ReceiptKey | None:
        lines = self.request.headers.getlist("idempotency-key")
        if not lines:
            return None
        if len(lines) > 1:
            raise SeveralIdempotencyKeys(field="Idempotency-Key")
        (given,) = lines
        quoted = re.fullmatch(r'"((?:[\x20-\x7e])*)"', given)
        key = quoted[1].replace('\\"', '"').replace("\\\\", "\\") if quoted else given
        if not re.fullmatch(r"[\x20-\x7e]{1,255}", key):
            raise BadIdempotencyKey(field="Idempotency-Key")
        return ReceiptKey(f"rest:{self.caller.actor}", key)

    # --- queries ---------------------------------------------------------------------------

    async def one(self, *key: int) -> Response:
        """200 with the row, 304 where the caller has it; another's is not found."""
        row = await self._row(ROWS[self.name], *key)
        etag = f'"{row.version}"'
        known = self._every("if-none-match")
        if known is not None and (known.strip() == "*" or etag in re.findall(r'"[^"]*"', known)):
            return Response(status_code=304, headers={"ETag": etag})
        return Response(row.body, headers={"ETag": etag}, media_type=JSON)

    async def page(self, query: PageQuery, *of: int, **more: object) -> Response:
        """200 with a page of rows; the next one is in the Link header.

        `of` is the thing whose rows they are, which has to be in reach; `more` are filters.
        """
        entry = LISTS[self.name]
        filters = query.filters() | more
        if entry.of:
            await self._row(ROWS[entry.of], *of)
            filters[entry.by] = of[-1]
        await self.wait_for_position()
        wanted = PageRequest(
            filters=filters,
            sort=query.order(),
            after=query.after,
            limit=query.limit,
            owner=None if self.everybody else self.caller.user_id,
        )
        found = await self.service.reads.page(entry.view, wanted)
        headers = {}
        if found.after is not None:
            headers["Link"] = f'<{self._next(found.after)}>; rel="next"'
        if query.total:
            headers["X-Total-Count"] = str(await self.service.reads.total(entry.view, wanted))
        return Response(found.body, headers=headers, media_type=JSON)

    async def _row(self, entry: AskableRow, *key: int) -> ReadRow:
        await self.wait_for_position()
        row = await self.service.reads.one(entry.view, *key)
        if row is None or not (self.everybody or row.owner == self.caller.user_id):
            raise missing(entry.kind, key[-1])
        return row

    def _next(self, after: str) -> str:
        params = [(k, v) for k, v in self.request.query_params.multi_items() if k != "after"]
        return f"{self.request.scope['path']}?{urlencode([*params, ('after', after)])}"

    async def wait_for_position(self) -> None:
        """Let the read tables come as far as the request demands.

        Raises PositionNotReached after a short limit: an answer from before would be taken for
        what holds at that position.
        """
        given = self.request.headers.get(POSITION)
        if given is None:
            return
        if not re.fullmatch(r"[0-9]{1,18}", given):
            raise BadPosition(field=POSITION)
        with self.request.scope["state"][PLACE].aside():
            reached = await self.service.read_side.reached(int(given))
        if not reached:
            raise PositionNotReached(position=int(given))


def answer(status: int, outcome: Outcome, headers: Mapping[str, str] | None = None) -> Response:
    """What became of a command, as an answer."""
    more = dict(headers or {})
    if outcome.version is not None:
        more["ETag"] = f'"{outcome.version}"'
    if outcome.position:
        more[POSITION] = str(outcome.position)
    if outcome.once is not None:
        more["Cache-Control"] = "no-store"
    if outcome.shown is None:
        return Response(status_code=status, headers=more)
    return Response(orjson.dumps(outcome.shown), status, headers=more, media_type=JSON)


def _without_length(response: Response) -> dict[str, str]:
    return {k: v for k, v in response.headers.items() if k != "content-length"}


def _versions(if_match: str | None) -> frozenset[int] | None:
    """The versions that If-Match demands, by strong comparison; None for any."""
    if if_match is None or if_match.strip() == "*":
        return None
    tags = re.findall(r'(W/)?"([^"]*)"', if_match)
    return frozenset(
        int(tag) for weak, tag in tags if not weak and re.fullmatch(r"[1-9][0-9]{0,8}", tag)
    )
