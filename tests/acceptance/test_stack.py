"""`club stack`: every part a process of its own, with one command; and nothing left of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from typer.testing import Result

from infra.servers import local_servers
from infra.servers.local_servers import DidNotStart
from infra.servers.processes import has_ended
from interfaces.cli import minded
from interfaces.cli.minded import PrivateServer
from tests.acceptance.service import CLUB, PASSWORD, Service, a_payment, until
from tests.servers import program

Services = Callable[..., Service]

STACK = (str(CLUB), "stack")
PARTS = {"api", "projector", "consumer", "relay", "worker", "report-worker", "beat"}
SOON = 45.0
"""Seconds in which all of it has to end, also on a busy machine."""


class Stack:
    """A running stack."""

    def __init__(self, service: Service) -> None:
        self.service = service
        service.start(STACK)
        until(self.is_well, f"every part runs; it said: {service.said.read_text()}")

    def is_well(self) -> bool:
        return bool(self.health()["status"] == "running")

    def health(self) -> Any:
        with self.service.http() as http:
            return http.get("/health/").json()

    def part(self, name: str) -> int:
        """The process id of a part, as the stack tells it; the newest."""
        said = self.service.said.read_text()
        pids = re.findall(rf"^  {name} +(?:started again: )?([0-9]+)$", said, re.MULTILINE)
        return int(pids[-1])

    def rabbitmq(self) -> str:
        """Where its RabbitMQ listens."""
        (url,) = re.findall(r"RabbitMQ: (amqp://\S+)", self.service.said.read_text())
        return str(url)

    def processes(self) -> list[psutil.Process]:
        """All that it has started, and their children, and its Postgres."""
        children = psutil.Process(self.service.process.pid).children(recursive=True)
        return [*children, self.service.postmaster()] if self.service.postgres_runs() else children

    def provider(self, *arguments: str) -> str:
        """`club providers …`, on the same home: so it finds the stack's servers."""
        done = self.service.club("providers", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def stack(services: Services, rabbitmq: str) -> Stack:
    """A stack that many tests look at; of `rabbitmq` only that it is installed matters."""
    program("redis-server", ("redis-server", "redis", "redis", "redis"), "CLUB_REDIS_URL")
    return Stack(services())


def all_gone(processes: list[psutil.Process]) -> bool:
    return all(has_ended(process) for process in processes)


def ends_soon(stack: Stack, end: Callable[[], int]) -> None:
    """It ends in order, in time, and takes everything with it."""
    processes = stack.processes()
    assert len(processes) > len(PARTS), "servers, too"
    begun = time.monotonic()

    assert end() == 0

    until(lambda: all_gone(processes), f"all of them end: {processes}")
    assert time.monotonic() - begun < SOON
    said = stack.service.said.read_text()
    assert "Traceback" not in said, said


def test_it_is_well_and_says_so(stack: Stack) -> None:
    health = stack.health()
    assert health["status"] == "running"
    assert {"redis", "rabbitmq", "consumers", "relay", "projector"} <= health["components"].keys()
    assert health["components"]["rabbitmq"]["parked"] == 0
    for name in PARTS:
        assert psutil.pid_exists(stack.part(name))


def test_status_in_its_folder_names_the_parts_over_rabbitmq_too(stack: Stack) -> None:
    told = stack.service.club("status")
    assert told.returncode == 0, told.stdout + told.stderr
    working = {name for name, *_ in map(str.split, told.stdout.splitlines()[1:])}
    assert working >= {"api", "projector", "commands", "payments", "relay", "rabbitmq", "worker"}


def test_whoever_registers_can_log_in(stack: Stack) -> None:
    body = {"username": "ada", "email": "ada@example.com", "password": PASSWORD}
    with stack.service.http() as http:
        assert http.post("/users/", json=body).status_code == 201
        login = {"username": "ada", "password": PASSWORD}
        begun = http.post("/jwt-auth/login/", json=login).json()
        said = stack.service.said.read_text
        shown = until(lambda: re.findall(r"code of ada: ([0-9]{6})", said()), "the code is shown")
        code = {"login_token": begun["login_token"], "code": shown[-1]}
        assert "refresh_token" in http.post("/jwt-auth/verification/", json=code).json()


def settles(stack: Stack, headers: dict[str, str], path: str) -> None:
    """The provider says that it was paid; so it becomes PAID, and its client ACTIVE."""
    stack.provider("simulate", "acme", "--payment", path.split("/")[2], "--times", "3")
    with stack.service.http(headers) as http:

        def paid() -> bool:
            return bool(http.get(path).json()["payment_status"] == "PAID")

        until(paid, "the payment settles")
        client = http.get(f"/clients/{http.get(path).json()['client_id']}/").json()
    assert client["status"] == "ACTIVE"


@pytest.fixture(scope="module")
def headers(stack: Stack) -> dict[str, str]:
    """Of an administrator; and there is a provider."""
    stack.provider("add", "acme")
    return stack.service.admin()


def test_a_payment_that_is_reported_over_rabbitmq_settles(
    stack: Stack, headers: dict[str, str]
) -> None:
    settles(stack, headers, a_payment(stack.service, headers, "maria"))


def started_again(stack: Stack, name: str, killed: int) -> bool:
    return stack.part(name) != killed


def test_a_part_that_is_killed_is_started_again(stack: Stack, headers: dict[str, str]) -> None:
    path = a_payment(stack.service, headers, "marta")
    killed = {name: stack.part(name) for name in ("consumer", "projector", "api")}
    for pid in killed.values():
        psutil.Process(pid).kill()
    for name, pid in killed.items():
        until(partial(started_again, stack, name, pid), f"another {name}")
    until(stack.service.is_open, "it is open again")
    settles(stack, headers, path)


NAMES = {
    "projector": {"projector", "seals"},
    "consumer": {"commands", "payments"},
    "relay": {"relay"},
    "worker": {"worker"},
    "report-worker": {"report-worker"},
    "beat": {"beat"},
}
"""What the parts of a process are called in `/health/`."""


def test_parts_that_are_frozen_are_named_until_they_go_on(stack: Stack) -> None:
    frozen = [psutil.Process(stack.part(name)) for name in NAMES]
    expected = set().union(*NAMES.values())
    begun = time.monotonic()
    for process in frozen:
        process.suspend()

    def silent() -> set[str]:
        found = stack.health()["components"].items()
        return {name for name, shown in found if shown["status"] == "silent" and shown["since"]}

    until(lambda: silent() == expected, f"all of them are named, not {silent()}", 60)
    assert time.monotonic() - begun < 60
    assert stack.health()["status"] == "degraded"
    for process in frozen:
        process.resume()
    until(stack.is_well, f"all is well again, not {stack.health()}", 60)


def test_a_server_that_is_killed_is_started_again_with_its_data(
    stack: Stack, headers: dict[str, str]
) -> None:
    path = a_payment(stack.service, headers, "mireia")
    killed = [process for process in stack.processes() if is_server(process)]
    assert len(killed) == 4, killed
    for process in killed:
        process.kill()

    until(lambda: all_gone(killed), "they are gone")
    until(lambda: stack.health()["status"] == "running", "all is well again", 60)
    settles(stack, headers, path)


def is_server(process: psutil.Process) -> bool:
    """Whether it is what somebody would kill who wants a server gone."""
    postmaster = process.name() == "postgres" and process.ppid() == 1
    return postmaster or process.name() in {"redis-server", "beam.smp", "epmd"}


def test_a_second_stack_in_its_home_says_that_one_runs_already(stack: Stack) -> None:
    second = stack.service.club("stack")
    assert second.returncode == 1
    assert second.stderr.startswith("A stack runs in ")
    assert stack.is_well()


def test_ctrl_c_ends_all_of_it(stack: Stack) -> None:
    ends_soon(stack, stack.service.ctrl_c)


def test_sigterm_ends_all_of_it_after_another_start_on_the_same_data(
    stack: Stack, headers: dict[str, str]
) -> None:
    again = Stack(stack.service)
    settles(again, headers, a_payment(again.service, headers, "mercedes"))
    ends_soon(again, again.service.end)


@pytest.mark.usefixtures("redis_url", "rabbitmq")
def test_what_a_killed_stack_left_goes_on_until_the_next_stack_which_ends_it(
    services: Services,
) -> None:
    killed = Stack(services())
    killed.provider("add", "acme")
    headers, url = killed.service.admin(), killed.rabbitmq()
    path = a_payment(killed.service, headers, "milagros")
    left = psutil.Process(killed.service.process.pid).children(recursive=True)
    killed.service.kill()
    assert len(left) > len(PARTS)
    assert not any(has_ended(process) for process in left)
    assert killed.provider("list") == "acme  one secret\n"
    assert killed.health()["status"] == "running", "a command beside them leaves their Postgres"
    next(process for process in left if process.name() == "rabbitmq-server").kill()

    killed.service.launch(STACK)
    until(lambda: all_gone(left), "the next stack ends what was left")
    until(killed.service.is_open, "it is open")
    until(killed.is_well, "all is well")
    assert killed.rabbitmq() == url
    settles(killed, headers, path)
    ends_soon(killed, partial(killed.service.end, signal.SIGHUP))


def test_told_to_end_while_it_still_starts_it_leaves_nothing(services: Services) -> None:
    service = services()
    service.launch(STACK)
    log = service.home / "rabbitmq" / "rabbitmq-server.log"
    until(log.exists, "RabbitMQ is being started")
    processes = psutil.Process(service.process.pid).children(recursive=True)
    processes.append(service.postmaster())

    assert service.end() == 0

    until(lambda: all_gone(processes), f"all of them end: {processes}")
    assert "Traceback" not in service.said.read_text()


@pytest.mark.usefixtures("redis_url", "rabbitmq")  # so that both programs are installed
@pytest.mark.parametrize("name", ["redis-server", "rabbitmq-server", "club"])
def test_told_to_end_at_the_moment_that_a_process_starts_it_leaves_nothing(
    command: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    database: str,
    name: str,
) -> None:
    monkeypatch.setenv("CLUB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CLUB_DATABASE_URL", database)
    for variable in ("CLUB_REDIS_URL", "CLUB_AMQP_URL"):
        monkeypatch.delenv(variable, raising=False)
    started: list[psutil.Process] = []

    class Started(subprocess.Popen[bytes]):
        """A process of which nobody knows yet when the signal comes."""

        def __init__(self, args: Sequence[str], **options: Any) -> None:
            super().__init__(args, **options)
            started.append(psutil.Process(self.pid))
            if Path(args[0]).name.startswith(name):
                os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(subprocess, "Popen", Started)
    ended = command("stack")

    assert ended.exit_code == 0, ended.output
    assert started
    until(lambda: all_gone(started), f"all of them end: {started}")


def test_a_server_that_does_not_start_again_is_tried_until_it_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(minded, "AGAIN", 0.1)
    log = Path("server.log")
    refusals = [DidNotStart(program="server", log=log) for _ in range(2)]
    runs: list[bool] = []

    def start() -> None:
        if refusals:
            raise refusals.pop()
        runs.append(True)

    server = PrivateServer("server", lambda: bool(runs), start)
    server.look()
    server.look()
    assert len(refusals) == 1, "not at once again"

    def runs_once_looked_at() -> bool:
        server.look()
        return bool(runs)

    until(runs_once_looked_at, "it runs")
    assert capsys.readouterr().err.count("server did not start; its log is server.log.") == 2


def test_with_all_servers_given_it_starts_none(
    services: Services, database: str, redis_url: str, rabbitmq: str
) -> None:
    given = {
        "CLUB_DATABASE_URL": database,
        "CLUB_REDIS_URL": redis_url,
        "CLUB_AMQP_URL": rabbitmq,
    }
    stack = Stack(services(**given))
    names = {process.name() for process in stack.processes()}
    assert not {name for name in names if re.search("postgres|redis|beam|erl|epmd", name)}, names
    # What Celery writes its schedule to has endings of its own, by the machine's databases.
    assert {path.stem for path in stack.service.home.iterdir()} <= {
        "keys",
        "seals",
        "stack",
        "celery-beat",
    }

    assert stack.service.end() == 0


def test_without_rabbitmq_on_the_machine_a_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Result]
) -> None:
    monkeypatch.setattr(local_servers, "PLACES", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CLUB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CLUB_DATABASE_URL", "postgresql:///nobody-connects")
    monkeypatch.setenv("CLUB_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.delenv("CLUB_AMQP_URL", raising=False)

    done = command("stack")

    assert done.exit_code == 1
    assert done.stderr.endswith(
        "\nrabbitmq-server is not installed on this machine: install the package rabbitmq-server.\n"
    )


def chain_runs(service: Service) -> None:
    """Wait until its workers and clubs do, and it can be read."""
    said = service.said.read_text()
    until(lambda: service.club("stream", "status").returncode == 0, f"the chain runs: {said}")
    accepts = partial(local_servers.accepts, int(addresses(service)["The chain"].rsplit(":")[-1]))
    until(accepts, f"the chain can be read: {said}")


def addresses(service: Service) -> dict[str, str]:
    """Where the second club, the chain and its Kafka are, as the stack tells it."""
    said = service.said.read_text()
    told = re.findall(r"^  (The second club|The chain): +(http://[0-9.:]+)", said, re.MULTILINE)
    return dict([*told, *re.findall("(CLUB_KAFKA_URL)=([^ ]+) ", said)])


@pytest.fixture(scope="module")
def chained(services: Services) -> Service:
    """A home for a stack with a chain."""
    return services()


def embedded(home: Path) -> str:
    """The address of a club with an embedded Postgres, as docs/operations.md gives it."""
    password = (home / "postgres.password").read_text()
    return f"postgresql://club:{password}@/club?host={home}/postgres"


A_CHAINS_PATIENCE = 180.0
"""Seconds for the first start of a chain: two clubs are made, and some twenty processes begin."""


def test_a_chain_of_two_clubs_runs_beside_the_stack_and_goes_with_it(chained: Service) -> None:
    try:
        chained.start((*STACK, "--chain"), A_CHAINS_PATIENCE)
        chain_runs(chained)
        said = chained.club("stream", "status").stdout
        assert said.count(" running since ") == 2
        for asked in (("stream", "status"), ("chain", "clubs", "list"), ("stream", "compare")):
            found = chained.club(*asked)
            assert found.returncode == 0, found.stderr
            assert "first" in found.stdout
            assert "second" in found.stdout
        second = (chained.home / "second" / "postgres" / "postmaster.pid").read_text()
        processes = psutil.Process(chained.process.pid).children(recursive=True)
        processes += [chained.postmaster(), psutil.Process(int(second.split()[0]))]
    finally:
        assert chained.ctrl_c() == 0
    until(partial(all_gone, processes), "all of it ends", SOON)


def test_started_again_the_chain_goes_on_where_it_was_and_is_read_there(chained: Service) -> None:
    told = addresses(chained)
    assert told.keys() == {"The second club", "The chain", "CLUB_KAFKA_URL"}
    try:
        chained.start((*STACK, "--chain"), A_CHAINS_PATIENCE)
        chain_runs(chained)
        assert addresses(chained) == told
        added = chained.club("chain", "users", "add", "ada", "--role", "ADMIN")
        assert added.returncode == 0, added.stderr
        token = chained.club("chain", "users", "token", "ada").stdout.strip()
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.get(f"{told['The chain']}/chain/clubs/", headers=headers)
        assert [club["name"] for club in answer.json()] == ["first", "second"]
        moved = chained.club("chain", "clubs", "move", "second", embedded(chained.home / "second"))
        assert moved.returncode == 0, moved.stderr
    finally:
        assert chained.ctrl_c() == 0
