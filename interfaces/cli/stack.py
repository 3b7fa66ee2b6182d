"""`club stack`: every part of the service as a process of its own, on this machine, at once."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from infra.bootstrap import MAKING_POSTGRES, make_club
from infra.parts import REPORTS, TASKS
from infra.servers.embedded_postgres import (
    embedded_postgres,
    has_database,
    is_up,
    kept_for_others,
    start_again,
)
from infra.servers.local_servers import LocalRabbitMQ, LocalRedis, locked
from infra.servers.processes import GiveUp, end_groups, end_holders
from infra.settings import Settings
from interfaces.cli.minded import AGAIN, Minded, PrivateServer
from interfaces.cli.opening import RABBITMQ, REDIS, in_plain_words, settings, tell
from interfaces.cli.stack_chain import Beside, open_beside

CELERY = ("-m", "celery", "--app", "interfaces.tasks.main", "--quiet")


def stack(
    chain: Annotated[
        bool, typer.Option("--chain", help="run a second club, and a chain of both, too")
    ] = False,
) -> None:
    """Run API, projector, consumers, relay, bot and Celery as processes of their own.

    Postgres, Redis and RabbitMQ are those of the settings, else private ones of this machine.
    """
    found = settings()
    with in_plain_words(), _told_to_end() as give_up, ExitStack() as opened:
        mark = opened.enter_context(_only_one(found.home / "stack", give_up))
        environment, servers = _servers(found, opened, mark, give_up)
        held = [mark]
        if found.database_url is None:
            held.append(opened.enter_context(kept_for_others(found.home)))
        give_up()
        # All parts but the projector find the club made, and would end where it is not.
        url = environment.get("CLUB_DATABASE_URL", found.database_url)
        asyncio.run(make_club(found.model_copy(update={"database_url": url}), tell))
        wanted: list[tuple[str, Sequence[str], Mapping[str, str]]]
        wanted = [(name, command, environment) for name, command in _commands(found)]
        beside = None
        if chain:
            beside = open_beside(found, environment, opened, mark, give_up)
            wanted += [(name, (_club(), *command), of) for name, command, of in beside.parts]
            servers += beside.servers
            held += beside.held
        parts: list[Part] = []
        opened.callback(_stop, parts)
        for name, command, of in wanted:
            give_up()
            parts.append(Part(name, command, of, held))
        _banner(found, parts, environment, beside)
        _keep_running([*servers, *parts], give_up)


class Part:
    """One process."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        held: Sequence[int],
    ) -> None:
        self.name = name
        self._command = command
        self._environment = environment
        self._held = held
        self._ended = 0.0
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        # In a session of its own, so that Ctrl-C is for us to hand on, in order.
        return subprocess.Popen(
            self._command,
            env={**os.environ, **self._environment},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=self._held,
        )

    def look(self) -> None:
        """Start it again where it has ended."""
        if self.process.poll() is None:
            return
        if not self._ended:
            self._ended = time.monotonic()
            print(f"  {self.name} ended with {self.process.returncode}", file=sys.stderr)
        elif time.monotonic() - self._ended > AGAIN:
            self._ended = 0.0
            self.process = self._start()
            print(f"  {self.name} started again: {self.process.pid}", file=sys.stderr)


class _Told(Exception):
    """Somebody wants the stack to end."""


@contextmanager
def _told_to_end() -> Iterator[GiveUp]:
    """What ends the block, where it is called, once there was a Ctrl-C, a SIGTERM or a SIGHUP.

    The signal itself raises nothing: between a process that has started and the line that keeps
    it, that would leave the process behind.
    """
    told: list[int] = []

    def give_up() -> None:
        if told:
            raise _Told

    before = {
        number: signal.signal(number, lambda number, _: told.append(number))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield give_up
    except _Told:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _only_one(folder: Path, give_up: GiveUp) -> Iterator[int]:
    """A file for every process of the stack to hold open; raises AlreadyRuns.

    Who still holds that of a stack that was killed is ended first.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(folder / "lock", "stack", folder.parent):
        left = end_holders(folder / "mark", give_up)
        if left:
            names = ", ".join(left)
            print(f"  Ended what a stack that was killed had left: {names}", file=sys.stderr)
        with (folder / "mark").open("w") as mark:
            yield mark.fileno()


def _servers(
    found: Settings, opened: ExitStack, mark: int, give_up: GiveUp
) -> tuple[dict[str, str], list[Minded]]:
    """The settings under which every part finds the same servers; and those that are private."""
    home = found.home.resolve()
    environment = {"CLUB_HOME": str(home)}
    private: list[Minded] = []
    if found.database_url is None:
        if not has_database(home):
            tell(MAKING_POSTGRES.format(folder=found.home / "postgres"))
        environment["CLUB_DATABASE_URL"] = opened.enter_context(embedded_postgres(home))
        private.append(PrivateServer("postgres", partial(is_up, home), partial(start_again, home)))
        environment["CLUB_CONSOLE_CODES"] = str(found.console_codes is not False).lower()
    for variable, given, kind, folder in (
        ("CLUB_REDIS_URL", found.redis_url, LocalRedis, REDIS),
        ("CLUB_AMQP_URL", found.amqp_url, LocalRabbitMQ, RABBITMQ),
    ):
        if given is None:
            give_up()
            server = kind(home / folder, [mark])
            if not (home / folder).exists():
                tell(f"Making a private {server.name} in {found.home / folder}: some seconds.")
            opened.callback(server.stop)
            server.start(give_up)
            again = partial(_start_again, server, give_up)
            private.append(PrivateServer(server.name, server.is_up, again))
            environment[variable] = server.url
    return environment, private


def _start_again(server: LocalRedis | LocalRabbitMQ, give_up: GiveUp) -> None:
    server.stop()  # whatever of it is left
    server.start(give_up)


def _club() -> str:
    return str(Path(sys.executable).with_name("club"))


def _commands(found: Settings) -> Iterator[tuple[str, Sequence[str]]]:
    club = _club()
    yield "api", (club, "run", "--no-bot", "--no-projector", "--no-amqp", "--no-timers")
    yield "projector", (club, "projector")
    yield "consumer", (club, "consumer")
    yield "relay", (club, "relay")
    if found.telegram_token is not None:
        yield "bot", (club, "bot")
    schedule = str(found.home.resolve() / "celery-beat")
    # Gossip and mingling need queues of a kind that RabbitMQ is about to give up.
    alone = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    working = (sys.executable, *CELERY, "worker", *alone)
    yield "worker", (*working, "--queues", TASKS, "--pool", "solo")
    # In processes of their own: what takes too long can be ended.
    of_reports = ("--queues", REPORTS, "--concurrency", "2", "--hostname", "reports@%h")
    yield "report-worker", (*working, *of_reports)
    yield "beat", (sys.executable, *CELERY, "beat", "--schedule", schedule)


def _keep_running(all_of_it: Sequence[Minded], give_up: GiveUp) -> NoReturn:
    while True:
        give_up()
        for one in all_of_it:
            one.look()
        time.sleep(0.2)


def _stop(parts: Sequence[Part]) -> None:
    """End all parts together, and whoever does not listen, for good."""
    end_groups([part.process.pid for part in parts])
    for part in parts:
        part.process.wait()


def _banner(
    found: Settings, parts: Sequence[Part], environment: Mapping[str, str], beside: Beside | None
) -> None:
    url = f"http://{found.http_host}:{found.http_port}"
    print(f"\n  The club opens: {url}  (documentation: {url}/docs)\n", file=sys.stderr)
    for part in parts:
        print(f"  {part.name:<14} {part.process.pid}", file=sys.stderr)
    if rabbitmq := environment.get("CLUB_AMQP_URL"):
        print(f"\n  RabbitMQ: {rabbitmq}", file=sys.stderr)
    if beside is not None:
        print(file=sys.stderr)
        for line in beside.told(found):
            print(f"  {line}", file=sys.stderr)
    print("\n  Ctrl-C closes the club.\n", file=sys.stderr, flush=True)
