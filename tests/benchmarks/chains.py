"""A chain of clubs for benchmarks: its broker, its Postgres, and workers as they are run."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from multiprocessing import get_context
from pathlib import Path
from uuid import uuid4

import psutil
import psycopg
import uvloop

from infra.chain import clubs
from infra.chain.intake import Intake
from infra.chain.kafka import Place, Topic
from infra.chain.records import Record
from infra.chain.store import ChainStore, open_chain
from infra.servers.local_kafka import LocalKafka
from infra.settings import Settings
from projections.catalogue import FIGURES
from projections.engine.model import Group
from tests.benchmarks.postgres import create_database
from tests.benchmarks.servers import CLUB, Broken, process

PARTITIONS = 8
PATIENCE = 120.0

# So that all comes through Kafka: nobody asks the ledgers.
ASK_NOBODY = "UPDATE chain_clubs SET looked_at = clock_timestamp() + interval '1 day'"

_TAKEN = "SELECT coalesce(sum(position), 0) FROM chain_positions"
_WORKERS = "SELECT detail FROM parts WHERE name = 'stream' AND status = 'running'"


@contextmanager
def broker(home: Path) -> Iterator[Settings]:
    """A broker with nothing in it, until the block is left; the settings that lead to it."""
    server = LocalKafka(home / f"kafka-{uuid4().hex[:8]}")
    server.start()
    try:
        yield Settings(kafka_url=server.url, kafka_idempotence=False, kafka_partitions=PARTITIONS)
    finally:
        server.stop()


def made(url: str, name: str, ledgers: Sequence[str]) -> str:
    """A chain of these clubs, of which nothing is taken in yet; the URL of its database."""
    chain = create_database(url, name)
    asyncio.run(_joined(chain, ledgers))
    return chain


async def _joined(chain: str, ledgers: Sequence[str]) -> None:
    async with open_chain(chain, [FIGURES], building=True) as store:
        for number, ledger in enumerate(ledgers):
            await clubs.add(store, f"club-{number}", ledger)
        async with await store.connect(autocommit=True) as connection:
            await connection.execute(ASK_NOBODY.encode())


@asynccontextmanager
async def taking_part(
    chain: str, group: Group = FIGURES
) -> AsyncIterator[tuple[ChainStore, Intake]]:
    """Somebody who takes what he is given, and asks no ledger."""
    async with open_chain(chain, [group], building=True) as store:
        intake = Intake(store)
        try:
            yield store, intake
        finally:
            await intake.close()


async def sent(topic: Topic, records: Sequence[Record]) -> Place:
    """Have records confirmed, in their order; where the last one is."""
    places: list[asyncio.Future[Place]] = []
    for record in records:
        places.append(asyncio.get_running_loop().create_future())
        await topic.send(record, places[-1])
    return (await asyncio.gather(*places))[-1]


@contextmanager
def worker(home: Path, settings: Settings, chain: str, groups: str) -> Iterator[int]:
    """A `club stream`, until the block is left; its process id."""
    environment = {
        "CLUB_HOME": str(home),
        "CLUB_KAFKA_URL": str(settings.kafka_url),
        "CLUB_KAFKA_PARTITIONS": str(PARTITIONS),
        "CLUB_CHAIN_DATABASE_URL": chain,
        "CLUB_CHAIN_GROUPS": groups,
    }
    log = home / f"stream-{uuid4().hex[:8]}.log"
    with process([*CLUB, "stream"], environment, log) as running:
        yield running.pid


def in_process(work: Callable[[Settings], Awaitable[float]], settings: Settings) -> float:
    """The seconds that it says, of a process of its own."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as one:
        return one.submit(_run, work, settings).result()


def _run(work: Callable[[Settings], Awaitable[float]], settings: Settings) -> float:
    async def worked() -> float:
        return await work(settings)

    return uvloop.run(worked())


def come_to(chain: str, goal: int, pid: int, every: float = 0.005) -> int:
    """Return as soon as so many events are taken in; how many are."""
    give_up = time.monotonic() + PATIENCE
    with psycopg.connect(chain, autocommit=True) as connection:
        while True:
            row = connection.execute(_TAKEN).fetchone()
            found = 0 if row is None else int(row[0])
            if found >= goal:
                return found
            if time.monotonic() > give_up or not psutil.pid_exists(pid):
                raise Broken(["club stream"], f"came to {found} of {goal} only")
            time.sleep(every)


def have_partitions(chain: str, workers: int) -> None:
    """Return as soon as all partitions are shared out among so many workers."""
    give_up = time.monotonic() + PATIENCE
    with psycopg.connect(chain, autocommit=True) as connection:
        while True:
            shares = [_partitions(row[0]) for row in connection.execute(_WORKERS)]
            if len(shares) == workers and all(shares) and sum(shares) == PARTITIONS:
                return
            if time.monotonic() > give_up:
                raise Broken(["club stream"], f"partitions: {shares}")
            time.sleep(0.05)


def _partitions(detail: str) -> int:
    """How many there are in `partitions 0-3, 5`."""
    spans = [
        s.split("-") for s in detail.removeprefix("partitions ").split(", ") if s[:1].isdigit()
    ]
    return sum(int(span[-1]) - int(span[0]) + 1 for span in spans)
