"""`make faults`: payment messages by the thousand, while everything is killed, frozen, cut off.

Real processes, a Postgres and a RabbitMQ of their own. In the middle of the load: `kill -9` of
consumer, relay and API, restarts of RabbitMQ and Postgres; each part frozen for longer than the
service bears, while others go on and `/health/` says so; RabbitMQ's memory alarm; 1,005 slow
senders; a failover of Postgres. At the end every payment is in the state that its messages say,
each consequence happened once, and the outgoing sequence has no hole. Ends with 1 where something
of it does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import aio_pika
import psycopg

from tests.acceptance.service import CHECKOUT, until
from tests.faults import verdict
from tests.faults.messages import Load, histories, load
from tests.faults.stage import Stage, opened, seed
from tests.faults.strikes import STRIKES, Scene, Strike, chosen
from tests.faults.subscriber import Subscriber
from tests.faults.verdict import Finding
from tests.faults.visitor import Visitor
from tests.servers import RABBITMQ, see_to

PATIENCE = 200.0
"""Seconds in which all must be done; a message that is tried a fourth time waited two minutes."""


class Provider:
    """The publisher's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.confirmed = -1

    def pour(self, goal: int) -> None:
        """Let it publish up to this message."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{goal}\n")
        self._process.stdin.flush()

    def wait_for(self, confirmed: int) -> None:
        """Wait until so many are confirmed."""
        assert self._process.stdout is not None
        while self.confirmed < confirmed:
            line = self._process.stdout.readline()
            assert line, "the publisher ended"
            self.confirmed = int(line)


@contextmanager
def publishing(stage: Stage, made: Load) -> Iterator[Provider]:
    """The publisher with its messages, ready to go."""
    path = stage.home / "messages"
    path.write_text("".join(f"{message.line()}\n" for message in made.messages))
    command = [sys.executable, "-m", "tests.faults.publisher", stage.rabbitmq.url, str(path)]
    process = subprocess.Popen(
        command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        provider = Provider(process)
        try:
            provider.wait_for(0)
            yield provider
        finally:
            process.kill()


async def suffer(
    scene: Scene, provider: Provider, many: int, strikes: Sequence[Strike]
) -> list[Finding]:
    """Pour the load in portions; in the middle of each, something breaks."""
    found: list[Finding] = []
    portion = many // (len(strikes) + 1)
    for number, (_, what, strike) in enumerate(strikes, start=1):
        begun = (number - 1) * portion
        provider.pour(begun + portion // 2)
        await asyncio.to_thread(provider.wait_for, begun + portion // 5)
        say(f"{what}, with {provider.confirmed:,} of {many:,} messages in")
        more = partial(provider.pour, number * portion)
        await asyncio.to_thread(_take, strike(scene, more), found)
        await asyncio.to_thread(provider.wait_for, number * portion)
    provider.pour(many)
    await asyncio.to_thread(provider.wait_for, many)
    return found


def _take(findings: Iterator[Finding], found: list[Finding]) -> None:
    for finding in findings:
        say(f"  {finding.row()}")
        found.append(finding)


def is_done(stage: Stage) -> bool:
    """Whether every message is done, every event is out and shown."""
    if not asyncio.run(verdict.nothing_left(stage.rabbitmq.url)):
        return False
    with psycopg.connect(stage.postgres_url) as connection:
        row = connection.execute(
            "SELECT (SELECT max(notification_id) FROM ledger_events),"
            " (SELECT max(position) FROM relay_positions),"
            " (SELECT max(position) FROM read_groups)"
        ).fetchone()
        settled = connection.execute(
            "SELECT count(*) FROM payments WHERE payment_status = 'PENDING'"
        ).fetchone()
    assert row is not None
    return len(set(row)) == 1 and settled == (0,)


def ends(stage: Stage) -> Finding:
    """Wait until all of it is done; where it takes too long, the other findings say what is not."""
    started = time.monotonic()
    late: tuple[str, ...] = ()
    try:
        until(partial(is_done, stage), "all is done", PATIENCE)
    except AssertionError as missed:
        late = (str(missed),)
    return Finding("all done soon after", 1, late, f"{time.monotonic() - started:.0f} s")


def end_parts(stage: Stage) -> Finding:
    """Every part ends in order when it is told to."""
    statuses = {name: part.end() for name, part in stage.parts.items()}
    statuses["API"] = stage.service.end()
    wrong = tuple(f"{name} ended with {status}" for name, status in statuses.items() if status)
    return Finding("parts that end in order on SIGTERM", len(statuses), wrong)


async def judge(
    stage: Stage, made: Load, subscriber: Subscriber, visitor: Visitor
) -> list[Finding]:
    """All that must hold."""
    ended = await asyncio.to_thread(end_parts, stage)
    with psycopg.connect(stage.postgres_url) as connection:
        row = connection.execute("SELECT max(notification_id) FROM ledger_events").fetchone()
    assert row is not None
    await subscriber.come_to(row[0], 60)
    async with await aio_pika.connect(stage.rabbitmq.url) as connection:
        channel = await connection.channel()
        queues = await verdict.of_queues(made, channel)
    rebuilt = await asyncio.to_thread(stage.service.club, "replay")
    assert rebuilt.returncode == 0, rebuilt.stderr
    differing = tuple(line for line in rebuilt.stdout.splitlines() if line.startswith("  "))
    return [
        *verdict.of_tables(made, stage.postgres_url),
        *verdict.of_what_went_out(made, subscriber, row[0]),
        *queues,
        visitor.finding(stage.postgres_url),
        *stage.cluster.findings(),
        Finding("read tables equal a rebuild", row[0], differing),
        ended,
        Finding("logs without a fault of ours", len(stage.parts) + 1, tuple(stage.complaints())),
    ]


async def run(many: int, number: int, strikes: Sequence[Strike]) -> list[Finding]:
    """The whole play."""
    chance = random.Random(number)
    with opened(replicated=any(strike.name == "failover" for strike in strikes)) as stage:
        say("seeding")
        seeded = await seed(stage.postgres_url, histories(many, chance), chance)
        made = load(seeded.stories, seeded.called_off, stage.provider(), many, chance)
        subscriber = Subscriber(stage.rabbitmq.url)
        await subscriber.subscribe()
        await asyncio.to_thread(stage.open)
        visitor = await asyncio.to_thread(Visitor, stage)
        await asyncio.to_thread(until, partial(is_declared, stage), "the consumer is there")
        say(made.described())
        async with meanwhile(subscriber.run()):
            async with meanwhile(stage.mind()):
                async with meanwhile(visitor.run()):
                    with publishing(stage, made) as provider:
                        scene = Scene(stage, visitor)
                        told = await suffer(scene, provider, len(made.messages), strikes)
                say("waiting until all of it is done")
                in_time = await asyncio.to_thread(ends, stage)
            return [*told, in_time, *await judge(stage, made, subscriber, visitor)]


@asynccontextmanager
async def meanwhile(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do this work beside, as long as it lasts."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()


def is_declared(stage: Stage) -> bool:
    """Whether the consumer has made its queues."""
    try:
        return asyncio.run(verdict.nothing_left(stage.rabbitmq.url))
    except aio_pika.exceptions.ChannelClosed:
        return False


def say(what: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {what}", file=sys.stderr, flush=True)


def main() -> None:
    names = dict.fromkeys(strike.name for strike in STRIKES)
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000, help="how many, about")
    parser.add_argument("--seed", type=int, default=1, help="another number, another load")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="STRIKE", help=f"of {', '.join(names)}, or kinds"
    )
    asked = parser.parse_args()
    strikes = chosen(asked.only)
    if not strikes:
        parser.error(f"there is no strike called {' or '.join(asked.only)}")
    see_to("The faults", *RABBITMQ)
    for library in ("aiormq", "asyncio"):
        # Connections that are lost are what this is about.
        logging.getLogger(library).setLevel(logging.CRITICAL)
    started = time.monotonic()
    findings = asyncio.run(run(asked.messages, asked.seed, strikes))
    print()
    for finding in findings:
        print(finding.row())
        for wrong in finding.wrong[:5]:
            print(f"    {wrong}")
    print(f"\n{time.monotonic() - started:.0f} s")
    sys.exit(any(finding.wrong for finding in findings))


if __name__ == "__main__":
    main()
