"""What breaks in the middle of the load, and what must go on meanwhile.

A strike is handed `more`: it lets the rest of its portion of messages come, once it has broken
something, so that there is work while it is broken.
"""

from __future__ import annotations

import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import Any, NamedTuple

import httpx
import psycopg

from infra.ledger.schema import LOCK
from tests.acceptance.service import Service, until
from tests.faults.stage import Stage
from tests.faults.verdict import Finding
from tests.faults.visitor import Visitor

GOES_ON = 15.0
"""Seconds in which others go on."""

IS_TOLD = 60.0
"""Seconds in which `/health/` names what does not work."""

FROZEN = 25.0
"""Seconds for which a process is frozen at the least: longer than any bound of the service."""

PATIENCE = 70.0
"""Seconds after which what did not come counts as not coming."""

SENDERS = 1_005
BODIES = ("/users/", "/jwt-auth/login/", "/memberships/")
"""Where they go: to what is for anybody, and to what is not."""

SENDING = 15.0
"""Seconds for which they hold what they have begun."""

More = Callable[[], None]

_BEGUN = (
    "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    "Content-Length: 400\r\n\r\n{{"
)
_PAYMENTS = "SELECT count(*) FROM ledger_events WHERE topic LIKE 'payment.%'"
_RELAYED = "SELECT coalesce(max(position), 0) FROM relay_positions"
_SHOWN = "SELECT min(position) FROM read_groups"
_LEDGER = f"SELECT pg_advisory_xact_lock({LOCK})"
_TABLES = "SELECT FROM read_groups FOR UPDATE"
_WAIT = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
_IN_THE_MIDDLE = """
SELECT count(*) FROM pg_stat_activity AS a
WHERE state = 'idle in transaction' AND clock_timestamp() - state_change > interval '0.5 s'
AND EXISTS (SELECT FROM pg_locks AS l WHERE l.pid = a.pid AND granted
            AND (locktype = 'advisory' OR mode = 'RowShareLock'))
"""


@dataclass(frozen=True)
class Scene:
    """What strikes work on."""

    stage: Stage
    visitor: Visitor

    def number(self, sql: str) -> int:
        """The one number that a query of the club's database answers."""
        with psycopg.connect(self.stage.postgres_url, autocommit=True) as connection:
            row = connection.execute(sql.encode()).fetchone()
        assert row is not None
        return int(row[0])

    def answers(self) -> int:
        """How many requests were answered so far."""
        return len(self.visitor.answers)

    def goes_on(self, what: str, progress: Callable[[], int], times: int = 2) -> Finding:
        """How long it takes until there is progress, twice: the first may have been under way."""
        began = time.monotonic()
        for _ in range(times):
            at = progress()
            while progress() <= at:
                if time.monotonic() - began > PATIENCE:
                    return Finding(what, 1, (f"not in {PATIENCE:.0f} s",))
                time.sleep(0.05)
        return _in_time(what, time.monotonic() - began, GOES_ON)

    def is_told(self, what: str, service: Service, names: Sequence[str]) -> Finding:
        """How long it takes until `/health/` says that one of these does not work."""
        began = time.monotonic()
        said: dict[str, Any] = {}
        while time.monotonic() - began < PATIENCE:
            said = health(service)
            if any(said.get(name) not in WORKS for name in names):
                return _in_time(what, time.monotonic() - began, IS_TOLD)
            time.sleep(0.5)
        return Finding(what, 1, (f"not in {PATIENCE:.0f} s: {said}",))


WORKS = (None, "running", "behind")
"""What is said of a part that is not there, and of one that works."""


def health(service: Service) -> dict[str, str]:
    """The status of each part by its name, as anybody is told it; nothing without an answer."""
    try:
        found = httpx.get(f"{service.url}/health/", timeout=5).json()
    except (httpx.TransportError, ValueError):
        return {}
    parts = {**found.get("projectors", {}), **found.get("components", {})}
    return {name: part["status"] for name, part in parts.items()}


def _in_time(what: str, seconds: float, bound: float) -> Finding:
    wrong = (f"after {seconds:.1f} s, not {bound:.0f}",) if seconds > bound else ()
    return Finding(what, 1, wrong, f"{seconds:.1f} s")


# --- kills and restarts --------------------------------------------------------------------


def killed(name: str, scene: Scene, more: More) -> Iterator[Finding]:
    """`kill -9` of a part."""
    more()
    scene.stage.kill(name)
    yield from ()


def killed_api(scene: Scene, more: More) -> Iterator[Finding]:
    more()
    scene.stage.kill_api()
    yield from ()


def rabbitmq_restarted(scene: Scene, more: More) -> Iterator[Finding]:
    more()
    scene.stage.restart_rabbitmq()
    yield from ()


def postgres_restarted(scene: Scene, more: More) -> Iterator[Finding]:
    more()
    scene.stage.cluster.restart()
    yield from ()


# --- freezes -------------------------------------------------------------------------------


def consumer_frozen(scene: Scene, more: More) -> Iterator[Finding]:
    scene.stage.double("consumer")
    more()
    with _frozen(scene, scene.stage.parts["consumer"].process, _LEDGER, waiting=3):
        yield _holds(scene, "consumer frozen: it holds the ledger's lock")
        yield scene.goes_on("consumer frozen: requests are answered", scene.answers)
        settled = partial(scene.number, _PAYMENTS)
        yield scene.goes_on("consumer frozen: another one settles payments", settled)
        names = ("consumer", "consumers", "payments", "commands")
        yield scene.is_told("consumer frozen: health says so", scene.stage.service, names)


def relay_frozen(scene: Scene, more: More) -> Iterator[Finding]:
    scene.stage.double("relay")
    more()
    with _frozen(scene, scene.stage.parts["relay"].process):
        relayed = partial(scene.number, _RELAYED)
        yield scene.goes_on("relay frozen: another one publishes", relayed)
        yield scene.is_told("relay frozen: health says so", scene.stage.service, ("relay",))


def projector_frozen(scene: Scene, more: More) -> Iterator[Finding]:
    scene.stage.double("projector")
    more()
    with _frozen(scene, scene.stage.parts["projector"].process, _TABLES, waiting=2):
        yield _holds(scene, "projector frozen: it holds its position")
        yield scene.goes_on("projector frozen: another one shows", partial(scene.number, _SHOWN))
        names = ("projector", "documented")
        yield scene.is_told("projector frozen: health says so", scene.stage.service, names)


def api_frozen(scene: Scene, more: More) -> Iterator[Finding]:
    beside = scene.stage.another_api()
    more()
    with _frozen(scene, scene.stage.service.process, _LEDGER, waiting=2):
        yield _holds(scene, "API frozen: it holds the ledger's lock")
        settled = partial(scene.number, _PAYMENTS)
        yield scene.goes_on("API frozen: payments are settled", settled)
        yield scene.is_told("API frozen: another one says so", beside, ("api", "API"))


@contextmanager
def _frozen(
    scene: Scene, process: subprocess.Popen[bytes], lock: str = "", waiting: int = 0
) -> Iterator[None]:
    """Stop a process, and let it wake at the end.

    With a lock it is stopped while it waits for that, which is then let go: so it holds it as long
    as it sleeps, wherever it was caught. So many wait where it is one of them.
    """
    with psycopg.connect(scene.stage.postgres_url) as connection:
        if lock:
            connection.execute(lock.encode())
            until(lambda: scene.number(_WAIT) >= waiting, f"{waiting} wait for {lock}")
        process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        yield
        time.sleep(max(0.0, began + FROZEN - time.monotonic()))
    finally:
        process.send_signal(signal.SIGCONT)


def _holds(scene: Scene, what: str) -> Finding:
    """Somebody is in the middle of a transaction, with a lock, and does not go on."""
    try:
        until(lambda: scene.number(_IN_THE_MIDDLE), what, 5)
    except AssertionError as missed:
        return Finding(what, 1, (str(missed),))
    return Finding(what, 1, ())


# --- what is worse than being away ---------------------------------------------------------


def failed_over(scene: Scene, more: More) -> Iterator[Finding]:
    scene.stage.cluster.fail_over()
    more()
    yield scene.goes_on("failover of Postgres: requests are answered", scene.answers)
    yield scene.goes_on(
        "failover of Postgres: payments are settled", partial(scene.number, _PAYMENTS)
    )


def alarmed(scene: Scene, more: More) -> Iterator[Finding]:
    stage = scene.stage
    stage.alarm(on=True)
    try:
        more()
        yield scene.goes_on("memory alarm of RabbitMQ: requests are answered", scene.answers)
        names = ("rabbitmq", "relay", "consumers", "payments", "commands")
        yield scene.is_told("memory alarm of RabbitMQ: health says so", stage.service, names)
    finally:
        stage.alarm(on=False)
    yield scene.goes_on(
        "memory alarm of RabbitMQ: events go out again", partial(scene.number, _RELAYED)
    )


def slowly_sent(scene: Scene, more: More) -> Iterator[Finding]:
    with _slow_senders(scene.stage.service.port):
        began = time.monotonic()
        more()
        answered = partial(_answered, scene.stage.service, began)
        yield scene.goes_on(f"{SENDERS:,} slow senders: health is answered", answered)
        what = f"{SENDERS:,} slow senders: requests are answered"
        yield scene.goes_on(what, scene.answers, times=20)  # not only until they are noticed
        time.sleep(max(0.0, began + SENDING - time.monotonic()))


def _answered(service: Service, began: float) -> int:
    """A number that grows with each answer."""
    return int(1000 * (time.monotonic() - began)) if health(service) else 0


@contextmanager
def _slow_senders(port: int) -> Iterator[None]:
    """As many connections, each of which has sent the headers of a POST and a byte of its body."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * SENDERS)), hard))
    held: list[socket.socket] = []
    try:
        for path in islice(cycle(BODIES), SENDERS):
            held.append(socket.create_connection(("127.0.0.1", port), timeout=10))
            held[-1].sendall(_BEGUN.format(path=path).encode())
        yield
    finally:
        for one in held:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# --- the list ------------------------------------------------------------------------------


class Strike(NamedTuple):
    """Something that breaks; its name begins with the word of its kind."""

    name: str
    what: str
    do: Callable[[Scene, More], Iterator[Finding]]


STRIKES = (
    Strike("kill-consumer", "kill -9 of the consumer", partial(killed, "consumer")),
    Strike("kill-relay", "kill -9 of the relay", partial(killed, "relay")),
    Strike("kill-api", "kill -9 of the API", killed_api),
    Strike("restart-rabbitmq", "a restart of RabbitMQ", rabbitmq_restarted),
    Strike("kill-consumer", "kill -9 of the consumer", partial(killed, "consumer")),
    Strike("restart-postgres", "a restart of Postgres", postgres_restarted),
    Strike("freeze-consumer", "the consumer is frozen", consumer_frozen),
    Strike("freeze-relay", "the relay is frozen", relay_frozen),
    Strike("freeze-projector", "the projector is frozen", projector_frozen),
    Strike("freeze-api", "the API is frozen", api_frozen),
    Strike("alarm", "RabbitMQ has its memory alarm", alarmed),
    Strike("slow-senders", f"{SENDERS:,} senders take their time", slowly_sent),
    Strike("failover", "another Postgres takes over", failed_over),
)
"""All of them, in the order in which they come."""


def chosen(words: Sequence[str]) -> list[Strike]:
    """Those of these names or kinds; all of them without any."""
    return [
        strike
        for strike in STRIKES
        if not words or any(strike.name == w or strike.name.startswith(f"{w}-") for w in words)
    ]
