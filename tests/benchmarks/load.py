"""A closed-loop HTTP/1.1 load generator that leaves the machine to the server it measures.

It runs in a process of its own, on uvloop, with keep-alive connections and requests prepared
as bytes beforehand. Each connection sends its next request when the last is answered. Every
answer's status is checked, and an unexpected one ends the run with its body shown. Traffic goes
to 127.0.0.1 and nowhere else.
"""

import asyncio
import gc
import json
import re
import time
from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from multiprocessing import get_context
from types import TracebackType
from typing import Any, Self, cast

import uvloop

CONTENT_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
ID = re.compile(rb'"id": ?(\d+)')
A_CLIENT = b'"user_id"'
LONGEST_SECONDS = 120


class UnexpectedAnswer(Exception):
    """The server did not answer as the job expects."""


@dataclass(frozen=True)
class Job:
    """What to send, over how many connections, and what every answer must be.

    With `seconds` the requests are sent round and round until the time is over; without, each
    is sent once. The first `warm_up` requests are answered before the clock starts.
    """

    port: int
    requests: Sequence[bytes]
    connections: int
    expect: int = 200
    seconds: float | None = None
    warm_up: int = 0
    rows: int = 0
    """How many clients each answer must hold; 0 looks at none."""
    read_back: int = 0
    """GET every n-th POSTed client at once, on the same connection; timed with neither; 0 none."""
    headers: bytes = b""
    """Header lines of those GETs."""


@dataclass(frozen=True)
class Result:
    """What came of a job. Times in milliseconds, `cpu` as a share of one core."""

    requests: int
    seconds: float
    rate: float
    p50: float
    p95: float
    p99: float
    cpu: float
    read_back: int
    ids: Sequence[int]


class _Phase:
    """Requests to hand out until they, or the time, are over."""

    def __init__(self, job: Job, requests: Iterator[bytes], seconds: float | None) -> None:
        self.job = job
        self.requests = requests
        self.latencies = array("d")
        self.ids: list[int] = []
        self.posted = 0
        self.read_back = 0
        self.started = time.perf_counter()
        self.ended = self.started
        self.deadline = self.started + seconds if seconds is not None else float("inf")
        self.busy = job.connections
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def leave(self) -> None:
        self.busy -= 1
        if self.busy == 0 and not self.over.done():
            self.over.set_result(None)

    def fail(self, why: str) -> None:
        if not self.over.done():
            self.over.set_exception(UnexpectedAnswer(why))


class _Connection(asyncio.Protocol):
    """One keep-alive connection: one request out, one answer in, and again."""

    transport: asyncio.Transport
    phase: _Phase

    def __init__(self) -> None:
        self.received = b""
        self.request = b""
        self.sent = 0.0
        self.to_compare = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it

    def connection_lost(self, exc: Exception | None) -> None:
        if hasattr(self, "phase"):
            self.phase.fail(f"connection lost: {exc}; the request was\n{self.request.decode()}")

    def start(self, phase: _Phase) -> None:
        self.phase = phase
        self.send_next(time.perf_counter())

    def send_next(self, now: float) -> None:
        request = next(self.phase.requests, None) if now < self.phase.deadline else None
        if request is None:
            self.phase.leave()
            return
        self.request = request
        self.sent = now
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self.received:
            data = self.received + data
        head = data.find(b"\r\n\r\n")
        if head < 0:
            self.received = data
            return
        length = CONTENT_LENGTH.search(data, 0, head)
        if length is None:
            self.phase.fail(f"an answer without Content-Length:\n{data[:500].decode()}")
            return
        if len(data) < head + 4 + int(length[1]):
            self.received = data
            return
        self.received = b""
        self.answered(int(data[9:12]), data[head + 4 :])

    def answered(self, status: int, body: bytes) -> None:
        now = time.perf_counter()
        phase, job = self.phase, self.phase.job
        if self.to_compare:
            self.compare(status, body)
            self.send_next(now)
            return
        phase.latencies.append(now - self.sent)
        phase.ended = now
        if status != job.expect or (job.rows and body.count(A_CLIENT) != job.rows):
            self.unexpected(status, body)
            return
        if status == 201:
            found = ID.search(body)
            if found is None:
                self.unexpected(status, body)
                return
            phase.ids.append(int(found[1]))
            phase.posted += 1
            if job.read_back and phase.posted % job.read_back == 0:
                self.to_compare = body
                self.request = get(f"/clients/{int(found[1])}/", job.headers)
                self.transport.write(self.request)
                return
        self.send_next(now)

    def compare(self, status: int, body: bytes) -> None:
        """The GET after a POST: it must show what was answered."""
        if status != 200 or json.loads(body) != json.loads(self.to_compare):
            self.unexpected(status, body)
        self.to_compare = b""
        self.phase.read_back += 1

    def unexpected(self, status: int, body: bytes) -> None:
        self.phase.fail(
            f"{status} to\n{self.request.decode()}\nthe answer was\n{body[:2000].decode()}"
        )


def get(path: str, headers: bytes) -> bytes:
    """A GET as bytes; `headers` are whole lines."""
    return b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\n%b\r\n" % (path.encode(), headers)


def post(path: str, headers: bytes, body: dict[str, Any]) -> bytes:
    """A POST of JSON as bytes; `headers` are whole lines."""
    content = json.dumps(body).encode()
    return (
        b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n%b\r\n%b"
    ) % (path.encode(), len(content), headers, content)


async def run(job: Job) -> Result:
    """Carry out a job; UnexpectedAnswer where the server answers otherwise."""
    loop = asyncio.get_running_loop()
    connections = [
        (await loop.create_connection(_Connection, "127.0.0.1", job.port))[1]
        for _ in range(job.connections)
    ]
    requests = iter(job.requests) if job.seconds is None else cycle(job.requests)

    async def phase(some: Iterator[bytes], seconds: float | None) -> _Phase:
        current = _Phase(job, some, seconds)
        for connection in connections:
            connection.start(current)
        async with asyncio.timeout(LONGEST_SECONDS):
            await current.over
        return current

    try:
        warm = await phase(islice(requests, job.warm_up), None)
        cpu = time.process_time()
        timed = await phase(requests, job.seconds)
        cpu = time.process_time() - cpu
    finally:
        for connection in connections:
            connection.transport.abort()
    elapsed = timed.ended - timed.started
    latencies = sorted(timed.latencies)
    return Result(
        requests=len(latencies),
        seconds=elapsed,
        rate=len(latencies) / elapsed,
        p50=_percentile(latencies, 50),
        p95=_percentile(latencies, 95),
        p99=_percentile(latencies, 99),
        cpu=cpu / elapsed,
        read_back=warm.read_back + timed.read_back,
        ids=warm.ids + timed.ids,
    )


def _percentile(ordered: Sequence[float], percent: int) -> float:
    return 1000 * ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def _run_alone(job: Job) -> Result:
    gc.collect()
    gc.disable()  # a pause here would be read as a slow server
    try:
        return uvloop.run(run(job))
    finally:
        gc.enable()


class Loader:
    """The process that sends the load."""

    def __enter__(self) -> Self:
        self._process = ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn"))
        return self

    def run(self, job: Job) -> Result:
        return self._process.submit(_run_alone, job).result()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.shutdown()
