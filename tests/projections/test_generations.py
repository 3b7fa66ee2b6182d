"""A group of read tables has another generation wherever it has another definition."""

from __future__ import annotations

import inspect
import io
import os
import re
import subprocess
import sys
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from tokenize import TokenInfo
from typing import Any

import pytest

from domain.recorded import Recorded
from projections.catalogue import GROUPS
from projections.engine import model
from projections.engine.model import Group, ReadModel
from projections.engine.table import Operations, Put, Table
from tests.projections.record_generations import COMMAND, added, amiss, recorded

# --- what was recorded ---------------------------------------------------------------------------


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_what_is_in_the_tables_is_what_was_recorded_for_their_generation(group: Group) -> None:
    what_to_do = amiss(group, recorded())
    assert not what_to_do, what_to_do


def test_it_is_said_what_to_do() -> None:
    now = Group("things", 2, (ReadModel("things", ("thing",), (THINGS,), project),))
    as_recorded = {("things", 1): "older", ("things", 2): now.definition}
    assert amiss(now, as_recorded) == ""
    assert amiss(now, {("things", 1): "older"}) == f"run `{COMMAND}`, and commit generations.json"
    changed = amiss(replace(now, models=()), as_recorded)
    assert "raise its `generation` in projections/catalogue.py to 3" in changed
    lowered = amiss(replace(now, generation=1), as_recorded)
    assert "it was 2 already, so make it 3" in lowered


def test_what_was_recorded_is_never_recorded_anew() -> None:
    now = Group("things", 2, ())
    assert added([now], {("things", 2): "another"}) == {}
    assert added([now], {("things", 1): "older"}) == {("things", 2): now.definition}


# --- what a definition is made of ----------------------------------------------------------------

THINGS = Table("things", key=("id",), columns="id integer NOT NULL, title text NOT NULL")

SOURCE = '''
def project(recorded):
    """What an event of a thing means for the table."""
    row = {
        "id": recorded.event.number,
        "title": f"{recorded.event.title}!",
    }
    yield Put(THINGS, row)
'''


def project(recorded: Recorded) -> Operations:
    yield Put(THINGS, {"id": recorded.event.number})


@pytest.fixture
def defined_by(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """The definition of a group whose projector has this source."""

    def definition(source: str) -> str:
        monkeypatch.setattr(inspect, "getsource", lambda _: source)
        return Group("things", 1, (ReadModel("things", ("thing",), (THINGS,), project),)).definition

    return definition


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ('"title": f', '"name": f'),
        ("event.title}!", "event.title}?"),
        ("event.number", "position"),
        ("yield Put(THINGS, row)", "return\n    yield Put(THINGS, row)"),
    ],
)
def test_other_rows_are_another_definition(
    defined_by: Callable[[str], str], written: str, instead: str
) -> None:
    assert written in SOURCE
    assert defined_by(SOURCE.replace(written, instead)) != defined_by(SOURCE)


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ("What an event of a thing means", "What it means"),
        ("    row = {", "    # one row\n\n    row = {"),
        ('        "title"', '        # as it is shown\n\n        "title"'),
        ('{\n        "id"', '{"id"'),
    ],
)
def test_other_words_and_lines_are_none(
    defined_by: Callable[[str], str], written: str, instead: str
) -> None:
    assert written in SOURCE
    assert defined_by(SOURCE.replace(written, instead)) == defined_by(SOURCE)


class Size(StrEnum):
    SMALL = "small"


COUNTED: Any = None


def counting(recorded: Recorded) -> Operations:
    yield Put(THINGS, {"id": recorded.event.number, "counted": COUNTED})


def using(monkeypatch: pytest.MonkeyPatch, value: object) -> str:
    """The definition of a group whose projector uses a constant of this value."""
    monkeypatch.setitem(counting.__globals__, "COUNTED", value)
    return Group("things", 1, (ReadModel("things", ("thing",), (THINGS,), counting),)).definition


@pytest.mark.parametrize(
    ("value", "another"),
    [
        (((3600, "within_hour"), (86_400, "within_day")), ((60, "within_hour"), (86_400, "x"))),
        (frozenset({"PENDING", "FAILED"}), frozenset({"PENDING"})),
        ({"a": 1, "b": [2]}, {"a": 1, "b": [3]}),
        ({Recorded: "a"}, {Group: "a"}),
        ((Recorded, Group), (Recorded, ReadModel)),
        ([Size.SMALL], ["large"]),
        (Size, StrEnum("Size", {"SMALL": "small", "LARGE": "large"}, module=__name__)),
        (Decimal("1.0"), Decimal("1.00")),
        (timedelta(hours=1), timedelta(hours=2)),
        (re.compile("a"), re.compile("a", re.IGNORECASE)),
    ],
)
def test_another_constant_is_another_definition(
    monkeypatch: pytest.MonkeyPatch, value: object, another: object
) -> None:
    assert using(monkeypatch, value) != using(monkeypatch, another)


@pytest.mark.parametrize(
    ("value", "same"),
    [
        ({"a", "b", "c", "d"}, {"d", "c", "b", "a"}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (frozenset({Size.SMALL}), {Size.SMALL}),
    ],
)
def test_what_has_no_order_is_the_same_in_any(
    monkeypatch: pytest.MonkeyPatch, value: object, same: object
) -> None:
    assert using(monkeypatch, value) == using(monkeypatch, same)


def test_a_definition_is_the_same_whatever_sets_are_ordered_by() -> None:
    ask = "from projections.catalogue import GROUPS; print([g.definition for g in GROUPS])"
    told = {
        subprocess.run(
            [sys.executable, "-c", ask],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert told == {f"{[group.definition for group in GROUPS]}\n".encode()}


def test_a_formatted_text_in_parts_is_the_same_as_in_one(
    defined_by: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to Python 3.11 it is one token; from 3.12 on it is several, with others within."""
    whole = defined_by(SOURCE)
    tokens = list(tokenize.generate_tokens(io.StringIO(SOURCE).readline))

    def in_parts(_: object) -> Iterator[TokenInfo]:
        for token in tokens:
            if not token.string.startswith("f"):
                yield token
                continue
            (row, first), (_, last) = token.start, token.end
            for kind, begin, end in ((-2, first, first + 2), (tokenize.NAME, first + 3, last - 3)):
                yield TokenInfo(kind, "part", (row, begin), (row, end), token.line)
            yield TokenInfo(-3, "part", (row, last - 1), (row, last), token.line)

    monkeypatch.setattr(model, "_FORMATTED_BEGINS", -2)
    monkeypatch.setattr(model, "_FORMATTED_ENDS", -3)
    monkeypatch.setattr(tokenize, "generate_tokens", in_parts)
    assert defined_by(SOURCE) == whole
