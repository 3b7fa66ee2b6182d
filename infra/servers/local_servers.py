"""Servers of one's own on this machine, of installed programs: Redis and RabbitMQ.

Each listens on loopback only, on a port that was free, and keeps its data in a folder of its own.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from infra.faults import Fault
from infra.servers.processes import GiveUp, end_groups, never

PATIENCE = 60.0
"""Seconds after which a server that does not answer counts as not starting."""

LAST_WORDS = 15.0
"""Seconds that a server has to end in order."""

LETS_GO = 2.0
"""Seconds in which whoever has ended lets go of a lock, and whatever it started."""

PLACES = ("/usr/lib/rabbitmq/bin", "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
"""Where servers are that are on nobody's PATH, or behind a wrapper that changes the account."""

LARGEST_MESSAGE = 1024 * 1024
"""Bytes of a message that our own RabbitMQ takes; the largest that is meant is a few kilobytes."""


class NotInstalled(Fault):
    """{program} is not installed on this machine: install the package {package}."""


class DidNotStart(Fault):
    """{program} did not start; its log is {log}."""


def program(name: str, package: str) -> str:
    """The path of an installed server."""
    path = os.pathsep.join([*PLACES, os.environ.get("PATH", "")])
    found = shutil.which(name, path=path)
    if found is None:
        raise NotInstalled(program=name, package=package)
    return found


def free_port() -> int:
    """A port on which nothing listens just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepts(port: int) -> bool:
    """Whether something of this machine listens on a port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class AlreadyRuns(Fault):
    """A {program} runs in {home} already, which is for one at a time."""


@contextmanager
def locked(file: Path, program: str, home: Path) -> Iterator[int]:
    """A lock that lasts as long as anybody holds it open; raises AlreadyRuns."""
    lock = os.open(file, os.O_RDONLY | os.O_CREAT, 0o600)
    deadline = time.monotonic() + LETS_GO
    try:
        while not _is_ours(lock):
            if time.monotonic() > deadline:
                raise AlreadyRuns(program=program, home=home)
            time.sleep(0.02)
        yield lock
    finally:
        os.close(lock)


def _is_ours(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Server:
    """One server's process, and the port that tells whether it is up."""

    def __init__(self, name: str, home: Path, port: int, held: Sequence[int] = ()) -> None:
        """`held` are files of ours that it holds open as long as it runs."""
        self.name = name
        self.home = home
        self.port = port
        self.log = home / f"{name}.log"
        self._held = held
        self._process: subprocess.Popen[bytes] | None = None

    def run(
        self, command: Sequence[str], environment: dict[str, str], holding: Sequence[int] = ()
    ) -> None:
        """Start the process, in a session of its own, so that Ctrl-C is for us to hand on.

        `holding` are files that it holds open beside those of the server.
        """
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.home,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(*self._held, *holding),
            )

    def wait_until(self, answers: Callable[[], bool], give_up: GiveUp = never) -> None:
        """Wait until it answers; raises DidNotStart, or what `give_up` raises meanwhile."""
        deadline = time.monotonic() + PATIENCE
        while not answers():
            give_up()
            ended = self._process is None or self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                self.stop()
                raise DidNotStart(program=self.name, log=self.log)
            time.sleep(0.05)

    def stop(self, how: int = signal.SIGTERM) -> None:
        """End it, and all that it started."""
        if self._process is None:
            return
        started, self._process = self._process, None
        end_groups([started.pid], how, LAST_WORDS)
        started.wait()

    def is_up(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    def signal(self, number: int) -> None:
        """Send it, and all that it started, a signal."""
        if self._process is not None:
            os.killpg(self._process.pid, number)

    def accepts(self) -> bool:
        """Whether something listens on its port."""
        return accepts(self.port)


LAST_PORT = 65535
PORT = "port"
"""The file that says where the server of a folder listens."""


def running_rabbitmq(home: Path) -> str | None:
    """The URL of the RabbitMQ whose data are in this folder, if it runs."""
    port = _last_port(home)
    return None if port is None or not accepts(port) else _amqp_url(port)


def running_redis(home: Path) -> str | None:
    """The URL of the Redis of this folder, if it runs."""
    port = _last_port(home)
    return None if port is None or not accepts(port) else _redis_url(port)


def _last_port(home: Path) -> int | None:
    try:
        port = int((home / PORT).read_text())
    except (OSError, ValueError):
        return None
    return port if 0 < port <= LAST_PORT else None


def _usual_port(home: Path) -> int:
    """The port that it had, so that its URL stays, unless somebody else listens there now."""
    port = _last_port(home)
    return free_port() if port is None or accepts(port) else port


def kept_port(home: Path) -> int:
    """The port that whoever serves from this folder had, else a free one, which it has again."""
    port = _usual_port(home)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    (home / PORT).write_text(f"{port}\n")
    return port


def _amqp_url(port: int) -> str:
    return f"amqp://guest:guest@127.0.0.1:{port}/"


def _redis_url(port: int) -> str:
    return f"redis://127.0.0.1:{port}/0"


class LocalRedis(Server):
    """A Redis, empty at its start."""

    def __init__(self, home: Path, held: Sequence[int] = ()) -> None:
        super().__init__("redis-server", home, free_port(), held)
        self.url = _redis_url(self.port)

    def start(self, give_up: GiveUp = never) -> None:
        """Start it and wait until it answers; see `wait_until`."""
        command = [
            program(self.name, "redis-server"),
            *("--port", str(self.port), "--bind", "127.0.0.1"),
            *("--save", "", "--appendonly", "no", "--dir", str(self.home)),
        ]
        self.run(command, {})
        (self.home / PORT).write_text(f"{self.port}\n")
        self.wait_until(self.accepts, give_up)


class LocalRabbitMQ(Server):
    """A RabbitMQ, whose data stay in its folder."""

    def __init__(self, home: Path, held: Sequence[int] = ()) -> None:
        super().__init__("rabbitmq-server", home, _usual_port(home), held)
        self._names = Server("epmd", home, free_port(), held)
        """Erlang's own register of names; left to itself it would outlive the server."""
        self.url = _amqp_url(self.port)

    def start(self, give_up: GiveUp = never) -> None:
        """Start it and wait until it takes connections; see `wait_until`."""
        server, names = program(self.name, "rabbitmq-server"), program("epmd", "erlang-base")
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        port = str(self._names.port)
        with locked(self.home / "lock", self.name, self.home) as lock:
            environment = self._configured()
            self._names.run([names, "-port", port, "-address", "127.0.0.1"], {})
            self._names.wait_until(self._names.accepts, give_up)
            self.run([server], environment, [lock])
        self.wait_until(self.accepts, give_up)

    def _configured(self) -> dict[str, str]:
        """Write its settings; returns those that it takes from its environment."""
        home = self.home
        (home / PORT).write_text(f"{self.port}\n")
        (home / "enabled_plugins").write_text("[].\n")
        (home / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"max_message_size = {LARGEST_MESSAGE}\n"
            "log.console = true\nlog.console.level = warning\nlog.file = false\n"
        )
        return {
            "HOME": str(home),
            "RABBITMQ_NODENAME": "club@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "ERL_EPMD_PORT": str(self._names.port),
            "RABBITMQ_MNESIA_BASE": str(home / "data"),
            "RABBITMQ_LOG_BASE": str(home),
            "RABBITMQ_PID_FILE": str(home / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def is_up(self) -> bool:
        """Whether both run: without the register it would start one that nobody ends."""
        return super().is_up() and self._names.is_up()

    def stop(self, how: int = signal.SIGTERM) -> None:
        """End it, and its register of names."""
        super().stop(how)
        self._names.stop()
