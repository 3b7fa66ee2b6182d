"""Does the server's memory stay flat under an hour's worth of requests?

A club of some thousand members asks some 15 times a second at its busiest: 60,000 requests are
an hour of it. They are sent as fast as they are answered, a third of them POSTs, and the resident
memory of the server (with its child processes) is read after each slice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import psutil

from tests.benchmarks.figures import Figure
from tests.benchmarks.http import PAGE, WARM_UP, Side
from tests.benchmarks.load import Loader
from tests.benchmarks.servers import Service

REQUESTS = 60_000
SLICES = 12
CONNECTIONS = 32
GROWTH = 1.05
"""The last quarter beside the second: caches have filled by then, so the rest would be a leak."""


@dataclass(frozen=True)
class Residence:
    """The server's resident memory in MiB after each slice of the requests."""

    requests: int
    slices: Sequence[float]

    @property
    def growth(self) -> float:
        quarter = len(self.slices) // 4
        return median(self.slices[-quarter:]) / median(self.slices[quarter : 2 * quarter])

    def figure(self) -> Figure:
        return Figure(
            name=f"server memory over {self.requests:,} requests",
            ours=self.growth,
            target=GROWTH,
            unit="times",
            at_most=True,
            note=f"MiB: {' '.join(f'{slice_:.0f}' for slice_ in self.slices)}",
        )


def clients_needed(quick: bool) -> int:
    return PAGE + WARM_UP + SLICES * _posts(quick)


def _posts(quick: bool) -> int:
    return REQUESTS // SLICES // (15 if quick else 3)


def measure(service: Service, quick: bool, loader: Loader) -> Residence:
    """Send the requests slice by slice; the memory after each."""
    side = Side(service)
    side.created.extend(loader.run(side.create(PAGE, CONNECTIONS, read_back=0)).ids)
    slices: list[float] = []
    for _ in range(SLICES):
        posts = _posts(quick)
        done = loader.run(side.create(posts - WARM_UP, CONNECTIONS, read_back=0))
        side.created.extend(done.ids)
        reads = side.read(lambda client: f"/clients/{client}/", side.created, CONNECTIONS, posts)
        loader.run(reads)
        pages = side.read(lambda _: f"/clients/?limit={PAGE}", side.created, CONNECTIONS, posts)
        loader.run(pages)
        slices.append(resident(service.pid))
    return Residence(SLICES * 3 * posts, slices)


def resident(pid: int) -> float:
    """The resident memory in MiB of a process and all below it."""
    server = psutil.Process(pid)
    family = [server, *server.children(recursive=True)]
    return sum(one.memory_info().rss for one in family) / 2**20
