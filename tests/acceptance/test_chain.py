"""A chain of clubs as it is run: publishers and workers, and whatever goes wrong beneath them."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from infra.chain.records import Record
from tests.chains import CLUB, PATIENCE, Chain, ask, private_chain, until
from tests.kafka import in_topic, put_in_topic
from tests.projections.histories import record, rich

CLUBS = 6
WORKERS = 3
HISTORIES = [rich(2500, seed=seed).events for seed in range(CLUBS)]
HANG_UP = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
POISON = """
INSERT INTO ledger_events (originator_id, originator_version, topic, state, notification_id,
    actor, command, command_id, correlation_id, causation_id)
SELECT 'client-999999', 1, 'client.of-tomorrow', '{}', max(notification_id) + 1, '', '', '', '', ''
FROM ledger_events
"""
STANDING = "SELECT club, reason, stands_at FROM chain_positions WHERE reason IS NOT NULL"


@pytest.fixture(scope="module")
def chain(server: str, template: str) -> Iterator[Chain]:
    """A chain of a few clubs, with a publisher each and three workers."""
    with private_chain(server, template, CLUBS) as made:
        for club in made.clubs:
            made.join(club)
            made.publish(club)
        made.kafka.stop()
        for _ in range(WORKERS):
            made.work()
        yield made


def add(chain: Chain, more: int) -> None:
    """Let every club have so many events more, each of a history of its own."""
    for history, club, head in zip(HISTORIES, chain.clubs, chain.heads(), strict=True):
        asyncio.run(record(club, history[head : head + more], head=head))


def said_by(chain: Chain, command: str) -> subprocess.CompletedProcess[str]:
    """What `club stream …` says."""
    return subprocess.run(
        [CLUB, "stream", command],
        env=chain.environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def comes_from_kafka(chain: Chain, more: int) -> None:
    """Whatever happened: what is recorded from now on comes, and not from the ledgers."""
    chain.is_published()
    chain.ledgers_are_not_asked()
    add(chain, more)
    chain.comes_up()
    chain.ledgers_are_asked()


def test_without_a_kafka_at_the_start_the_ledgers_are_read(chain: Chain) -> None:
    add(chain, 200)
    chain.comes_up()
    assert chain.ended() == []
    assert "Kafka does not answer" in said_by(chain, "status").stdout
    chain.kafka.start()
    comes_from_kafka(chain, 100)


def test_what_others_write_into_the_topic_is_kept_out_and_holds_up_nobody(chain: Chain) -> None:
    add(chain, 200)
    chain.is_published()
    genuine = asyncio.run(in_topic(chain.kafka))[0]
    headers = dict(genuine.headers)

    def lying(**said: bytes) -> dict[str, Any]:
        told = list({**headers, **said}.items())
        return {"key": genuine.key, "value": genuine.value, "headers": told}

    ahead = Record.pack(headers["ledger"].decode(), b"a guess", 999_999, b"x" * 32, _rows(genuine))
    asyncio.run(
        put_in_topic(
            chain.kafka,
            {"key": None, "value": b"hello"},
            {"key": genuine.key, "value": None},
            {"key": genuine.key, "value": genuine.value, "headers": [("format", None)]},
            {"key": genuine.key, "value": genuine.value},
            {"key": b"\xff", "value": genuine.value, "headers": [*genuine.headers]},
            {"key": genuine.key, "value": b"x" * 10_000_000, "headers": [*genuine.headers]},
            lying(first=b"2"),
            lying(last=b"99999999999999999999"),
            lying(mac=b"00"),
            lying(format=b"2"),
            {"key": ahead.key, "value": ahead.body, "headers": ahead.headers},
            {"key": b"nobody", "value": genuine.value, "headers": [*headers.items()]},
            {"value": genuine.value, "key": genuine.key, "headers": [*genuine.headers]},
        )
    )
    comes_from_kafka(chain, 100)
    kept_out = "SELECT coalesce(sum(times), 0) FROM chain_kept_out"
    until(lambda: ask(chain.database, kept_out)[0][0] >= 12, chain.said)
    said = said_by(chain, "status")
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("running\n")
    assert said.stdout.count(" running since ") == WORKERS
    assert "its publisher does not know the secret of its ledger" in said.stdout
    assert said.stdout.count(f"figures: running, at position {chain.heads()[0]}\n") == CLUBS


def _rows(message: Any) -> list[bytes]:
    return Record.of(message.key, message.headers, message.value).rows()


def test_of_workers_and_publishers_any_may_be_killed_frozen_or_new(chain: Chain) -> None:
    killed, frozen, _ = chain.workers
    add(chain, 100)
    killed.kill()
    add(chain, 100)
    joined = chain.work()
    chain.publishers[0].kill()
    add(chain, 100)
    frozen.send_signal(signal.SIGSTOP)
    chain.publish(chain.clubs[0])
    add(chain, 100)
    comes_from_kafka(chain, 100)
    frozen.send_signal(signal.SIGCONT)
    comes_from_kafka(chain, 100)
    joined.terminate()
    assert joined.wait(PATIENCE) == 0
    chain.work()
    comes_from_kafka(chain, 100)


def test_the_broker_may_lose_its_memory_and_the_database_its_connections(chain: Chain) -> None:
    ended = len(chain.ended())
    chain.kafka.stop()
    add(chain, 100)
    chain.comes_up()  # from the ledgers themselves
    chain.kafka.start()
    for _ in range(2):
        ask(chain.database, HANG_UP)
        add(chain, 50)
    chain.comes_up()
    # Those that had read more than there is now end, and whoever runs them starts them again.
    until(lambda: len(chain.ended()) > ended, chain.said)
    comes_from_kafka(chain, 100)


def test_after_all_that_the_rows_are_those_of_the_clubs(chain: Chain) -> None:
    compared = said_by(chain, "compare")
    assert compared.returncode == 0, compared.stdout + compared.stderr


def test_an_event_that_nobody_knows_holds_its_club_alone(chain: Chain) -> None:
    heads = chain.heads()
    ask(chain.clubs[0], POISON)
    for history, club, head in [*zip(HISTORIES, chain.clubs, heads, strict=True)][1:]:
        asyncio.run(record(club, history[head : head + 100], head=head))
    until(lambda: chain.positions() == [heads[0], *chain.heads()[1:]], chain.said)
    until(lambda: ask(chain.database, STANDING), chain.said)
    ((_, reason, at),) = ask(chain.database, STANDING)
    assert (reason, at) == ("this release does not know such an event", heads[0] + 1)
