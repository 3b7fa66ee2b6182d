"""Our service and the plain one, request for request, from 1 to 128 connections.

Both run the whole time, each on its own database of one Postgres; the load goes to one and then
to the other, round after round, so that whatever else the machine does falls on both. A ratio is
the median over the rounds of one round's two rates.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

from tests.benchmarks.figures import Figure, number, table
from tests.benchmarks.load import Job, Loader, Result, get, post
from tests.benchmarks.postgres import analyze
from tests.benchmarks.servers import Service

CONNECTIONS = (1, 8, 64, 128)
SHOWN_AT = 64
TARGET = 2.0
ROUNDS = 3
POSTS = {1: 400, 8: 1200, 64: 2000, 128: 2500}
WARM_UP = 200
GET_SECONDS = 1.0
PREPARED = 2000
PAGE = 50
READ_BACK = 20
"""Every n-th POSTed client is fetched at once."""

Make = Callable[["Side", int], Job]


@dataclass(frozen=True)
class Scale:
    """How much to send: the full bench, or a quick look."""

    rounds: int = ROUNDS
    connections: Sequence[int] = CONNECTIONS
    share: float = 1.0

    def posts(self, connections: int) -> int:
        return int(POSTS[connections] * self.share)

    @property
    def get_seconds(self) -> float:
        return GET_SECONDS * self.share

    @property
    def clients(self) -> int:
        """Users and memberships that each side needs."""
        return (
            PAGE
            + WARM_UP
            + self.rounds
            * sum(WARM_UP + self.posts(connections) for connections in self.connections)
        )


QUICK = Scale(rounds=1, connections=(1, 64), share=0.4)
FULL = Scale()


class Side:
    """One of the two services, with the clients made in it so far."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.created: list[int] = []
        self._free = zip(service.users, service.memberships, strict=True)

    def job(self, requests: Sequence[bytes], connections: int) -> Job:
        return Job(self.service.port, requests, connections, headers=self.service.headers)

    def create(self, many: int, connections: int, read_back: int) -> Job:
        """So many new clients, the first WARM_UP of them before the clock starts."""
        job = self.job(self.posts(WARM_UP + many), connections)
        return replace(job, expect=201, warm_up=WARM_UP, read_back=read_back)

    def read(
        self,
        path: Callable[[int], str],
        clients: Sequence[int],
        connections: int,
        many: int = PREPARED,
    ) -> Job:
        """GETs of paths made from clients chosen at random, the same for both sides."""
        chosen = random.Random(connections).choices(clients, k=many)
        requests = [get(path(client), self.service.headers) for client in chosen]
        return replace(self.job(requests, connections), warm_up=WARM_UP)

    def posts(self, many: int) -> list[bytes]:
        """Requests for so many new clients, each with a user and a membership of its own."""
        return [
            post("/clients/", self.service.headers, new_client(*next(self._free)))
            for _ in range(many)
        ]


def new_client(user_id: int, membership_id: int) -> dict[str, object]:
    return {
        "user_id": user_id,
        "membership_id": membership_id,
        "first_name": "Maria",
        "last_name": f"Fernández {user_id}",
        "phone_number": f"+34 600 {user_id:06d}",
        "gender": "FEMALE",
        "date_of_birth": "1990-04-17",
        "weight_kg": "61.50",
        "height_sm": "170.25",
        "status": "ACTIVE",
    }


@dataclass(frozen=True)
class Point:
    """One kind of request at one number of connections: medians of both sides."""

    kind: str
    connections: int
    ours: Result
    theirs: Result
    ratio: float
    low: float
    high: float
    load_cpu: float


def measure(ours: Service, theirs: Service, scale: Scale, loader: Loader) -> list[Point]:
    """All kinds of requests at all numbers of connections."""
    sides = Side(ours), Side(theirs)

    def create(side: Side, connections: int) -> Job:
        return side.create(scale.posts(connections), connections, READ_BACK)

    def read(side: Side, connections: int) -> Job:
        job = side.read(lambda client: f"/clients/{client}/", side.created, connections)
        return replace(job, seconds=scale.get_seconds)

    def page(side: Side, connections: int) -> Job:
        cursor = side.service.cursor
        firsts = sorted(side.created)[:-PAGE]
        job = side.read(
            lambda client: f"/clients/?limit={PAGE}&after={cursor(client)}", firsts, connections
        )
        return replace(job, seconds=scale.get_seconds, rows=PAGE)

    for side in sides:  # everything imported, planned and prepared once before it is timed
        done = loader.run(side.create(PAGE, connections=8, read_back=1))
        side.created.extend(done.ids)
    kinds: list[tuple[str, Make]] = [
        ("POST a client", create),
        ("GET by id", read),
        (f"GET a list of {PAGE}", page),
    ]
    return [
        _point(kind, make, connections, sides, scale.rounds, loader)
        for kind, make in kinds
        for connections in scale.connections
    ]


def _point(
    kind: str,
    make: Make,
    connections: int,
    sides: tuple[Side, Side],
    rounds: int,
    loader: Loader,
) -> Point:
    results: tuple[list[Result], list[Result]] = ([], [])
    for side in sides:
        analyze(side.service.database)
    for turn in range(rounds):
        order = (0, 1) if turn % 2 == 0 else (1, 0)  # neither always comes after the other
        for which in order:
            side, collected = sides[which], results[which]
            done = loader.run(make(side, connections))
            side.created.extend(done.ids)
            collected.append(done)
    ours, theirs = results
    ratios = [mine.rate / other.rate for mine, other in zip(ours, theirs, strict=True)]
    return Point(
        kind,
        connections,
        _median(ours),
        _median(theirs),
        median(ratios),
        min(ratios),
        max(ratios),
        max(result.cpu for result in ours + theirs),
    )


def _median(results: Sequence[Result]) -> Result:
    return sorted(results, key=lambda result: result.rate)[len(results) // 2]


def figures(points: Sequence[Point]) -> Iterator[Figure]:
    """The promises of the issue, read at SHOWN_AT connections."""
    for point in points:
        if point.connections == SHOWN_AT:
            yield Figure(
                name=f"{point.kind}, {SHOWN_AT} connections",
                ours=point.ours.rate,
                theirs=point.theirs.rate,
                ratio=point.ratio,
                target=TARGET,
                unit="requests/s",
                note=f"rounds {point.low:.2f} to {point.high:.2f}",
            )


def growth_table(points: Sequence[Point]) -> str:
    """How both sides grow with the number of connections."""
    heads = ["request", "connections"]
    for side in ("ours", "theirs"):
        heads += [f"{side}/s", "p50 ms", "p95 ms", "p99 ms"]
    heads += ["ratio", "load CPU", "read back"]
    rows = [
        [
            point.kind,
            str(point.connections),
            *_cells(point.ours),
            *_cells(point.theirs),
            f"{point.ratio:.2f}x",
            f"{point.load_cpu:.0%}",
            str(point.ours.read_back or "-"),
        ]
        for point in points
    ]
    return table(heads, rows, left={0})


def _cells(result: Result) -> list[str]:
    times = [f"{value:.1f}" for value in (result.p50, result.p95, result.p99)]
    return [number(result.rate), *times]
