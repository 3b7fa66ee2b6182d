"""What proof costs: looking at everything, one proof, and POSTs while the ledger is sealed.

Verifying is beside a program that reads the same columns from Postgres in the same form, and does
nothing but hash them. A proof is beside as many GETs by id as a person makes in a minute. POSTs are
answered by two services, of which one seals every second: sixty times as often as it is set to.
"""

import asyncio
import http.client
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from statistics import median

import psycopg
import uvloop

from infra.following.sealing import Sealing
from infra.ledger.postgres import Postgres
from infra.ledger.schema import advance_ledger
from infra.proofs.proving import prove_event
from infra.proofs.verifying import verify
from infra.secrets.sealing_key import SealingKey
from tests.benchmarks.figures import Figure
from tests.benchmarks.http import WARM_UP, Side
from tests.benchmarks.load import Loader
from tests.benchmarks.postgres import analyze, checkpoint, create_database
from tests.benchmarks.servers import Broken, Service, club_service

EVENTS = 1_000_000
ROUNDS = 5
PROOFS = 200
GETS = 20
"""By id: a proof has to take less time than these."""

VERIFY_TARGET = 3.0
PROOF_TARGET = 1.0
MOST_HASHES = 64
POST_TARGET = 0.95
CONNECTIONS = 64
POSTS = 3000

# Events of usual size: some 250 bytes of state, as text that compresses like JSON does.
_FILL = """
INSERT INTO ledger_events
SELECT 'client-' || n, 1, 'client.registered',
       convert_to(repeat(md5(n::text), 8), 'UTF8'), n, clock_timestamp(), 'user-1',
       'register-client', md5('c' || n), md5('r' || n), md5('c' || n)
FROM generate_series(1, %s) AS n
"""
_BARE = """
COPY (SELECT * FROM ledger_events ORDER BY notification_id) TO STDOUT (FORMAT binary)
"""


@dataclass(frozen=True)
class Log:
    """A sealed ledger of so many events."""

    url: str
    home: Path
    events: int

    @classmethod
    def made(cls, url: str, home: Path, events: int) -> "Log":
        log = cls(create_database(url, "proof"), home / "proof", events)
        asyncio.run(log.fill())
        analyze(log.url)
        checkpoint(log.url)
        return log

    @property
    def key(self) -> SealingKey:
        return SealingKey.of(self.home)

    async def fill(self) -> None:
        async with await Postgres(self.url).connect(autocommit=True) as connection:
            await advance_ledger(connection)
            await connection.execute("SET statement_timeout = 0")
            await connection.execute(_FILL, [self.events])
        async with await Postgres(self.url).connect() as connection:
            await Sealing(Postgres(self.url), self.key, 60).seal_now(connection)

    async def verify(self) -> None:
        async with await Postgres(self.url).connect() as connection:
            found = await verify(connection, {self.key.name: self.key.public})
        if found.findings or found.events != self.events:
            raise Broken("verify", str(found))

    async def hash_alone(self) -> None:
        digest = sha256()
        async with (
            await psycopg.AsyncConnection.connect(self.url) as connection,
            connection.cursor().copy(_BARE) as copy,
        ):
            async for data in copy:
                digest.update(data)

    async def prove(self, many: int) -> tuple[list[float], int]:
        """Seconds that each of so many proofs took, and the most hashes in one."""
        seconds, hashes = [], 0
        async with await Postgres(self.url).connect() as connection:
            for position in random.Random(1).choices(range(1, self.events + 1), k=many):
                started = time.perf_counter()
                proof = await prove_event(connection, str(position), withheld=True)
                seconds.append(time.perf_counter() - started)
                hashes = max(hashes, len(proof["path"]))
        return seconds, hashes


def measure(url: str, home: Path, quick: bool, loader: Loader) -> Iterator[Figure]:
    """Everything looked at, one proof, and POSTs with and without seals."""
    rounds, share = (1, 10) if quick else (ROUNDS, 1)
    log = Log.made(url, home, EVENTS // share)
    yield _verifying(log, rounds)
    with club_service(url, home, GETS, 1) as service:
        yield from _proving(log, service, rounds)
    yield _posting(url, home, rounds, POSTS // (3 if quick else 1), loader)


def _verifying(log: Log, rounds: int) -> Figure:
    ours: list[float] = []
    theirs: list[float] = []
    for turn in range(rounds):
        sides = [(log.verify, ours), (log.hash_alone, theirs)]
        for work, seconds in sides if turn % 2 else sides[::-1]:
            seconds.append(_timed(work))
    name = f"verify {log.events:,} events, beside SHA-256 of the same rows"
    return Figure.of_rounds(name, ours, theirs, VERIFY_TARGET, "s", at_most=True)


def _proving(log: Log, service: Service, rounds: int) -> Iterator[Figure]:
    ours: list[float] = []
    theirs: list[float] = []
    most = 0
    for _ in range(rounds):
        theirs.append(1000 * _gets(service))
        seconds, hashes = uvloop.run(log.prove(PROOFS))
        ours.append(1000 * median(seconds))
        most = max(most, hashes)
    name = f"a proof among {log.events:,} events, beside {GETS} GETs by id"
    yield Figure.of_rounds(name, ours, theirs, PROOF_TARGET, "ms", at_most=True)
    yield Figure("hashes in a proof", most, MOST_HASHES, "hashes", at_most=True)


def _gets(service: Service) -> float:
    """Seconds for so many GETs by id, one after the other over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port)
    name, _, token = service.headers.decode().strip().partition(": ")

    def get(number: int) -> None:
        connection.request("GET", f"/users/{number}/", headers={name: token})
        answer = connection.getresponse()
        answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise Broken("GET", str(answer.status))

    for number in service.users:
        get(number)
    started = time.perf_counter()
    for number in service.users[:GETS]:
        get(number)
    seconds = time.perf_counter() - started
    connection.close()
    return seconds


def _posting(url: str, home: Path, rounds: int, posts: int, loader: Loader) -> Figure:
    ours: list[float] = []
    theirs: list[float] = []
    many = rounds * (posts + WARM_UP)
    with ExitStack() as opened:
        sides = []
        for every in ("1", "1000000"):
            with _environment(CLUB_SEAL_SECONDS=every):
                sides.append(Side(opened.enter_context(club_service(url, home, many, many))))
        for turn in range(rounds):
            both = list(zip(sides, (ours, theirs), strict=True))
            for side, rates in both if turn % 2 else both[::-1]:
                rates.append(loader.run(side.create(posts, CONNECTIONS, read_back=0)).rate)
    name = "POST with a seal every second, beside POST without"
    return Figure.of_rounds(name, ours, theirs, POST_TARGET, "requests/s")


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """What the programs that are started in the block are set to."""
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]


def _timed(work: Callable[[], Awaitable[None]]) -> float:
    async def timed() -> float:
        started = time.perf_counter()
        await work()
        return time.perf_counter() - started

    return uvloop.run(timed())
