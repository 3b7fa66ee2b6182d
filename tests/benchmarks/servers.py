"""The two services, each started as a process of its own on a free port and its own database."""

import asyncio
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from infra.bootstrap import make_club
from infra.servers.local_servers import free_port
from infra.settings import Settings
from projections.engine.lists import write_cursor
from tests.benchmarks import baseline
from tests.benchmarks.postgres import analyze, checkpoint, create_database, sqlalchemy_url
from tests.benchmarks.seeding import seed

ROOT = Path(__file__).resolve().parents[2]
CLUB = [sys.executable, "-m", "interfaces.cli.main"]
STARTUP_SECONDS = 120
TOKEN_SECONDS = 3600


class Broken(Exception):
    """A program that the benchmarks run did not do its part."""


@dataclass(frozen=True)
class Service:
    """A running service with users and memberships that no client holds yet."""

    name: str
    database: str
    port: int
    pid: int
    headers: bytes
    users: range
    memberships: range
    cursor: Callable[[int], str] = str
    """What `?after=` takes to go on after a client."""


@contextmanager
def baseline_service(
    url: str, home: Path, users: int, memberships: int, name: str = "baseline"
) -> Iterator[Service]:
    """The plain service, seeded, with an administrator's token."""
    database = create_database(url, name)
    asyncio.run(baseline.seed(sqlalchemy_url(database), users, memberships))
    checkpoint(url)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public_key = home / f"{name}.pem"
    public_key.write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    port = free_port()
    environment = {
        "BENCH_DATABASE_URL": sqlalchemy_url(database),
        "BENCH_HTTP_PORT": str(port),
        "BENCH_PUBLIC_KEY": str(public_key),
    }
    command = [sys.executable, "-m", "tests.benchmarks.baseline"]
    with process(command, environment, home / f"{name}.log") as running:
        headers = bearer(_admin_token(key))
        wait_until_shown(running, port, ["/health/"], headers)
        yield Service(
            name,
            database,
            port,
            running.pid,
            headers,
            range(1, users + 1),
            range(1, memberships + 1),
        )


@contextmanager
def club_service(
    url: str, home: Path, users: int, memberships: int, **settings: str
) -> Iterator[Service]:
    """Our service as it is run by a user, seeded, with an administrator's token."""

    async def fill(database: str) -> tuple[range, range]:
        return await seed(database, users, memberships)

    with filled_club(url, home, fill, **settings) as service:
        yield service


@contextmanager
def filled_club(
    url: str,
    home: Path,
    fill: Callable[[str], Coroutine[None, None, tuple[range, range]]],
    **settings: str,
) -> Iterator[Service]:
    """Our service, with what `fill` put into its ledger; it tells the numbers."""
    name = f"club_{uuid.uuid4().hex[:8]}"
    database = create_database(url, name)
    port = free_port()
    environment = club_environment(database, home / name, port) | settings
    asyncio.run(make_club(Settings(database_url=database, home=home / name)))
    admin = ["users", "create-admin", "--username", "bench", "--email", "bench@example.com"]
    club(admin, environment, given="correct horse battery staple\n")
    user_ids, membership_ids = asyncio.run(fill(database))
    club(["replay"], environment)
    analyze(database)
    checkpoint(url)
    headers = bearer(club(["tokens", "issue", "bench", "--minutes", "60"], environment).strip())
    with process([*CLUB, "run"], environment, home / f"{name}.log") as running:
        last = [f"/users/{user_ids[-1]}/", f"/memberships/{membership_ids[-1]}/"]
        wait_until_shown(running, port, ["/health/", *last], headers)
        yield Service(
            name,
            database,
            port,
            running.pid,
            headers,
            user_ids,
            membership_ids,
            cursor=lambda client: write_cursor(str(client), [client]),
        )


def club_environment(database: str, home: Path, port: int) -> dict[str, str]:
    """The settings of our service on this database."""
    return {
        "CLUB_DATABASE_URL": database,
        "CLUB_HOME": str(home),
        "CLUB_HTTP_PORT": str(port),
    }


def club(arguments: Sequence[str], environment: dict[str, str], given: str = "") -> str:
    """Run our command line to its end; what it printed."""
    done = subprocess.run(
        [*CLUB, *arguments],
        input=given,
        env=os.environ | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=STARTUP_SECONDS,
        check=False,  # what it said is shown below
    )
    if done.returncode:
        raise Broken([*CLUB, *arguments], done.stdout + done.stderr)
    return done.stdout


@contextmanager
def process(
    command: Sequence[str], environment: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A server's process from its start to its orderly end; its log is shown if it breaks."""
    with log.open("wb") as output:
        running = subprocess.Popen(
            command,
            env=os.environ | environment,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield running
    except Exception as broken:
        broken.add_note(f"the end of its log:\n{log.read_text(errors='replace')[-3000:]}")
        raise
    finally:
        running.terminate()
        try:
            running.wait(timeout=30)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def wait_until_shown(
    running: subprocess.Popen[bytes], port: int, paths: Sequence[str], headers: bytes
) -> None:
    """Wait until every path answers 200: the server is up and has caught up."""
    authorization = headers.decode().split(": ", 1)[1].strip()
    give_up = time.monotonic() + STARTUP_SECONDS
    for path in paths:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}", headers={"Authorization": authorization}
        )
        while True:
            try:
                with urllib.request.urlopen(request, timeout=STARTUP_SECONDS):
                    break
            except OSError as not_yet:
                last = not_yet
            if running.poll() is not None:
                raise Broken(running.args, f"ended with {running.returncode}")
            if time.monotonic() > give_up:
                raise Broken(running.args, f"{path} did not answer 200 in time: {last}")
            time.sleep(0.05)


def bearer(token: str) -> bytes:
    return b"Authorization: Bearer %b\r\n" % token.encode()


def _admin_token(key: rsa.RSAPrivateKey) -> str:
    now = int(time.time())
    claims = {
        "iss": baseline.ISSUER,
        "aud": baseline.AUDIENCE,
        "sub": "1",
        "role": "ADMIN",
        "jti": uuid.uuid4().hex,
        "iat": now,
        "exp": now + TOKEN_SECONDS,
    }
    return jwt.encode(claims, key, algorithm="RS256", headers={"typ": "at+jwt"})
