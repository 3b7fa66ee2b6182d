"""Between events and stored bytes: the library reads ours, we read the library's, for ever."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from eventsourcing.persistence import DatetimeAsISO, JSONTranscoder, Mapper, StoredEvent
from hypothesis import given
from hypothesis import strategies as st

from application.repository import replay
from domain import upcasts
from domain.aggregate import CreatedEvent, Event
from infra.ledger.mapper import OrjsonTranscoder, UnreadableEvent, to_event, to_stored
from tests.infra.ledger.release_events import (
    Sample,
    event_classes,
    missing,
    released,
    version_of,
)

AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)

plain = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text()
facts = st.dictionaries(
    st.text().filter(lambda name: name != "timestamp"),
    plain | st.dictionaries(st.text(), plain) | st.lists(plain),
)


def of_the_library() -> JSONTranscoder:
    transcoder = JSONTranscoder()
    transcoder.register(DatetimeAsISO())
    return transcoder


class Moved(Event):
    """A test's event, in its second version: the first did not say how fast."""

    TOPIC = "test-thing.moved"
    class_version = 2
    to: str
    speed: int

    @staticmethod
    def upcast_v1_v2(state: dict[str, Any]) -> None:
        state["speed"] = 1


def stored(topic: str, **state: Any) -> tuple[str, int, str, bytes]:
    return "test-thing-1", 2, topic, OrjsonTranscoder().encode({"timestamp": AT, **state})


# --- the form ----------------------------------------------------------------------------------


@given(facts, st.datetimes(timezones=st.just(UTC)))
def test_our_bytes_are_the_librarys_bytes(state: dict[str, Any], at: datetime) -> None:
    state = {"timestamp": at, **state}
    ours, theirs = OrjsonTranscoder(), of_the_library()
    assert ours.encode(state) == theirs.encode(state)
    assert ours.decode(theirs.encode(state)) == state
    assert theirs.decode(ours.encode(state)) == state


def test_numbers_as_keys_become_text_as_they_do_in_the_library() -> None:
    state = {"timestamp": AT, "by_number": {1: "one"}}
    assert OrjsonTranscoder().encode(state) == of_the_library().encode(state)


@pytest.mark.parametrize("value", [object(), b"bytes", 1.5j, {1, 2}])
def test_what_is_no_plain_fact_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        OrjsonTranscoder().encode({"timestamp": AT, "fact": value})


# --- versions ----------------------------------------------------------------------------------


def test_an_older_event_is_upcast() -> None:
    event = to_event(*stored(Moved.TOPIC, to="Rome"))
    assert vars(event) == {
        "originator_id": "test-thing-1",
        "originator_version": 2,
        "timestamp": AT,
        "to": "Rome",
        "speed": 1,
    }


def test_an_event_of_the_newest_version_is_left_as_it_is() -> None:
    event = to_event(*stored(Moved.TOPIC, to="Rome", speed=9, class_version=2))
    kept = to_stored(event)
    assert orjson.loads(kept.state)["class_version"] == 2
    assert to_event("test-thing-1", 2, kept.topic, kept.state) == event


@pytest.mark.parametrize("topic", [Moved.TOPIC, "client.activated"])
def test_an_event_newer_than_the_code_is_refused(topic: str) -> None:
    newer = stored(topic, to="Rome", speed=9, class_version=3)
    with pytest.raises(UnreadableEvent, match="it is stored in version 3; this release knows"):
        to_event(*newer)


def test_the_words_class_version_in_a_text_mean_nothing() -> None:
    event = to_event(*stored(Moved.TOPIC, to='{"class_version": 9}', speed=9, class_version=2))
    kept = to_stored(event)
    assert to_event("test-thing-1", 2, kept.topic, kept.state) == event


def test_upcasts_are_one_list_and_each_version_before_todays_has_one() -> None:
    named = {
        (kind.TOPIC, name): vars(kind)[name].__func__
        for kind in CLASSES.values()
        for name in vars(kind)
        if name.startswith("upcast_")
    }
    assert named.keys() == {
        (topic, f"upcast_v{version}_v{version + 1}")
        for topic, kind in CLASSES.items()
        for version in range(1, version_of(kind))
    }
    listed = {one for one in vars(upcasts).values() if getattr(one, "__module__", "") == LIST}
    assert set(named.values()) == {one for one in listed if callable(one)}


def test_every_version_ever_released_has_a_sample() -> None:
    there = {(sample["topic"], sample["class_version"]) for sample in SAMPLES}
    assert there == {
        (topic, version)
        for topic, kind in CLASSES.items()
        for version in range(1, version_of(kind) + 1)
    }


# --- every version ever released ---------------------------------------------------------------

SAMPLES = released()
CLASSES = {kind.TOPIC: kind for kind in event_classes()}
LIST = upcasts.__name__


def load(sample: Sample, version: int) -> Event:
    stream = f"{sample['topic'].partition('.')[0]}-1"
    return to_event(stream, version, sample["topic"], orjson.dumps(sample["state"]))


def name_of(sample: Sample) -> str:
    return f"{sample['topic']} v{sample['class_version']}"


def test_every_event_that_can_be_recorded_has_a_released_sample() -> None:
    absent = [f"{kind.TOPIC} v{version_of(kind)}" for kind in missing()]
    assert absent == [], "run `python -m tests.infra.ledger.release_events`, and commit"


def test_each_version_was_released_once_and_its_event_is_still_known() -> None:
    names = [name_of(one) for one in SAMPLES]
    assert sorted(set(names)) == sorted(names)
    assert {one["topic"] for one in SAMPLES} == set(CLASSES)


@pytest.mark.parametrize("one", SAMPLES, ids=name_of)
def test_a_released_event_loads_with_the_fields_of_today(one: Sample) -> None:
    kind = CLASSES[one["topic"]]
    event = load(one, version=1)
    assert type(event) is kind
    assert set(vars(event)) == {field.name for field in fields(kind)}  # type: ignore[arg-type]
    assert event.timestamp.tzinfo is not None


@pytest.mark.parametrize(
    "one",
    [s for s in SAMPLES if s["class_version"] == version_of(CLASSES[s["topic"]])],
    ids=name_of,
)
def test_an_event_of_today_is_written_as_it_was_released(one: Sample) -> None:
    event = load(one, version=1)
    assert orjson.loads(to_stored(event).state) == one["state"]


@pytest.mark.parametrize("one", SAMPLES, ids=name_of)
def test_a_released_event_reads_the_same_in_the_stock_library(one: Sample) -> None:
    state = orjson.dumps(one["state"])
    theirs: Mapper[str] = Mapper(of_the_library())
    kept = StoredEvent("test-thing-1", 1, one["topic"], state)
    assert theirs.to_domain_event(kept) == to_event("test-thing-1", 1, one["topic"], state)


@pytest.mark.parametrize(
    "first", [s for s in SAMPLES if issubclass(CLASSES[s["topic"]], CreatedEvent)], ids=name_of
)
def test_a_history_of_released_events_is_replayed(first: Sample) -> None:
    kind = first["topic"].partition(".")[0]
    rest = [
        one
        for one in SAMPLES
        if one["topic"].partition(".")[0] == kind
        and not issubclass(CLASSES[one["topic"]], CreatedEvent)
    ]
    history = [load(one, version) for version, one in enumerate([first, *rest], start=1)]
    aggregate = replay(history)
    assert (aggregate.TOPIC, aggregate.version) == (kind, 1 + len(rest))
