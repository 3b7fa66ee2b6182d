"""Adds the definition of each group's generation that has none to `generations.json`.

    python -m tests.projections.record_generations

Run it when the generation of a group was raised, and commit the file. Lines are only ever added:
tables of a generation that was released once may be in somebody's database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from projections.catalogue import GROUPS
from projections.engine.model import Group

RECORDED = Path(__file__).with_name("generations.json")
COMMAND = "python -m tests.projections.record_generations"

Known = Mapping[tuple[str, int], str]
"""The definition of each generation of each group."""


def recorded() -> Known:
    """What was released, or is about to be."""
    lines = orjson.loads(RECORDED.read_bytes()) if RECORDED.exists() else []
    return {(name, generation): definition for name, generation, definition in lines}


def amiss(group: Group, known: Known) -> str:
    """What to do about a group, in a sentence; nothing where it is as it was recorded."""
    definition = known.get((group.name, group.generation))
    newest = max([number for name, number in known if name == group.name], default=0)
    if definition is None and group.generation > newest:
        return f"run `{COMMAND}`, and commit generations.json"
    if group.generation < newest:
        return (
            f"the generation of the group {group.name} only grows: it was {newest} already, "
            f"so make it {newest + 1}, and run `{COMMAND}`"
        )
    if definition != group.definition:
        return (
            f"what is in the tables of the group {group.name} changed: raise its `generation` in "
            f"projections/catalogue.py to {newest + 1}, and run `{COMMAND}` (where {newest} was "
            "never released, take its line out of generations.json instead, and run that)"
        )
    return ""


def added(groups: Sequence[Group], known: Known) -> Known:
    """The definitions of new generations; of a known one, no other is ever taken."""
    return {
        (group.name, group.generation): group.definition
        for group in groups
        if (group.name, group.generation) not in known
    }


def main() -> None:
    """Add the missing definitions."""
    known = recorded()
    new = added(GROUPS, known)
    lines = [[*key, definition] for key, definition in sorted({**known, **new}.items())]
    RECORDED.write_bytes(b"[\n" + b",\n".join(orjson.dumps(one) for one in lines) + b"\n]\n")
    for name, generation in new:
        print(f"added generation {generation} of {name}")


if __name__ == "__main__":
    main()
