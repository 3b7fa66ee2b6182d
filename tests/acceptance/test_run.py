"""The real `make run`, the command line beside it, and how it ends.

`club run` ends with 0 when it was told to end. `make`, which waits for it, then ends by the signal
itself, as make does: a shell says 130 after Ctrl-C and 143 after SIGTERM.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from infra.servers.local_servers import accepts
from infra.servers.processes import has_ended
from tests.acceptance.service import CHECKOUT, CLUB_RUN, MAKE_RUN, Service, a_payment, until

Services = Callable[..., Service]


@pytest.fixture(scope="module")
def service(services: Services) -> Service:
    """A service that `make run` started in an empty home."""
    service = services()
    service.start(MAKE_RUN)
    return service


@pytest.fixture(scope="module")
def admin(service: Service) -> dict[str, str]:
    return service.admin()


def test_the_banner_says_where_it_is_open_and_which_parts_are_embedded(service: Service) -> None:
    said = service.said.read_text()
    assert f"The club is open: {service.url}" in said
    assert f"embedded, in {service.home / 'postgres'}" in said
    assert "CLUB_DATABASE_URL connects another" in said
    assert "club users create-admin" in said
    assert "club tokens issue" in said
    assert "postgres.lost" not in said, "nobody was kept waiting until it seemed so"


def test_a_first_run_says_what_it_makes_as_it_begins_and_a_later_one_does_not(
    service: Service, kept: Service
) -> None:
    making, tables, open_at = (
        service.said.read_text().find(sentence)
        for sentence in (
            f"Making a Postgres of the club's own in {service.home / 'postgres'}: some seconds",
            "Making the club's tables.\n",
            "The club is open: ",
        )
    )
    assert 0 <= making < tables < open_at
    kept.start(CLUB_RUN)
    assert kept.end() == 0
    assert "Making" not in kept.said.read_text()


@pytest.mark.parametrize("goal", ["run", "test"])
def test_make_says_what_it_installs_before_it_is_quiet(goal: str) -> None:
    planned = subprocess.run(
        ["make", "--dry-run", "--always-make", "--no-print-directory", goal],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert planned.returncode == 0, planned.stderr
    lines = [line for line in planned.stdout.splitlines() if not line.startswith("touch ")]
    slow = [n for n, line in enumerate(lines) if " -m venv " in line or "pip install " in line]
    # What a chain needs comes in two steps, of which the second is the broker of the tests.
    assert len(slow) == (3 if goal == "run" else 6)
    told = [line for line in lines if line.startswith("echo ")]
    assert len(told) == (3 if goal == "run" else 5)
    for line in told:
        assert re.match(r'echo "(Making|Installing) .*: .*(seconds|a minute)', line)


def test_it_says_how_it_is(service: Service) -> None:
    with service.http() as http:
        index, health = http.get("/"), http.get("/health/")
    assert index.json()["links"]["health"] == "/health/"
    assert health.status_code == 200
    assert health.json()["status"] == "running"
    assert health.json()["ledger"]["writable"] is True


def test_the_home_is_nobody_elses(service: Service) -> None:
    keys = list((service.home / "keys").iterdir())
    assert {"signing.pem", "providers.key"} <= {path.name for path in keys}
    assert all(path.stat().st_mode & 0o077 == 0 for path in keys)
    assert (service.home / "postgres.password").stat().st_mode & 0o077 == 0


def test_the_first_admin_and_a_token_come_from_the_command_line(service: Service) -> None:
    made = service.club(
        "users",
        "create-admin",
        "--username=first",
        "--email=first@example.com",
        given="correct horse battery\n",
    )
    assert (made.returncode, made.stderr) == (0, "")
    assert re.fullmatch(r"User [0-9]+ is ADMIN: first\n", made.stdout)

    issued = service.club("tokens", "issue", "first")
    assert (issued.returncode, issued.stderr) == (0, "")
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", issued.stdout), "the token and nothing else"

    bearer = {"Authorization": f"Bearer {issued.stdout.strip()}"}
    with service.http(bearer) as http:
        assert [user["username"] for user in http.get("/users/?username=first").json()] == ["first"]


def test_what_the_command_line_is_refused_is_one_sentence(
    service: Service, admin: dict[str, str]
) -> None:
    again = service.club(
        "users", "create-admin", "--username=owner", "--email=o@example.com", given="long enough\n"
    )
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == "This username is taken.\n"

    short = service.club("users", "create-admin", "--username=x", "--email=x@example.com", given="")
    assert short.returncode == 2
    assert short.stderr.startswith("password: ")
    assert short.stderr.count("\n") == 1

    nobody = service.club("tokens", "issue", "nobody")
    assert (nobody.returncode, nobody.stdout) == (1, "")
    assert nobody.stderr == "There is no user nobody.\n"


def test_a_session_of_documented_requests(service: Service, admin: dict[str, str]) -> None:
    with service.http() as anybody, service.http(admin) as http:
        user = anybody.post(
            "/users/",
            json={"username": "ada", "email": "ada@example.com", "password": "long enough"},
        )
        assert user.status_code == 201
        membership = http.post("/memberships/", json={"access_level": "VIP", "price": "49.90"})
        client = http.post(
            "/clients/",
            json={
                "user_id": user.json()["id"],
                "membership_id": membership.json()["id"],
                "first_name": "Ada",
                "last_name": "Lovelace",
                "phone_number": "+44 20 7946 0000",
                "date_of_birth": "1990-12-10",
            },
        )
        assert client.status_code == 201
        exercise = http.post("/exercises/", json={"title": "Squat", "muscle_group": "LEGS"})
        training = http.post(
            "/trainings/exercice-ids/",
            json={
                "client_id": client.json()["id"],
                "title": "Legs",
                "exercise_ids": [exercise.json()["id"]],
            },
        )
        assert training.json()["exercise_ids"] == [exercise.json()["id"]]
        payment = http.post(
            "/payments/",
            json={
                "client_id": client.json()["id"],
                "membership_id": membership.json()["id"],
                "payment_status": "PAID",
            },
        )
        assert payment.json()["payment_status"] == "PAID"
        changed = http.patch(
            client.headers["Location"], json={"status": "ON_HOLD"}, headers={"If-Match": "*"}
        )
        assert changed.json()["status"] == "ON_HOLD"
        report = http.post("/reports/", json={})
        assert "ada" in [user["username"] for user in report.json()["new_users"]["data"]]

        for made in (user, membership, exercise, training, payment, report):
            read = http.get(made.headers["Location"])
            assert read.json().items() <= made.json().items()
        deleted = http.delete(f"/trainings/{training.json()['id']}/")
        assert deleted.status_code == 204
        assert http.get(training.headers["Location"]).status_code == 404


def test_two_commands_at_once_work_beside_the_service(
    service: Service, admin: dict[str, str]
) -> None:
    def create(name: str) -> subprocess.CompletedProcess[str]:
        return service.club(
            "users",
            "create-admin",
            f"--username={name}",
            f"--email={name}@example.com",
            given="correct horse battery\n",
        )

    with ThreadPoolExecutor() as at_once:
        rebuilding = at_once.submit(service.club, "replay")
        creating = at_once.submit(create, "beside")
    assert creating.result().returncode == 0, creating.result().stderr
    assert rebuilding.result().returncode == 0, rebuilding.result().stderr
    assert re.search(
        r"^documented: built from [0-9]+ events, up to position [0-9]+\.$",
        rebuilding.result().stdout,
        re.MULTILINE,
    )
    with service.http(admin) as http:
        assert [u["username"] for u in http.get("/users/?username=beside").json()] == ["beside"]
        assert http.get("/health/").json()["status"] == "running"


def test_a_taken_port_is_one_sentence_and_what_to_do(service: Service, services: Services) -> None:
    other = services(CLUB_HTTP_PORT=str(service.port))
    other.launch(CLUB_RUN)
    assert other.process.wait(60) == 1
    assert other.said.read_text() == (
        f"Cannot listen on 127.0.0.1:{service.port}: Address already in use.\n"
        "CLUB_HTTP_PORT chooses another port.\n"
    )
    assert not other.home.exists(), "nothing was begun"


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("CLUB_HTTP_PORT", "many", "CLUB_HTTP_PORT: "),
        ("CLUB_TIMEZONE", "Mars/Olympus", "CLUB_TIMEZONE: "),
        ("CLUB_LOG_LEVEL", "loud", "CLUB_LOG_LEVEL: "),
        ("CLUB_DATABASE_URL", "somewhere", "CLUB_DATABASE_URL: "),
        (
            "CLUB_DATABASE_URL",
            "postgresql://club:secret@127.0.0.1:1/club",
            "The database cannot be reached: ",
        ),
    ],
)
def test_a_wrong_setting_is_said_by_its_name(
    services: Services, variable: str, value: str, says: str
) -> None:
    service = services(**{variable: value})
    service.launch(CLUB_RUN)
    assert service.process.wait(60) != 0
    said = service.said.read_text()
    assert said.startswith(says)
    assert "Traceback" not in said
    assert "secret" not in said


def test_a_home_that_is_a_file_is_said(services: Services) -> None:
    service = services()
    service.home.write_text("not a folder")
    service.launch(CLUB_RUN)
    assert service.process.wait(60) == 1
    assert service.said.read_text() == f"{service.home}: File exists.\n"


def _asked_to_end(service: Service) -> int:
    return service.end(signal.SIGTERM)


@pytest.mark.parametrize(
    ("command", "end", "status"),
    [
        pytest.param(MAKE_RUN, Service.ctrl_c, -signal.SIGINT, id="make, Ctrl-C"),
        pytest.param(MAKE_RUN, _asked_to_end, -signal.SIGTERM, id="make, SIGTERM"),
        pytest.param(CLUB_RUN, Service.ctrl_c, 0, id="club, Ctrl-C"),
        pytest.param(CLUB_RUN, _asked_to_end, 0, id="club, SIGTERM"),
    ],
)
def test_told_to_end_it_leaves_nothing_running_and_loses_nothing(
    kept: Service, command: tuple[str, ...], end: Callable[[Service], int], status: int
) -> None:
    kept.start(command)
    with kept.http() as http:
        before = http.get("/exercises/", headers=_token(kept)).json()
        made = http.post(
            "/exercises/", json={"title": f"Lunge {len(before)}"}, headers=_token(kept)
        )
        assert made.status_code == 201
    postmaster = kept.postmaster()
    family = [*psutil.Process(kept.process.pid).children(recursive=True), postmaster]

    assert end(kept) == status
    until(lambda: all(has_ended(process) for process in family), "all of them are gone", 10)
    assert "Traceback" not in kept.said.read_text()

    kept.start(CLUB_RUN)
    with kept.http() as http:
        after = http.get("/exercises/", headers=_token(kept)).json()
    assert after == [*before, made.json()]
    assert kept.end() == 0


@pytest.fixture(scope="module")
def kept(services: Services) -> Service:
    """A home to start the service in, again and again."""
    service = services()
    service.start()
    headers = service.admin()
    service.end()
    service.home.with_name(f"{service.home.name}.headers").write_text(json.dumps(headers))
    return service


def _token(service: Service) -> dict[str, str]:
    headers: dict[str, str] = json.loads(
        service.home.with_name(f"{service.home.name}.headers").read_text()
    )
    return headers


def test_told_to_end_before_it_is_open_it_leaves_nothing_running(services: Services) -> None:
    service = services()
    service.launch(CLUB_RUN)
    until(service.postgres_runs, "its Postgres is up, or nearly")
    postmaster = service.postmaster()
    assert service.ctrl_c() == 0
    assert has_ended(postmaster)
    assert "Traceback" not in service.said.read_text()


def test_requests_under_way_at_the_end_are_answered(kept: Service) -> None:
    kept.start(CLUB_RUN)
    body = json.dumps({"username": "last", "email": "last@example.com", "password": "long enough"})
    head = (
        f"POST /users/ HTTP/1.1\r\nHost: club\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", kept.port)) as connection:
        connection.sendall(head.encode() + body[:10].encode())
        # Answered on another connection after it, so the first part has been taken up.
        assert kept.is_open()
        kept.process.send_signal(signal.SIGTERM)
        until(lambda: not accepts(kept.port), "it takes no new connections")
        connection.sendall(body[10:].encode())
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 201")
    assert kept.process.wait(60) == 0


def test_what_is_overdue_ends_by_itself(services: Services, database: str) -> None:
    service = services(CLUB_DATABASE_URL=database, CLUB_HOUSEKEEPING_SECONDS="0.2")
    service.start()
    headers = service.admin()
    two_days_ago = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    path = a_payment(service, headers, "maria", timestamp=two_days_ago)
    with service.http(headers) as http:
        until(lambda: http.get(path).json()["payment_status"] == "EXPIRED", "the payment expires")
