"""`club audit export` and `import`: the whole ledger as a file, and a club from one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
import uvloop

from application.access import THE_CLUB
from domain.audit import Made
from infra.bootstrap import Club, import_club
from infra.files import clear_drafts, whole_file
from infra.following.sealing import KeyLost
from infra.ledger import feed
from infra.ledger.exporting import compressed, export
from infra.ledger.feed import Unreadable
from infra.proofs.heads import BesideTheKey
from interfaces.cli.opening import in_plain_words, note, settings, tell, with_club
from interfaces.cli.proofs import KeyFiles, believed_keys
from interfaces.cli.together import progress_bar


def export_ledger(
    out: Annotated[
        Path | None, typer.Option(help="where to write it", show_default="standard output")
    ] = None,
    gzip: Annotated[bool, typer.Option("--gzip", help="compress it")] = False,
) -> None:
    """Write every event as a line of JSON, with a signed manifest; the same to the byte each time.

    Passwords' hashes and personal data are in it: keep it as you keep the club itself.
    """

    async def exported(club: Club) -> int:
        with progress_bar("events") as progress, _written(out) as file, ExitStack() as inner:
            if (key := await club.sealing_key()) is None:
                raise KeyLost
            if not await _is_noted(club):
                await note(club, NOTE)
            task = progress.add_task("events", total=await club.ledger.head())
            async with await club.postgres.connect() as connection:
                return await export(
                    connection,
                    key,
                    compressed(file, inner) if gzip else file,
                    lambda events: progress.advance(task, events),
                    BesideTheKey(club.settings.home).last(),
                )

    count = with_club(exported, projecting=False, signing=True)
    tell(f"Exported {count} events.")


NOTE = "club audit export"
"""What is written down of an export, wherever it went."""


async def _is_noted(club: Club) -> bool:
    """Whether an export was the last thing that happened: another would be another file."""
    head = await club.ledger.head()
    async with await club.postgres.connect() as connection:
        try:
            ends_with = (await feed.after(connection, head - 1, 1)).events
        except Unreadable:  # it is of a newer release
            return False
    return any(
        isinstance(one.event, Made) and one.event.asked == NOTE and one.actor == THE_CLUB.actor
        for one in ends_with
    )


@contextmanager
def _written(out: Path | None) -> Iterator[BinaryIO]:
    """The file, which is there whole or not at all; without one, standard output."""
    if out is not None:
        clear_drafts(out)  # as large as a ledger
        with whole_file(out) as file:
            yield file
        return
    with os.fdopen(os.dup(1), "wb") as file:
        yield file


def import_ledger(
    file: Annotated[Path, typer.Argument(help="what `club audit export` wrote")],
    key_files: KeyFiles = [],  # noqa: B006 - typer hands over a new one
) -> None:
    """Make a club from an export, in an empty database; a file that was changed is refused."""
    found = settings()

    async def imported() -> int:
        with progress_bar("events") as progress:
            task = progress.add_task("events", total=None)
            return await import_club(
                found, file, keys, lambda events: progress.advance(task, events), tell
            )

    with in_plain_words():
        file.open("rb").close()  # else a club would be made before it is missed
        keys = believed_keys(found.home, key_files)
        print(f"Imported {uvloop.run(imported())} events.")
