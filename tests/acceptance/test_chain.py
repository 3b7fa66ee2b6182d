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

CLUBS = 3
HISTORIES = [rich(6000, seed=seed).events for seed in range(CLUBS)]
HANG_UP = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.fixture(scope="module")
def chain(server: str, template: str) -> Iterator[Chain]:
    """A chain of a few clubs, with a publisher each and two workers."""
    with private_chain(server, template, CLUBS) as made:
        for club in made.clubs:
            made.join(club)
            made.publish(club)
        made.work()
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


def test_what_others_write_into_the_topic_is_kept_out_and_holds_up_nobody(chain: Chain) -> None:
    add(chain, 500)
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
    add(chain, 200)
    chain.comes_up()
    kept_out = "SELECT coalesce(sum(times), 0) FROM chain_kept_out"
    until(lambda: ask(chain.database, kept_out)[0][0] >= 11, chain.said)
    said = said_by(chain, "status")
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("running\n")
    assert said.stdout.count(" running since ") == 2
    assert "its publisher does not know the secret of its ledger" in said.stdout
    assert said.stdout.count(f"figures: running, at position {chain.heads()[0]}\n") == CLUBS


def _rows(message: Any) -> list[bytes]:
    return Record.of(message.key, message.headers, message.value).rows()


def test_of_workers_and_publishers_any_may_be_killed_frozen_or_new(chain: Chain) -> None:
    killed, frozen = chain.workers
    add(chain, 300)
    killed.kill()
    add(chain, 300)
    joined = chain.work()
    chain.publishers[0].kill()
    add(chain, 300)
    frozen.send_signal(signal.SIGSTOP)
    chain.publish(chain.clubs[0])
    add(chain, 300)
    chain.comes_up()
    frozen.send_signal(signal.SIGCONT)
    add(chain, 300)
    chain.comes_up()
    joined.terminate()
    assert joined.wait(PATIENCE) == 0
    chain.work()
    add(chain, 300)
    chain.comes_up()


def test_the_broker_may_lose_its_memory_and_the_database_its_connections(chain: Chain) -> None:
    chain.kafka.stop()
    add(chain, 300)
    chain.comes_up()  # from the ledgers themselves
    chain.kafka.start()
    for _ in range(2):
        ask(chain.database, HANG_UP)
        add(chain, 100)
    chain.comes_up()
    chain.is_published()


def test_after_all_that_the_rows_are_those_of_the_clubs(chain: Chain) -> None:
    compared = said_by(chain, "compare")
    assert compared.returncode == 0, compared.stdout + compared.stderr
