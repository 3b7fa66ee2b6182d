"""`club replay`: the read tables from the ledger again; to exchange, to check, or to look back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from application.ports.ledger import LedgerUnavailable
from infra.bootstrap import Club
from infra.following.rebuilding import Rebuilt, rebuild
from infra.following.replaying import Checked, build_into, check, quoted
from interfaces.cli.audit import moment_of, until_nobody_reads
from interfaces.cli.opening import note, with_club
from projections.catalogue import GROUPS
from projections.engine.model import Group

DIFFERENT, NOT_COMPARED = 1, 2
"""The exit statuses of a check that does not find everything right."""

NAMED = {group.name: group for group in GROUPS}


def replay(
    group: Annotated[
        list[str] | None, typer.Argument(metavar="GROUP...", help="all, where none is named")
    ] = None,
    checking: Annotated[
        bool,
        typer.Option(
            "--check",
            help="exchange nothing; ends with 1 where rows differ, 2 where it cannot tell",
        ),
    ] = False,
    until: Annotated[
        str | None, typer.Option(metavar="MOMENT", help="as they were then (or at a position)")
    ] = None,
    into: Annotated[
        str | None, typer.Option(metavar="SCHEMA", help="the new schema in which those are built")
    ] = None,
) -> None:
    """Build read tables again from the ledger, beside those in use, while the club stays open."""
    groups = [_named(name) for name in group or NAMED]
    if (until is None) != (into is None) or (checking and until is not None):
        raise typer.BadParameter("--until and --into belong together, and not to --check")
    if until is not None and into is not None:
        _look_back(groups, until, into)
    elif checking:
        _check(groups)
    else:
        _exchange(groups)


def _named(name: str) -> Group:
    if name not in NAMED:
        raise typer.BadParameter(f"there is no group {name}; there are {', '.join(NAMED)}")
    return NAMED[name]


def _exchange(groups: Sequence[Group]) -> None:
    done: dict[str, Rebuilt] = {}

    async def exchange(club: Club) -> None:
        with _progress(len(groups) * await club.ledger.head()) as advance:
            for group in groups:
                done[group.name] = await rebuild(club.postgres, group, advance)

    try:
        with_club(exchange, building=True)
    finally:
        # Also where a later one failed: these are in use.
        for name, one in done.items():
            print(f"{name}: built from {one.events} events, up to position {one.position}.")
            for table in one.differing:
                print(f"  {table} was not what the ledger says; now it is.")


def _check(groups: Sequence[Group]) -> None:
    done: dict[str, Checked] = {}

    async def compare(club: Club) -> None:
        await _note(club)
        with _progress(len(groups) * await club.ledger.head()) as advance:
            for group in groups:
                done[group.name] = await check(club.postgres, group, advance)

    try:
        with_club(compare)
    except typer.Exit:
        raise typer.Exit(NOT_COMPARED) from None
    finally:
        with until_nobody_reads():
            for name, one in done.items():
                _tell(name, one)
    if any(one.differing for one in done.values()):
        raise typer.Exit(DIFFERENT)


def _tell(name: str, done: Checked) -> None:
    """What a check found, for people."""
    said = ", ".join(done.differing) or "nothing"
    print(f"{name}: {done.events} events, up to position {done.position}: {said} differs.")
    for one in done.first:
        where = " ".join(filter(None, [one.table, one.key, one.column]))
        print(f"  {where}: is {one.found}, should be {one.due}")


def _look_back(groups: Sequence[Group], until: str, into: str) -> None:
    then = moment_of(until)

    async def build(club: Club) -> int:
        position = await club.past.whole(then)
        await _note(club)
        with _progress(len(groups) * position) as advance:
            await build_into(club.postgres, groups, into, position, advance)
        return position

    position = with_club(build)
    print(f"The schema {quoted(into)} has the tables as they were at position {position}.")
    print(f"DROP SCHEMA {quoted(into)} CASCADE takes it away.")


async def _note(club: Club) -> None:
    """Write down who looks, where the club can be written to: it is also looked at where not."""
    with suppress(LedgerUnavailable):
        await note(club)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """How far it is, how fast, and how long it takes yet; on standard error."""
    columns = (
        TextColumn("events"),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("events", total=total)
        yield lambda events: progress.advance(task, events)


class _Speed(ProgressColumn):
    """Events a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.completed / (task.elapsed or 1):,.0f}/s")
