"""`club exercises import`: a public-domain catalogue, in the club's words."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from interfaces.cli.free_exercise_db import Unreadable, read
from interfaces.cli.invention import exercises as invented
from tests.interfaces.cli.conftest import CommandLine

SAMPLE = Path(__file__).with_name("sample_exercises.json")
WHOLE = Path(
    os.environ.get("CLUB_EXERCISES_FILE")
    or Path(__file__).parents[4] / "shared" / "data" / "exercises.json"
)
TABLE = """
SELECT title, description, muscle_group::text, equipment_required, complexity_lvl::text
FROM exercises ORDER BY title
"""


def test_muscles_levels_and_equipment_become_the_documented_columns(
    command_line: CommandLine,
) -> None:
    imported = command_line.run("exercises", "import", str(SAMPLE))
    assert imported.returncode == 0
    assert imported.stdout == "Added 3 exercises, 0 were there already, 2 refused.\n"
    assert command_line.rows(TABLE) == [
        ("Invented doorway lean", None, "HIPS", False, "INTERMEDIATE"),
        (
            "Invented lantern squat",
            "Hold the lantern level.\nSit down and stand up again.",
            "LEGS",
            True,
            "BEGINNER",
        ),
        ("Invented quiet crunch", "Do it so that nobody hears.", "CORE", False, "EXPERT"),
    ]


def test_what_cannot_be_taken_is_refused_one_by_one_by_name(command_line: CommandLine) -> None:
    refused = command_line.run("exercises", "import", str(SAMPLE)).stderr
    assert refused_lines(refused) == [
        "Refused: Invented exercise with a title of fifty-one letters: "
        "title: String should have at most 50 characters.",
        "Refused: Invented tail wag: 'tail' is not one of the format's words.",
    ]


def test_a_second_import_adds_nothing(command_line: CommandLine) -> None:
    command_line.run("exercises", "import", str(SAMPLE))
    ((head,),) = command_line.rows("SELECT max(notification_id) FROM ledger_events")
    again = command_line.run("exercises", "import", str(SAMPLE))
    assert again.returncode == 0
    assert again.stdout == "Added 0 exercises, 3 were there already, 2 refused.\n"
    assert command_line.rows("SELECT max(notification_id) FROM ledger_events") == [(head,)]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read: No such file or directory."),
        ("", "is not JSON: "),
        ("[1, 2", "is not JSON: "),
        ('{"exercises": []}', "is not a list of exercises."),
        ("[1, 2, 3]", "is not a list of exercises."),
        ('[{"name": "Invented"}, {"title": "other"}]', "number 2 has no name."),
    ],
)
def test_another_file_is_refused_in_a_sentence(
    tmp_path: Path, content: str | None, sentence: str
) -> None:
    file = tmp_path / "exercises.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(Unreadable) as refused:
        read(file)
    assert str(refused.value).startswith(str(file))
    assert sentence in str(refused.value)


def test_a_file_that_cannot_be_read_ends_the_command_with_2(
    command_line: CommandLine, tmp_path: Path
) -> None:
    imported = command_line.run("exercises", "import", str(tmp_path))
    assert (imported.returncode, imported.stdout) == (2, "")
    assert imported.stderr == f"{tmp_path} cannot be read: Is a directory.\n"


@pytest.mark.skipif(
    not WHOLE.exists(),
    reason="the public-domain catalogue is not beside this checkout (CLUB_EXERCISES_FILE names it)",
)
def test_the_whole_public_catalogue_but_for_titles_that_are_too_long(
    command_line: CommandLine,
) -> None:
    titles = [exercise["name"] for exercise in json.loads(WHOLE.read_bytes())]
    too_long = [title for title in titles if len(title) > 50]
    assert (len(titles), len(too_long)) == (873, 9)
    imported = command_line.run("exercises", "import", str(WHOLE))
    assert imported.returncode == 0
    assert imported.stdout == "Added 864 exercises, 0 were there already, 9 refused.\n"
    told = [line.removeprefix("Refused: ") for line in refused_lines(imported.stderr)]
    why = "title: String should have at most 50 characters."
    assert told == [f"{title}: {why}" for title in too_long]
    found = {title for (title,) in command_line.rows("SELECT title FROM exercises")}
    assert found == set(titles) - set(too_long)
    again = command_line.run("exercises", "import", str(WHOLE))
    assert again.stdout == "Added 0 exercises, 864 were there already, 9 refused.\n"
    # So that the demo and the catalogue do not get into each other's way.
    assert not {exercise.title.casefold() for exercise in invented()} & {
        title.casefold() for title in titles
    }


def refused_lines(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if line.startswith("Refused: ")]
