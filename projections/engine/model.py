"""Read models, and the groups in which they advance.

A group has one position, one definition and one commit: tables that reference each other are in
one group, and a group that stands still, or is being built, holds up no other.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import re
import textwrap
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum, EnumMeta, StrEnum
from functools import cached_property
from types import CodeType, FunctionType
from typing import NamedTuple

from domain.recorded import Recorded
from projections.engine.table import Key, Operations, Row, Table

ENGINE = 2
"""To be raised when the engine writes other rows for the same operations."""


class Stepped(NamedTuple):
    """What one event makes of the row of a fold (None: it goes), and operations beside it."""

    row: Row | None
    beside: Operations = ()


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows that each follow from what they were before: the engine hands `step` the row so far.

    `key` tells which row an event is about, or None where it is about none.
    """

    table: Table
    key: Callable[[Recorded], Key | None]
    step: Callable[[Row | None, Recorded], Stepped]


@dataclass(frozen=True, slots=True)
class LookingFold:
    """A fold whose steps look at a row of another one, too, as it is at the event."""

    table: Table
    key: Callable[[Recorded], Key | None]
    step: Callable[[Row | None, Recorded, Row | None], Stepped]
    other: Table
    """The table of a fold of the same group."""
    looks_at: Callable[[Recorded], Key | None]


AnyFold = Fold | LookingFold


@dataclass(frozen=True)
class ReadModel:
    """What is shown of some kinds of aggregates: tables, and what their events mean for them."""

    name: str
    listens_to: tuple[str, ...]
    """The kinds of aggregates: `client`, `payment`."""
    tables: tuple[Table, ...]
    """Each after those that it references."""
    project: Callable[[Recorded], Operations] | None = None
    folds: tuple[AnyFold, ...] = ()


@dataclass(frozen=True)
class Group:
    """Read models that advance together."""

    name: str
    generation: int
    """A number that only grows: to be raised with every change of what is in the tables."""
    models: tuple[ReadModel, ...]
    types: Mapping[str, type[StrEnum]] = field(default_factory=dict)
    """The enumerated types that the tables use."""

    @cached_property
    def tables(self) -> tuple[Table, ...]:
        """Every table, each after those that it references."""
        return tuple(table for model in self.models for table in model.tables)

    @cached_property
    def kinds(self) -> frozenset[str]:
        """The kinds of aggregates that any of the read models listens to."""
        return frozenset(kind for model in self.models for kind in model.listens_to)

    @cached_property
    def folds(self) -> tuple[AnyFold, ...]:
        """Every fold."""
        return tuple(fold for model in self.models for fold in model.folds)

    @cached_property
    def folds_of(self) -> dict[str, tuple[AnyFold, ...]]:
        """What steps with an event, by the kind of its aggregate."""
        return {
            kind: tuple(
                fold for model in self.models if kind in model.listens_to for fold in model.folds
            )
            for kind in self.kinds
        }

    @cached_property
    def projects(self) -> dict[str, tuple[Callable[[Recorded], Operations], ...]]:
        """What is to be called for an event, by the kind of its aggregate."""
        return {
            kind: tuple(
                model.project
                for model in self.models
                if model.project is not None and kind in model.listens_to
            )
            for kind in self.kinds
        }

    @cached_property
    def definition(self) -> str:
        """A digest of the tables, and of the source of all that fills them.

        Tables of another definition hold rows that this code would not have written.
        """
        described = repr(
            (
                ENGINE,
                [(name, [*values]) for name, values in self.types.items()],
                [(m.name, m.listens_to, m.tables) for m in self.models],
                list(_sources(self.models)),
            )
        )
        return hashlib.sha256(described.encode()).hexdigest()


def _sources(models: Iterable[ReadModel]) -> Iterator[str]:
    """The source of all that makes rows, by name, so that no Python orders it anew."""
    found: dict[str, str] = {}
    for model in models:
        waiting: list[object] = [model.project]
        for fold in model.folds:
            waiting += [fold.key, fold.step]
            if isinstance(fold, LookingFold):
                waiting.append(fold.looks_at)
        for function in waiting:
            _take(function, found)
    return (f"{name}:{found[name]}" for name in sorted(found))


def _take(function: object, found: dict[str, str]) -> None:
    """The function, the plain values that it names, and the functions beside it that it calls."""
    if not isinstance(function, FunctionType):
        return
    name = f"{function.__module__}.{function.__qualname__}"
    room = function.__module__.partition(".")[0]
    if name in found or room == "domain":
        return
    found[name] = _words(function)
    for called in _names(function.__code__):
        helper = function.__globals__.get(called)
        if isinstance(helper, FunctionType) and helper.__module__.partition(".")[0] == room:
            _take(helper, found)
        elif (value := _value(helper, room)) is not None:
            found[f"{name}.{called}"] = value


def _value(value: object, room: str) -> str | None:
    """A plain value, or some of them, in words that no Python orders anew; None of anything else.

    Of enumerations beside the function, all members are; of other classes, it is which they are.
    """
    match value:
        case Enum():
            return f"{value.name}={value.value!r}"
        case str() | int() | float() | Decimal() | date() | timedelta():
            return repr(value)
        case re.Pattern():
            return f"{value.pattern!r} {value.flags}"
        case tuple() | list() | Set() | Mapping():
            values = value.items() if isinstance(value, Mapping) else value
            return _values(values, room, unordered=not isinstance(value, tuple | list))
        case EnumMeta() if value.__module__.partition(".")[0] == room:
            return _values(value, room)
    return None


def _values(values: Iterable[object], room: str, *, unordered: bool = False) -> str | None:
    words: list[str] = []
    for one in values:
        if isinstance(one, type):
            word: str | None = f"{one.__module__}.{one.__qualname__}"
        else:
            word = _value(one, room)
        if word is None:
            return None
        words.append(word)
    return f"({', '.join(sorted(words) if unordered else words)})"


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _names(const)


_SAY_NOTHING = {tokenize.COMMENT, tokenize.NL}
_END_A_LINE = {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def _words(function: FunctionType) -> str:
    """Its source without comments, docstrings, blanks and line ends."""
    words: list[str] = []
    begins = True
    for kind, word in _tokens(textwrap.dedent(inspect.getsource(function))):
        if kind in _SAY_NOTHING:
            continue
        ends = kind in _END_A_LINE
        if not ends and not (begins and kind == tokenize.STRING):
            words.append(word)
        begins = ends
    return "".join(words)


_FORMATTED_BEGINS = getattr(tokenize, "FSTRING_START", -1)
_FORMATTED_ENDS = getattr(tokenize, "FSTRING_END", -1)


def _tokens(source: str) -> Iterator[tuple[int, str]]:
    """Each token's type and text; a formatted text is one token, as it is up to Python 3.11."""
    lines = list(io.StringIO(source))
    within: list[tuple[int, int]] = []
    for token in tokenize.generate_tokens(iter(lines).__next__):
        if token.type == _FORMATTED_BEGINS:
            within.append(token.start)
        elif token.type == _FORMATTED_ENDS:
            begin = within.pop()
            if not within:
                yield tokenize.STRING, _between(lines, begin, token.end)
        elif not within:
            yield token.type, token.string


def _between(lines: list[str], begin: tuple[int, int], end: tuple[int, int]) -> str:
    (first, left), (last, right) = begin, end
    if first == last:
        return lines[first - 1][left:right]
    return "".join([lines[first - 1][left:], *lines[first : last - 1], lines[last - 1][:right]])
