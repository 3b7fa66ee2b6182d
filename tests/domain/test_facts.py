"""Each field of each event says whom it is about."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, get_type_hints

import pytest
from eventsourcing import utils

import domain
from domain import clients, payments, reservations, users
from domain.aggregate import Event
from domain.facts import Declared, Undeclared, declared, declared_frame, facts_of
from domain.privacy import DeclaredIn, Plain, Privacy
from tests.domain.scenario import START, text


def every_event() -> list[type[Event]]:
    """Every class of events, also those that others are made of, and whatever is registered."""

    def below(kind: type[Event]) -> Iterator[type[Event]]:
        yield kind
        for one in kind.__subclasses__():
            yield from below(one)

    for module in iter_modules(domain.__path__):
        import_module(f"domain.{module.name}")
    registered = [one for one in utils._topic_cache.values() if isinstance(one, type)]
    found = {*below(Event), *(one for one in registered if issubclass(one, Event))}
    ours = [one for one in found if not one.__module__.startswith("tests.")]
    return sorted(ours, key=lambda one: (one.__module__, one.__qualname__))


@pytest.mark.parametrize("kind", every_event(), ids=lambda one: f"{one.__module__}.{one.__name__}")
def test_each_field_says_whom_it_is_about(kind: type[Event]) -> None:
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    said = {**declared(kind), **declared_frame(kind)}
    assert names - {"changes"} <= said.keys()
    if "changes" not in names:
        assert said.keys() == names
    assert all(isinstance(one.privacy, Privacy) for one in said.values())


def test_a_field_that_says_nothing_is_refused_by_name() -> None:
    class Whispered(Event):
        loudly: Plain[bool]
        words: str | None

    class Rumoured(Event):
        changes: dict[str, Any]

    with pytest.raises(Undeclared, match=r"Whispered\.words$"):
        declared(Whispered)
    with pytest.raises(Undeclared, match=r"Rumoured\.changes$"):
        declared(Rumoured)


def test_a_field_says_its_type_and_whom_it_is_about() -> None:
    said = declared(users.Registered)
    assert said["username"] == Declared(str, Privacy.OF_USER)
    assert said["password_hash"] == Declared(str, Privacy.SECRET)
    assert said["role"] == Declared(str, Privacy.PLAIN)
    assert declared(clients.Registered)["weight_kg"] == Declared(str | None, Privacy.OF_CLIENT)
    assert declared(users.RoleChanged)["origin"] == Declared(str, Privacy.OF_CALLER)


def test_facts_that_change_are_declared_where_they_began() -> None:
    changed, began = declared(clients.DetailsChanged), declared(clients.Registered)
    assert changed == {name: began[name] for name in changed}
    assert began.keys() - changed.keys() == {"user_id", "membership_id", "status"}
    moment = declared(payments.Requested)["occurred_at"]
    assert declared(payments.DetailsChanged)["timestamp"] == moment


def test_a_change_is_declared_by_an_event_of_its_own_kind() -> None:
    changing = {
        kind: there
        for kind in every_event()
        for hint in get_type_hints(kind, include_extras=True).values()
        for there in getattr(hint, "__metadata__", ())
        if isinstance(there, DeclaredIn)
    }
    assert len(changing) == 8
    for kind, there in changing.items():
        assert there.event.__module__ == kind.__module__, kind


def test_a_name_means_the_same_in_all_events_of_a_kind() -> None:
    meant: dict[tuple[str, str], set[Privacy]] = defaultdict(set)
    for kind in every_event():
        for name, said in declared(kind).items():
            meant[kind.__module__, name].add(said.privacy)
    assert {where for where, said in meant.items() if len(said) > 1} == set()


def test_the_facts_of_a_change_are_those_that_changed() -> None:
    payment = payments.Payment.request(1, 2, 3, occurred_at=START, at=START)
    payment.change_details({"membership_id": 4, "timestamp": text(START)}, START)
    payment.change_details({"timestamp": "2026-01-01T00:00:00.000000Z"}, START)
    requested, *changed = payment.pending_events
    assert isinstance(requested, Event)
    assert facts_of(requested) == {
        "client_id": 2,
        "membership_id": 3,
        "occurred_at": text(START),
        "amount": None,
    }
    assert [facts_of(one) for one in changed if isinstance(one, Event)] == [
        {"membership_id": 4},
        {"timestamp": "2026-01-01T00:00:00.000000Z"},
    ]


def test_the_id_of_a_reservation_is_personal_for_it_is_a_digest() -> None:
    for kind in every_event():
        digest = kind.__module__ == reservations.__name__
        expected = Privacy.OF_USER if digest else Privacy.PLAIN
        assert declared_frame(kind)["originator_id"].privacy is expected, kind
