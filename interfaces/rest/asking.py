"""One request: who asks for what, what they may reach, and how an answer is given."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

import orjson
from fastapi import Request, Response

from application.absent import missing
from application.access import ANYBODY, Caller, Origin, Permission, reaches_all
from application.as_it_was import belonging, row_then
from application.askable import AskableList, AskableRow
from application.audit import NoteReading
from application.bus import Bus, Outcome
from application.catalogue import COMMANDS, LISTS, ROWS
from application.command import Command, Context
from application.fields import Body
from application.figures import Figures, Overview
from application.history import PageOf, Pages, Past
from application.ports.figures import FiguresOfClub, Wanted
from application.ports.ledger import LedgerUnavailable, OutcomeUnknown, ReceiptKey
from application.ports.queries import Page, PageRequest, Queries, ReadRow, Term
from application.ports.read_side import ReadSide
from application.ports.signing_in import Callers, PageClaims
from application.sign_in import SignIn, Visit
from domain.aggregate import Aggregate
from domain.refusals import Busy, Forbidden, Invalid, Refusal
from interfaces.rest.lists import PageQuery
from interfaces.rest.places import PLACE
from interfaces.rest.problems import JSON
from interfaces.rest.public import public

T = TypeVar("T")
F = TypeVar("F", Figures, Overview)

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
    def read_page_token(self, token: str, page: str) -> PageClaims: ...


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
    def figures(self) -> FiguresOfClub: ...
    @property
    def read_side(self) -> ReadSide: ...
    @property
    def sign_in(self) -> SignIn: ...
    @property
    def past(self) -> Past: ...
    async def bring_reports_up(self) -> None: ...


class Asking:
    """A request for an entry of the catalogue, whose caller is known."""

    __slots__ = ("as_of", "caller", "everybody", "name", "request", "service")

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
        self.as_of: int | datetime | None = None
        """The position or the moment that is asked about, where it is not the present."""

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

    async def create(self, body: Body, *numbers: int, location: str, place: str = "") -> Response:
        """201 with the new thing; `location` is its path, `{…}` standing for its fields.

        `place` is the field that is a path, too, for whoever asks to follow.
        """
        entry = COMMANDS[self.name]
        outcome = await self._execute(entry.made(numbers, body), self._idempotency_key())
        if outcome.once is not None and place:
            found = self.public(outcome.once[place])
            outcome = replace(outcome, once={**outcome.once, place: found})
        facts = outcome.body or {}
        created = answer(201, outcome, {"Location": self.public(location.format(**facts))})
        if entry.view is not None:
            try:
                row = await self.service.reads.one(entry.view, facts["id"])
            except LedgerUnavailable as away:
                raise OutcomeUnknown from away  # It happened, and is not to be asked for again.
            if row is not None:
                return Response(row.body, 201, _without_length(created), JSON)
        return created

    async def change(self, body: Body, *numbers: int) -> Response:
        """200 with the thing as it is now; the body may repeat what no request changes."""
        entry = COMMANDS[self.name]
        written, sent_back = _told_apart(body, entry.body or type(body))
        return answer(200, await self._execute(entry.made(numbers, written), sent_back=sent_back))

    async def delete(self, *numbers: int) -> Response:
        """204."""
        return answer(204, await self._execute(COMMANDS[self.name].made(numbers)))

    async def _execute(
        self,
        command: Command,
        key: ReceiptKey | None = None,
        sent_back: Mapping[str, Any] = MappingProxyType({}),
    ) -> Outcome:
        """Have the command done, for this caller and in this conversation."""
        context = Context(
            self.caller,
            correlation_id=self.request.scope["state"][REQUEST_ID],
            versions=_versions(self._every("if-match")),
            sent_back=sent_back,
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
        entry = ROWS[self.name]
        if self.as_of is not None:
            return await self._as_it_was(entry, self.as_of, *key)
        row = await self._row(entry, *key, everybody=self.everybody)
        etag = _digest(row.body) if entry.composed else f'"{row.version}"'
        return self._unless_known(row.body, {"ETag": etag})

    async def page(
        self, query: PageQuery, *of: int, terms: Sequence[Term] = (), **more: object
    ) -> Response:
        """200 with a page of rows, 304 where the caller has it; the next one is in the Link header.

        `of` is the thing whose rows they are, which has to be in reach; `terms` are searched for,
        and `more` are filters.
        """
        entry = LISTS[self.name]
        within = entry.within.get(self.caller.role, {})
        filters = query.filters() | more
        if entry.of:
            await self._find_what_has(entry, *of)
            filters[entry.by] = of[-1]
        await self.wait_for_position()
        if any(filters.get(name, value) != value for name, value in within.items()):
            nothing = {"X-Total-Count": "0"} if query.total else {}
            return self._unless_known(b"[]", nothing | {"ETag": _digest(b"[]")})
        filters |= within
        wanted = PageRequest(
            filters=filters,
            sort=query.order(),
            after=query.after,
            limit=query.limit,
            owner=None if self.everybody else self.caller.user_id,
            terms=terms,
        )
        reads = self.service.reads
        rows = partial(reads.page, entry.view), partial(reads.total, entry.view)
        return await self.page_of(*rows, wanted, counted=query.total)

    async def page_of(
        self,
        page: Callable[[PageRequest], Awaitable[Page]],
        total: Callable[[PageRequest], Awaitable[int]],
        wanted: PageRequest,
        *,
        counted: bool,
    ) -> Response:
        """200 with this page of a list, 304 where the caller has it."""
        found = await page(wanted)
        more = {"X-Total-Count": str(await total(wanted))} if counted else {}
        return self._paged(found.body, found.after, more)

    def _paged(self, body: bytes, after: str | None, more: Mapping[str, str]) -> Response:
        """200 with a page, 304 where the caller has it; the next one is in the Link header."""
        headers = {} if after is None else {"Link": f'<{self._next(after)}>; rel="next"'}
        headers |= more
        headers["ETag"] = _digest(body, *headers.values())
        return self._unless_known(body, headers)

    async def figures(self, report: str, wanted: Wanted) -> Figures:
        """A report of these days; refused where it does not come as far as the request demands."""
        return await self._as_far_as_demanded(lambda: self.service.figures.figures(report, wanted))

    async def overview(self, wanted: Wanted) -> Overview:
        """All reports of these days; refused as a report is."""
        return await self._as_far_as_demanded(lambda: self.service.figures.overview(wanted))

    async def _as_far_as_demanded(self, ask: Callable[[], Awaitable[F]]) -> F:
        """Figures, which are refreshed first where they are behind what the request demands."""
        demanded = self._demanded() or 0
        found = await ask()
        if found.position < demanded:
            with self.request.scope["state"][PLACE].aside():
                await self.service.bring_reports_up()
            found = await ask()
        if found.position < demanded:
            raise PositionNotReached(position=demanded)
        return found

    def unless_known(
        self, body: bytes, headers: Mapping[str, str], media_type: str = JSON
    ) -> Response:
        """200 with what is known by a digest, 304 where the caller has it."""
        etag = _digest(body, media_type, *headers.values())
        return self._unless_known(body, {**headers, "ETag": etag}, media_type)

    def _unless_known(
        self, body: bytes, headers: dict[str, str], media_type: str = JSON
    ) -> Response:
        """200 with the body, or 304 with the same headers where If-None-Match has its ETag."""
        known = self._every("if-none-match")
        if known is not None and (
            known.strip() == "*" or headers["ETag"] in {f'"{tag}"' for _, tag in _tags(known)}
        ):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type=media_type)

    async def _find_what_has(self, entry: AskableList, *key: int) -> None:
        """Refuse where the thing whose rows are asked for is not there, or not theirs to read."""
        await self._row(ROWS[entry.of], *key, everybody=self.everybody)

    async def _row(self, entry: AskableRow, *key: int, everybody: bool) -> ReadRow:
        await self.wait_for_position()
        row = await self.service.reads.one(entry.view, *key)
        if row is None:
            raise missing(entry.kind, key[-1])
        if not everybody and row.owner != self.caller.user_id:
            raise self._not_theirs(entry.kind, key[-1])
        return row

    def _not_theirs(self, kind: type[Aggregate], number: int) -> Refusal:
        """What is said of another's: that it is not there, but to a role that is shown it is."""
        read = ROWS.get(f"read-{kind.TOPIC}")
        shown = read is not None and reaches_all(self.caller, read.permission)
        return Forbidden() if shown else missing(kind, number)

    # --- the past --------------------------------------------------------------------------

    async def _as_it_was(self, entry: AskableRow, as_of: int | datetime, *key: int) -> Response:
        """200 with the row as it was: for an ADMIN, and for whoever it belonged to since then."""
        everybody = reaches_all(self.caller, Permission.HISTORY_OF_OWN)
        since = 0 if everybody else await self._own_since(entry.kind, key[0])
        if since is None:
            raise Forbidden if self.everybody else self._not_theirs(entry.kind, key[-1])
        past, reads = self.service.past, self.service.reads
        found = row_then(past, reads, as_of, self.name, *key, since=since)
        version, body = await self._noted(found, own=not everybody)
        etag = _digest(body) if entry.composed else f'"{version}"'
        return self._unless_known(body, {"ETag": etag})

    async def history_of(self, kind: type[Aggregate], number: int, pages: Pages) -> Response:
        """200 with a page of what happened to a thing, 304 where the caller has it.

        What is in reach because it is one's own is told without saying who others are.
        """
        since = 0 if self.everybody else await self._own_since(kind, number)
        if since is None:
            raise self._not_theirs(kind, number)
        found = self.service.past.of(kind, number, pages, self.caller, since)
        return await self._page_of(found, own=not self.everybody)

    async def history(self, pages: Pages, **filters: str | None) -> Response:
        """200 with a page of everything that happened, 304 where the caller has it."""
        return await self._page_of(self.service.past.log(pages, **filters))

    async def why(self, position: int) -> Response:
        """200 with what led to an event, and what it led to."""
        body = orjson.dumps(await self._noted(self.service.past.why(position)))
        return self._unless_known(body, {"ETag": _digest(body)})

    async def _page_of(self, finding: Awaitable[PageOf], *, own: bool = False) -> Response:
        found = await self._noted(finding, own=own)
        return self._paged(orjson.dumps(found.entries), found.after, {})

    async def _own_since(self, kind: type[Aggregate], number: int) -> int | None:
        """Since which position it belongs to the caller, or did when it went; None if it does not.

        The ledger says so, as it tells the rest: no table that is behind it.
        """
        held = await belonging(self.service.past, kind, number)
        return held.since if held is not None and held.owner == self.caller.user_id else None

    async def _noted(self, finding: Awaitable[T], *, own: bool = False) -> T:
        """What is found; given once it is written down who asked, where it is not their own."""
        if own:
            return await finding
        asked = self.request.scope["path"]
        if query := self.request.scope["query_string"].decode("latin-1"):
            asked = f"{asked}?{query}"
        noting = self._note(NoteReading(asked))
        found, noted = await asyncio.gather(finding, noting, return_exceptions=True)
        if isinstance(noted, BaseException):
            raise noted
        if isinstance(found, BaseException):
            raise found
        return found

    async def _note(self, command: Command) -> None:
        conversation = self.request.scope["state"][REQUEST_ID]
        context = Context(self.caller, conversation, origin=self.origin, visible=False)
        await self.service.bus.execute(command, context)

    def _next(self, after: str) -> str:
        params = [(k, v) for k, v in self.request.query_params.multi_items() if k != "after"]
        path = self.public(self.request.scope["path"])
        return f"{path}?{urlencode([*params, ('after', after)])}"

    def public(self, path: str) -> str:
        """The place of a path, as the caller can follow it."""
        return public(self.request.scope, path)

    async def wait_for_position(self) -> None:
        """Let the read tables come as far as the request demands.

        Raises PositionNotReached after a short limit: an answer from before would be taken for
        what holds at that position.
        """
        demanded = self._demanded()
        if demanded is None:
            return
        with self.request.scope["state"][PLACE].aside():
            reached = await self.service.read_side.reached(demanded)
        if not reached:
            raise PositionNotReached(position=demanded)

    def _demanded(self) -> int | None:
        """The position that the request demands to be shown."""
        given = self.request.headers.get(POSITION)
        if given is None:
            return None
        if not re.fullmatch(r"[0-9]{1,18}", given):
            raise BadPosition(field=POSITION)
        return int(given)


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


def _digest(body: bytes, *headers: str) -> str:
    """The ETag of what has no version: another one where a row, the next page or the total is."""
    digest = hashlib.sha256("\n".join(headers).encode() + b"\0")
    digest.update(body)
    return f'"{digest.hexdigest()[:32]}"'


def _told_apart(body: Body, model: type[Body]) -> tuple[Body, Mapping[str, Any]]:
    """What of a body is written, and what it only repeats of the row."""
    if type(body) is model:
        return body, {}
    named, fields = body.model_fields_set, model.model_fields.keys()
    facts = {name: getattr(body, name) for name in fields}
    written = model.model_construct(_fields_set=set(named & fields), **facts)
    return written, body.model_dump(mode="json", include=named - fields)


def _without_length(response: Response) -> dict[str, str]:
    return {k: v for k, v in response.headers.items() if k != "content-length"}


_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_LIST = re.compile(r"[ \t,]*\0(?:[ \t]*,[ \t,]*\0)*[ \t,]*")
"""Something, and more of it between commas."""


def _tags(header: str | None) -> Iterable[tuple[str, str]]:
    """Each entity tag that a header lists (RFC 9110): `W/` or nothing, and what is quoted.

    What is not written as such a list names no version at all.
    """
    if header is None or not _LIST.fullmatch(_TAG.sub("\0", header)):
        return ()
    return _TAG.findall(header)


def _versions(if_match: str | None) -> frozenset[int] | None:
    """The versions that If-Match demands, by strong comparison; None for any."""
    if if_match is None or if_match.strip() == "*":
        return None
    return frozenset(
        int(tag)
        for weak, tag in _tags(if_match)
        if not weak and re.fullmatch(r"[1-9][0-9]{0,8}", tag)
    )
