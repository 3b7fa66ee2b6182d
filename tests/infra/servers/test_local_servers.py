"""Servers of one's own: found or asked for in a sentence, kept to this machine, ended with all."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import psutil
import pytest

from infra.servers import local_servers
from infra.servers.local_servers import (
    AlreadyRuns,
    DidNotStart,
    LocalRabbitMQ,
    LocalRedis,
    NotInstalled,
    Server,
    free_port,
    program,
    running_rabbitmq,
)
from infra.servers.processes import has_ended
from tests.acceptance.service import until

LISTEN = """
import socket, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
socket.create_server(("127.0.0.1", int(sys.argv[1]))).accept()
child.wait()
"""
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + LISTEN


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(local_servers, "PLACES", ())
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.parametrize(
    ("kind", "package"), [(LocalRedis, "redis-server"), (LocalRabbitMQ, "rabbitmq-server")]
)
def test_a_missing_program_is_asked_for_and_nothing_is_started(
    nothing_installed: None, tmp_path: Path, kind: type[LocalRedis | LocalRabbitMQ], package: str
) -> None:
    with pytest.raises(NotInstalled, match=f"install the package {package}"):
        kind(tmp_path / "home").start()
    assert not list(tmp_path.glob("home/*.log"))


def test_a_program_on_the_path_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "a-server"
    tool.write_text("")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program("a-server", "a-package") == str(tool)


def test_why_it_did_not_start_is_in_the_log_that_is_named(tmp_path: Path) -> None:
    server = Server("broken", tmp_path, free_port())
    server.run([sys.executable, "-c", "raise SystemExit('no room')"], {})
    with pytest.raises(DidNotStart, match=r"broken\.log"):
        server.wait_until(server.accepts)
    assert server.log.read_text() == "no room\n"


@pytest.mark.parametrize("code", [LISTEN, DEAF], ids=["in order", "deaf"])
def test_it_ends_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(local_servers, "LAST_WORDS", 0.5)
    server = Server("listener", tmp_path, free_port())
    server.run([sys.executable, "-c", code, str(server.port)], {})
    server.wait_until(server.accepts)
    child = psutil.Process(int(server.log.read_text()))

    server.stop()

    assert not server.accepts()
    until(lambda: has_ended(child), "its child has ended")
    server.stop()  # once more does no harm


def test_a_rabbitmq_of_ones_own_is_for_this_machine_alone_and_keeps_its_data(
    rabbitmq: str, tmp_path: Path
) -> None:
    server = LocalRabbitMQ(tmp_path / "rabbitmq")
    before = set(psutil.Process().children(recursive=True))
    try:
        server.start()
        started = set(psutil.Process().children(recursive=True)) - before
        listening = {
            connection.laddr.ip
            for process in started
            if not has_ended(process)
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert "127.0.0.1" in listening
        assert listening <= {"127.0.0.1", "::1"}
        with pytest.raises(AlreadyRuns):
            LocalRabbitMQ(server.home).start()
        assert server.accepts()
        url = server.url
        shell = next(p for p in started if p.name() == "rabbitmq-server")
        shell.kill()  # what runs in it goes on
        until(lambda: not server.is_up(), "the shell has ended")
        server.stop(signal.SIGKILL)
        server.start()
        assert running_rabbitmq(server.home) == url
    finally:
        server.stop(signal.SIGTERM)
    until(lambda: all(has_ended(process) for process in started), "nothing of it is left")
    assert (server.home / "data").is_dir()
    assert running_rabbitmq(server.home) is None
    assert LocalRabbitMQ(server.home).url == url


@pytest.mark.parametrize("port", ["", "x", "0", "-1", "70000"])
def test_a_home_that_says_nothing_of_a_port_has_no_rabbitmq(tmp_path: Path, port: str) -> None:
    (tmp_path / "port").write_text(port)
    assert running_rabbitmq(tmp_path) is None
    assert running_rabbitmq(tmp_path / "port") is None
