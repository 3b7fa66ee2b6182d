"""The service as its users start it: real processes, in a home of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil

from infra.servers.local_servers import free_port
from infra.servers.processes import has_ended

CHECKOUT = Path(__file__).parents[2]
CLUB = Path(sys.executable).with_name("club")
PASSWORD = "correct horse battery"

# `make run`, but for setting up .venv anew under the suite that runs in it.
MAKE_RUN = ("make", "--no-print-directory", "--old-file=.venv/ready", "run")
CLUB_RUN = (str(CLUB), "run")

PATIENCE = 60.0
"""Seconds after which something that should happen counts as not happening."""


def until(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """What the condition gives as soon as it gives something."""
    deadline = time.monotonic() + patience
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience:.0f} s: {what}")
        time.sleep(0.02)
    return found


def launched(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    log: Path,
    checkout: Path = CHECKOUT,
) -> subprocess.Popen[bytes]:
    """A process in a session of its own, as in a terminal of its own; what it says is logged."""
    with log.open("ab") as said:
        return subprocess.Popen(
            command,
            cwd=checkout,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )


class Service:
    """One home, the service in it, and the command line beside it."""

    checkout = CHECKOUT
    command: Sequence[str | Path] = (CLUB,)
    """The command line, run in the checkout."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        outside = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CLUB_", "MAKE", "MFLAGS", "ARGS"))
        }
        ours = {"CLUB_HOME": str(home), "CLUB_HTTP_PORT": str(self.port)}
        self.environment: Mapping[str, str] = {**outside, **ours, **settings}
        self.said = home.with_name(f"{home.name}.said")
        self._process: subprocess.Popen[bytes] | None = None

    # --- the service -----------------------------------------------------------------------

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def launch(self, command: Sequence[str | Path] | None = None) -> None:
        """Start it; what it said before is gone."""
        self.said.unlink(missing_ok=True)
        run = (*self.command, "run") if command is None else command
        self._process = launched(run, self.environment, self.said, self.checkout)

    def start(
        self, command: Sequence[str | Path] | None = None, patience: float = PATIENCE
    ) -> None:
        """Start it and wait until it is open."""
        self.launch(command)
        until(self.is_open, f"the club is open; it says why not in {self.said}", patience)

    def is_open(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the service ended and said: {self.said.read_text()}")
        try:
            return httpx.get(f"{self.url}/health/", timeout=PATIENCE).status_code == 200
        except httpx.TransportError:
            return False

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send it the signal; the status with which it ends."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def ctrl_c(self) -> int:
        """What Ctrl-C in its terminal does; the status with which it ends."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """End the service, not its Postgres, without a word of warning."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def close(self) -> None:
        """Leave nothing running, whatever became of a test."""
        if self._process is not None and self._process.poll() is None:
            try:
                self.end()
            except subprocess.TimeoutExpired:
                self.kill()
        if self.postgres_runs():
            # A last holder that leaves stops it.
            self.club("tokens", "issue", "nobody")

    # --- its Postgres ----------------------------------------------------------------------

    def postmaster(self) -> psutil.Process:
        lines = (self.home / "postgres/postmaster.pid").read_text().splitlines()
        return psutil.Process(int(lines[0]))

    def postgres_runs(self) -> bool:
        try:
            return not has_ended(self.postmaster())
        except (FileNotFoundError, NotADirectoryError, psutil.NoSuchProcess):
            return False

    # --- the command line ------------------------------------------------------------------

    def club(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run `club` on the same home."""
        return subprocess.run(
            [*self.command, *arguments],
            cwd=self.checkout,
            env=self.environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def admin(self, name: str = "owner") -> dict[str, str]:
        """The headers of a new ADMIN."""
        made = self.club(
            "users",
            "create-admin",
            f"--username={name}",
            f"--email={name}@example.com",
            given="correct horse battery\n",
        )
        assert made.returncode == 0, made.stderr
        issued = self.club("tokens", "issue", name)
        assert issued.returncode == 0, issued.stderr
        return {"Authorization": f"Bearer {issued.stdout.strip()}"}

    def http(self, headers: Mapping[str, str] | None = None) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE)


def a_payment(service: Service, headers: dict[str, str], name: str, **facts: Any) -> str:
    """The path of a payment that a new client is asked for."""
    with service.http(headers) as http:

        def made(path: str, **body: Any) -> int:
            answer = http.post(path, json=body)
            assert answer.status_code == 201, answer.text
            return int(answer.json()["id"])

        account = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        membership_id = made("/memberships/", price="9.90")
        client_id = made(
            "/clients/",
            user_id=made("/users/", **account),
            membership_id=membership_id,
            first_name="Maria",
            last_name="Fernández",
            phone_number="+34 600 000000",
            date_of_birth="1990-04-17",
            status="UPCOMING",
        )
        payment_id = made("/payments/", client_id=client_id, membership_id=membership_id, **facts)
    return f"/payments/{payment_id}/"
