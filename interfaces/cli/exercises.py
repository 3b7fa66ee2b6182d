"""`club exercises`: the catalogue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from application.exercises import AddExercise, ExerciseBody
from domain.reservations import ExerciseTitleTaken
from infra.bootstrap import Club
from interfaces.cli.free_exercise_db import Unreadable, read
from interfaces.cli.opening import ask, complain, with_club
from interfaces.cli.together import together

app = typer.Typer(help="The catalogue of exercises.", no_args_is_help=True)


@app.callback()
def exercises() -> None:
    """The catalogue of exercises."""


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="a JSON file in the format of free-exercise-db")],
) -> None:
    """Put the exercises of a file in the catalogue; those whose title is there stay as they are.

    What the club cannot take is refused by name, and the rest is added all the same.
    """
    try:
        entries = read(file)
    except Unreadable as fault:
        complain(str(fault))
        raise typer.Exit(2) from None
    bodies = [entry.body for entry in entries if entry.body is not None]
    added = with_club(lambda club: add(club, bodies))
    for entry in entries:
        if entry.body is None:
            complain(f"Refused: {entry.name}: {entry.refused}.")
    print(
        f"Added {added} exercises, {len(bodies) - added} were there already, "
        f"{len(entries) - len(bodies)} refused."
    )


async def add(club: Club, bodies: Sequence[ExerciseBody]) -> int:
    """Add those whose title is not taken, whoever has it; returns how many that were."""
    done: Counter[bool] = Counter()

    async def add_one(body: ExerciseBody) -> None:
        try:
            await ask(club, AddExercise(body))
            done[True] += 1
        except ExerciseTitleTaken:
            done[False] += 1

    await together(bodies, add_one, called="exercises")
    return done[True]
