"""Who looks into what happened to others, which is written down before they are answered."""

from __future__ import annotations

from dataclasses import dataclass

from application.command import Command
from application.work import Result, Work
from domain.audit import Reading

LONGEST_ASKED = 500
"""Characters of what was asked that are kept."""


@dataclass(frozen=True, slots=True)
class NoteReading(Command):
    """Write down that somebody asked for this."""

    asked: str


async def note_reading(command: NoteReading, work: Work) -> Result:
    """Called as the command is, of which there is one."""
    work.add(Reading.make(work.command_id, command.asked[:LONGEST_ASKED], work.at))
    return Result(None)
