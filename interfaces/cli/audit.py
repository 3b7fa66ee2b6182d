"""`club audit`: what happened in the club, who did it, how it was, and proof of it."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

import orjson
import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from application.as_it_was import ROWS_THEN, row_then
from application.history import KINDS, LAST, PageOf, Pages, Resource
from application.rfc3339 import Rfc3339
from domain.aggregate import Aggregate, text_time
from domain.refusals import NotFound
from domain.rules import THE_ONE
from infra.bootstrap import Club
from interfaces.cli import exports, proofs
from interfaces.cli.opening import note, with_club

app = typer.Typer(help="What happened, how it was, and proof of it.", no_args_is_help=True)
app.command("seal")(proofs.seal)
app.command("verify")(proofs.verify)
app.command("prove")(proofs.prove)
app.command("check")(proofs.check)
app.command("key")(proofs.key)
app.command("export")(exports.export_ledger)
app.command("import")(exports.import_ledger)

AT_ONCE = 500
"""Entries that are read at a time."""

WIDE = 240
"""Columns, where nobody says how many there are."""

Json = Annotated[bool, typer.Option("--json", help="JSON Lines, for programs")]
From = Annotated[int, typer.Option("--from", min=1, help="the first position")]
To = Annotated[int, typer.Option("--to", min=1, help="the last position")]
Type = Annotated[str | None, typer.Option("--type", help="only such events: client.deleted")]
Newest = Annotated[bool, typer.Option("--newest-first", help="the newest first")]
Kind = Annotated[str, typer.Argument(metavar="KIND", help="client, payment, training-plan…")]
Number = Annotated[int, typer.Argument(min=1, help="its number")]
Moment = Annotated[str, typer.Argument(help="a moment (RFC 3339), or a position of the ledger")]

SINGULAR = {kind.TOPIC: kind for kind in KINDS.values()}
ROWS = {kind: f"read-{kind}" for kind in SINGULAR if f"read-{kind}" in ROWS_THEN}
"""What is shown of each kind: one entry of the catalogue."""


@app.callback()
def audit() -> None:
    """What happened, who did it, and how it was."""


@app.command("history")
def history(
    kind: Kind,
    number: Number = THE_ONE,
    type: Type = None,  # noqa: A002 - the name of the option
    first: From = 1,
    last: To = LAST,
    newest_first: Newest = False,
    json: Json = False,
) -> None:
    """Tell what happened to one thing: what it changed, before and after, and who did it."""
    of = _kind(kind)

    async def told(club: Club) -> None:
        await note(club)
        printing = _Lines() if json else _HistoryTable()
        async for entry in _every(
            lambda after: club.past.of(
                of, number, Pages(AT_ONCE, after, newest_first, type, first, last)
            )
        ):
            printing.add(entry)
        printing.end()

    _with_reader(told)


@app.command("log")
def log(
    first: From = 1,
    last: To = LAST,
    type: Type = None,  # noqa: A002 - the name of the option
    actor: Annotated[str | None, typer.Option(help="only what it did: user-7, club")] = None,
    correlation: Annotated[str | None, typer.Option(help="only this conversation")] = None,
    newest_first: Newest = False,
    json: Json = False,
) -> None:
    """Tell everything that happened: who, when, type, resource, conversation and command."""

    async def told(club: Club) -> None:
        until = min(last, await club.ledger.head())
        await note(club)
        printing = _Lines() if json else _LogTable()
        async for entry in _every(
            lambda after: club.past.log(
                Pages(AT_ONCE, after, newest_first, type, first, until),
                actor=actor,
                correlation_id=correlation,
            )
        ):
            printing.add(entry)
        printing.end()

    _with_reader(told)


@app.command("why")
def why(
    event: Annotated[str, typer.Argument(help="its position, or its id: client-42/3")],
    json: Json = False,
) -> None:
    """Tell what caused an event, and all that it caused, as a tree."""
    if not event.isdecimal() and not event.rpartition("/")[2].isdecimal():
        raise typer.BadParameter(f"{event} is neither a position nor the id of an event")

    async def told(club: Club) -> None:
        await note(club)
        found = await club.past.why(int(event) if event.isdecimal() else event)
        if json:
            print(orjson.dumps(found).decode())
            return
        asked = f"{found['by']}: {found['command']} by {found['actor']}"
        tree = Tree(Text(f"{asked} (conversation {found['correlation_id']})"))
        _grow(tree, found["caused"])
        _show(tree)
        if not found["complete"]:
            after = found["looked_up_to"] + 1
            print(f"There may be more from position {after} on, which `club audit log` tells.")

    _with_reader(told)


@app.command("as-of")
def as_of(moment: Moment, kind: Kind, number: Number = THE_ONE) -> None:
    """Print one thing as it was at a moment, as JSON."""
    of, then = _kind(kind), moment_of(moment)

    async def told(club: Club) -> None:
        await note(club)
        print(orjson.dumps(await _row(club, of, number, then)).decode())

    _with_reader(told)


@app.command("diff")
def diff(
    one: Annotated[str, typer.Argument(metavar="A", help="a moment, or a position")],
    other: Annotated[str, typer.Argument(metavar="B", help="another one")],
    kind: Kind,
    number: Number = THE_ONE,
    json: Json = False,
) -> None:
    """Tell field by field what was another at one moment than at another."""
    of, moments = _kind(kind), (moment_of(one), moment_of(other))

    async def told(club: Club) -> None:
        await note(club)
        before, after = [await _row_or_none(club, of, number, moment) for moment in moments]
        if before is None and after is None:
            raise NotFound(what=of.TOPIC, id=number)
        before, after = before or {}, after or {}
        changes = [
            {"field": name, "before": before.get(name), "after": after.get(name)}
            for name in {**before, **after}
            if before.get(name) != after.get(name)
        ]
        for change in changes:
            print(orjson.dumps(change).decode() if json else _change(change))

    _with_reader(told)


# --- asking ----------------------------------------------------------------------------------


def _kind(name: str) -> type[Aggregate]:
    """The kind of this name, in the singular or as paths have it."""
    found = SINGULAR.get(name)
    if found is None and name in set(Resource):
        found = KINDS[Resource(name)]
    if found is None:
        raise typer.BadParameter(f"there is no {name}; there are {', '.join(SINGULAR)}")
    return found


def moment_of(given: str) -> int | datetime:
    """A position of the ledger, or a moment; what is neither is refused."""
    if given.isdecimal() and int(given) <= LAST:
        return int(given)
    try:
        return text_time(TypeAdapter(Rfc3339).validate_python(given))
    except ValidationError:
        raise typer.BadParameter(
            f"{given} is neither a position nor a moment like 2026-03-02T09:00:00Z"
        ) from None


async def _row(
    club: Club, kind: type[Aggregate], number: int, moment: int | datetime
) -> dict[str, Any]:
    if kind.TOPIC not in ROWS:
        raise NotFound(what="row of", id=kind.TOPIC)
    was = await row_then(club.past, club.reads, moment, ROWS[kind.TOPIC], number)
    row: dict[str, Any] = orjson.loads(was.body)
    return row


async def _row_or_none(
    club: Club, kind: type[Aggregate], number: int, moment: int | datetime
) -> dict[str, Any] | None:
    try:
        return await _row(club, kind, number, moment)
    except NotFound:
        return None


async def _every(
    page: Callable[[str | None], Awaitable[PageOf]],
) -> AsyncIterator[dict[str, Any]]:
    """The entries of all pages, one page at a time."""
    after = None
    while True:
        found = await page(after)
        for entry in found.entries:
            yield entry
        if found.after is None:
            return
        after = found.after


def _with_reader(work: Callable[[Club], Awaitable[None]]) -> None:
    """Do it, as long as somebody reads what is printed: `| head` is no fault."""

    async def read(club: Club) -> None:
        with until_nobody_reads():
            await work(club)

    with_club(read)


@contextmanager
def until_nobody_reads() -> Iterator[None]:
    """Print as long as somebody reads it."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still to be written goes nowhere, also at the end of the program.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# --- printing --------------------------------------------------------------------------------


class _Lines:
    """Entry by entry as JSON, for programs."""

    def add(self, entry: dict[str, Any]) -> None:
        """Print it."""
        print(orjson.dumps(entry).decode())

    def end(self) -> None:
        """Everything is printed."""


class _PagesOfATable:
    """A table for people, printed a page at a time, so that a long one needs no memory."""

    COLUMNS: Sequence[str] = ()

    def __init__(self) -> None:
        self._rows: list[Sequence[str]] = []

    def row(self, entry: dict[str, Any]) -> Sequence[str]:
        """What is shown of an entry."""
        raise NotImplementedError

    def add(self, entry: dict[str, Any]) -> None:
        """Take it up, and print what there is from time to time."""
        self._rows.append(self.row(entry))
        if len(self._rows) == AT_ONCE:
            self.end()

    def end(self) -> None:
        """Print what is left."""
        table = Table(*self.COLUMNS, box=None, pad_edge=False)
        for row in self._rows:
            table.add_row(*(Text(cell) for cell in row))
        if self._rows:
            _show(table)
        self._rows = []


class _HistoryTable(_PagesOfATable):
    COLUMNS = ("position", "when", "what", "who", "from what to what")

    def row(self, entry: dict[str, Any]) -> Sequence[str]:
        lines = [_change(change) for change in entry["changes"]]
        lines += [f"{_words(name)}: {_said(fact)}" for name, fact in entry["facts"].items()]
        lines += [f"{_words(name)}: (not shown)" for name in entry["withheld"]]
        return (*_head(entry), entry["actor"], "\n".join(lines))


class _LogTable(_PagesOfATable):
    COLUMNS = ("position", "when", "what", "who", "of", "command", "conversation")

    def row(self, entry: dict[str, Any]) -> Sequence[str]:
        of = entry["subject"] or entry["resource"]
        more = (of, entry["command"], entry["correlation_id"])
        return (*_head(entry), entry["actor"], *more)


def _head(entry: dict[str, Any]) -> tuple[str, str, str]:
    what = entry["said"] or f"{entry['type']}: {entry['unreadable']}"
    return str(entry["position"]), _said(entry["recorded_at"]), what


def _grow(tree: Tree, caused: Sequence[dict[str, Any]]) -> None:
    for entry in caused:
        of = entry["subject"] or entry["resource"]
        position, when, what = _head(entry)
        _grow(tree.add(Text(f"{position}  {when}  {of}: {what}")), entry["caused"])


def _change(change: dict[str, Any]) -> str:
    name, after = _words(change["field"]), _said(change["after"])
    if change["before"] is None:
        return f"{name}: {after}"
    return f"{name}: {_said(change['before'])} → {after}"


def _words(name: str) -> str:
    """A field as people call it: `phone number`, `membership`."""
    return name.removesuffix("_id").replace("_", " ")


def _said(fact: Any) -> str:
    """A fact as people say it: `on hold` for ON_HOLD, a moment to the second."""
    if fact is None:
        return "nothing"
    if isinstance(fact, bool):
        return "yes" if fact else "no"
    text = str(fact)
    if text.isupper() and text.replace("_", "").isalpha():
        return text.replace("_", " ").lower()
    if len(text) == len("2026-03-02T09:00:00.000000Z") and text[10] == "T" and text[-1] == "Z":
        return f"{text[:10]} {text[11:19]}Z"
    return text


def _show(what: Table | Tree) -> None:
    """Print it as wide as the terminal; where there is none, as wide as it takes."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDE
    printed = io.StringIO()
    Console(file=printed, width=width, highlight=False).print(what)
    print("\n".join(line.rstrip() for line in printed.getvalue().splitlines()))
