"""A search among 200,000 clients, and the lists of one, each beside what is quick in any case.

A search is beside a GET by id, and a list of one client's is beside the same page of the list of
everybody's: in turn, on one server, at the same number of connections.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from domain.aggregate import Aggregate
from domain.clients import Client
from domain.memberships import Membership
from domain.trainings import Training
from domain.users import User
from interfaces.cli.invention import Person, people
from tests.benchmarks.figures import Figure
from tests.benchmarks.load import Job, Loader, get
from tests.benchmarks.seeding import (
    CLIENT,
    append,
    membership,
    numbers,
    open_ledger,
    training_of,
    user,
)
from tests.benchmarks.servers import Service, filled_club

CLIENTS, QUICK_CLIENTS = 200_000, 20_000
KINDS_OF_PEOPLE = 5_000
"""After so many, their names come again."""

ROUNDS = 5
CONNECTIONS = 8
SECONDS = 2.0
REQUESTS = 1_000
PAGE = 50

SEARCH_TARGET = 5.0
LIST_TARGET = 1.25

TRAININGS = (50, 5_000)
"""Of the two clients whose lists are read: a member's of a few months, and of a lifetime."""


def measure(url: str, home: Path, quick: bool, loader: Loader) -> Iterator[Figure]:
    """Searches of each kind, and lists of clients with histories of each length."""
    many = QUICK_CLIENTS if quick else CLIENTS
    known = list(islice(people(1), min(KINDS_OF_PEOPLE, many)))

    async def fill(database: str) -> tuple[range, range]:
        return await populate(database, many, known)

    with filled_club(url, home, fill) as service:
        chance = random.Random(1)
        by_id = [f"/clients/{chance.randint(1, many)}/" for _ in range(REQUESTS)]
        for name, typed in searches(known, chance).items():
            found = [f"/clients/search/?q={quote(text)}" for text in typed]
            note = f"{many:,} clients, such as q={typed[0]}"
            yield beside(service, loader, f"search by {name}", found, by_id, SEARCH_TARGET, note)
        for client, trainings in enumerate(TRAININGS, 1):
            mine = [f"/clients/{client}/trainings/?limit={PAGE}"]
            everybodys = [f"/trainings/?limit={PAGE}"]
            yield beside(
                service,
                loader,
                f"list of a client's {trainings:,} trainings",
                mine,
                everybodys,
                LIST_TARGET,
                f"beside the first {PAGE} of everybody's",
            )


def searches(known: Sequence[Person], chance: random.Random) -> dict[str, list[str]]:
    """What the desk types, by its kind."""
    some = chance.choices(known, k=REQUESTS)
    return {
        "three letters of a name": [person.last_name[:3] for person in some],
        "first and last name": [f"{p.first_name[:4]} {p.last_name}" for p in some],
        "digits of a phone number": [_phone(chance.randint(1, 20_000))[4:] for _ in some],
        "username": [f"member{chance.randint(1, 20_000)}" for _ in some],
    }


def _phone(number: int) -> str:
    return f"+34 6{number // 10_000:02d} {number % 10_000:04d} {number * 7919 % 100:02d}"


async def populate(database: str, many: int, known: Sequence[Person]) -> tuple[range, range]:
    """So many clients, of whom some have trainings."""
    at = datetime.now(UTC)

    def everybody(users: Sequence[int], memberships: Sequence[int]) -> Iterator[Aggregate]:
        for client, (user_id, membership_id) in enumerate(zip(users, memberships, strict=True), 1):
            person = known[client % len(known)]
            facts = {"first_name": person.first_name, "last_name": person.last_name}
            facts |= {"phone_number": _phone(client), "date_of_birth": person.date_of_birth}
            yield user(user_id, at)
            yield membership(membership_id, at)
            owned = {"user_id": user_id, "membership_id": membership_id}
            yield Client.register(client, CLIENT | facts | owned, at)

    def trained(training_ids: Sequence[int]) -> Iterator[Aggregate]:
        # The long history lies among everybody's, as it came about over years.
        ids = iter(training_ids)
        for turn in range(max(TRAININGS)):
            for client, trainings in enumerate(TRAININGS, 1):
                if turn < trainings:
                    yield training_of(client, next(ids), at)
            for other in range(3):
                yield training_of(len(TRAININGS) + 1 + (turn + other) % (many - 10), next(ids), at)

    async with open_ledger(database) as ledger:
        user_ids = await numbers(ledger, User, many)
        membership_ids = await numbers(ledger, Membership, many)
        await numbers(ledger, Client, many)
        training_ids = await numbers(ledger, Training, sum(TRAININGS) + 3 * max(TRAININGS))
        await append(ledger, everybody(user_ids, membership_ids))
        await append(ledger, trained(training_ids))
    return range(user_ids[0], user_ids[-1] + 1), range(membership_ids[0], membership_ids[-1] + 1)


def beside(
    service: Service,
    loader: Loader,
    name: str,
    paths: Sequence[str],
    others: Sequence[str],
    target: float,
    note: str,
) -> Figure:
    """How long some requests take, in how long others do on the same server, in turn."""
    ours: list[float] = []
    theirs: list[float] = []
    for turn in range(ROUNDS):
        sides = [(paths, ours), (others, theirs)]
        for asked, collected in sides if turn % 2 == 0 else reversed(sides):
            collected.append(loader.run(_job(service, asked)).p95)
    return Figure.of_rounds(f"{name}, p95", ours, theirs, target, "ms", note=note, at_most=True)


def _job(service: Service, paths: Sequence[str]) -> Job:
    requests = [get(path, service.headers) for path in paths]
    job = Job(service.port, requests, CONNECTIONS, headers=service.headers)
    return replace(job, seconds=SECONDS, warm_up=min(50, len(requests)))
