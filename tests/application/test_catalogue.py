"""What can be asked is written down once, and all that is written down can be done."""

from __future__ import annotations

from dataclasses import fields

from application import handlers, policies
from application.access import RULES, Permission
from application.as_it_was import ROWS_THEN
from application.askable import Answer
from application.catalogue import AT_THE_DOOR, COMMANDS, FIGURES, LISTS, PAST, ROWS, permission_for
from application.command import Command
from application.handlers import ASKED, FOLLOWING, HANDLERS
from application.ports.queries import View
from projections.views import LISTINGS

ABOUT_FACTS = {
    Permission.HEALTH_DETAILS,
    Permission.PAGE_LINKS_REVOKE,
    Permission.USERS_SET_ROLE,
    Permission.CLIENTS_DECIDE,
    Permission.PAYMENTS_SETTLE,
    Permission.PROVIDERS_KEEP,
}
"""What is decided within commands, or at the machine; nothing is asked under these names."""


def test_what_can_be_asked_is_what_is_handled_for_those_who_ask() -> None:
    assert {entry.command for entry in COMMANDS.values()} == ASKED.keys()


def test_what_follows_from_events_can_be_asked_by_nobody() -> None:
    followed = {
        kind
        for kind in vars(policies).values()
        if isinstance(kind, type) and issubclass(kind, Command) and kind is not Command
    }
    assert followed == FOLLOWING.keys()
    assert not FOLLOWING.keys() & ASKED.keys()


def test_each_command_is_handled_for_one_reason() -> None:
    parts = [part for name, part in vars(handlers).items() if name.isupper() and part != HANDLERS]
    assert sum(len(part) for part in parts) == len(HANDLERS)


def test_each_name_stands_for_one_thing() -> None:
    names = [*COMMANDS, *ROWS, *LISTS, *FIGURES, *PAST, *AT_THE_DOOR]
    assert len(set(names)) == len(names)


def test_a_command_is_made_of_its_numbers_and_its_body() -> None:
    for name, entry in COMMANDS.items():
        made_of = fields(entry.command)  # type: ignore[arg-type]
        assert len(made_of) == entry.numbers + (entry.body is not None), name
        assert all(field.name.endswith("_id") for field in made_of[: entry.numbers]), name
        assert (entry.body is None) == (entry.answer is Answer.DELETED), name


def test_every_permission_is_for_something_that_is_asked() -> None:
    names = [*COMMANDS, *ROWS, *LISTS, *FIGURES, *PAST, *AT_THE_DOOR]
    assert {permission_for(name) for name in names} == {None, *Permission} - ABOUT_FACTS


def test_every_view_can_be_asked_for() -> None:
    rows = {entry.view for entry in ROWS.values()}
    assert rows | {entry.view for entry in LISTS.values()} == set(View)


def test_a_list_is_sorted_and_held_within_what_its_view_has() -> None:
    for name, entry in LISTS.items():
        within = {column for held in entry.within.values() for column in held}
        named = {*entry.columns, *within, *([entry.by] if entry.by else [])}
        assert named <= LISTINGS[entry.view].columns.keys(), name


def test_a_row_is_of_the_kind_and_the_key_of_its_view() -> None:
    for name, entry in ROWS.items():
        assert LISTINGS[entry.view].kind == entry.kind.TOPIC, name
        found_without = name in {"read-rules", "read-me", "read-subscriptions"}
        assert entry.numbers == (0 if found_without else len(LISTINGS[entry.view].keys)), name


def test_every_row_is_found_as_it_was() -> None:
    assert ROWS_THEN.keys() == ROWS.keys()


def test_the_rows_of_ones_own_thing_are_for_those_who_may_read_it() -> None:
    of = {name: entry.of for name, entry in LISTS.items() if entry.of}
    assert of
    for name, thing in of.items():
        permission = permission_for(name)
        assert permission is not None
        assert RULES[ROWS[thing].permission].own >= RULES[permission].own, name
