"""The index, the health of the service, its measures and its logs."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from application.exercises import AddExercise, ExerciseBody
from domain.values import Role
from infra.bootstrap import open_club
from infra.servers.embedded_postgres import embedded_postgres, start_again
from infra.settings import Settings
from infra.short_lived import LONGEST_WAIT
from interfaces.rest.main import create_app
from tests.conftest import Rest
from tests.databases import read_only
from tests.interfaces.rest.scenes import also
from tests.servers import private_redis


async def test_the_index_leads_everywhere(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    shown = (await rest.http.get("/")).json()
    assert shown["name"] == "Training API Service"
    assert shown["version"]
    posted = shown["links"].pop("login")
    assert (await rest.http.get(posted)).headers["Allow"] == "POST"
    for link in shown["links"].values():
        assert (await rest.http.get(link, headers=admin)).status_code == 200, link


async def test_a_club_that_runs_says_how_far_it_is(rest: Rest) -> None:
    await rest.do(AddExercise(ExerciseBody(title="Plank")))
    answer = await rest.http.get("/health/")
    head = await rest.club.ledger.head()
    body = answer.json()
    assert answer.status_code == 200
    assert body["status"] == "running"
    assert body["ledger"] == {"writable": True, "head": head}
    documented, figures = (body["projectors"][name] for name in ("documented", "figures"))
    assert figures["status"] == "running", "they are refreshed every now and then"
    assert documented.pop("since").endswith("Z")
    assert documented == {"status": "running", "position": head, "lag": 0, "age": 0.0}
    assert {part["status"] for part in body["components"].values()} == {"running"}


async def test_a_club_without_a_redis_keeps_what_is_short_lived_itself(rest: Rest) -> None:
    redis = (await rest.http.get("/health/")).json()["components"]["redis"]
    assert redis == {"status": "running", "detail": "in this process"}


async def test_a_club_whose_redis_is_gone_or_frozen_is_degraded_until_it_is_back(
    settings: Settings,
) -> None:
    """It is 200 all the while, as everything but signing in goes on."""
    with private_redis() as server:
        async with open_club(settings.model_copy(update={"redis_url": server.url})) as club:
            transport = httpx.ASGITransport(app=create_app(club))
            async with httpx.AsyncClient(transport=transport, base_url="http://club") as http:
                assert await redis_and_all(http) == ("running", "running")
                for leave, come_back in (
                    (server.stop, server.start),
                    (server.freeze, server.thaw),
                ):
                    await asyncio.to_thread(leave)
                    begun = time.monotonic()
                    assert await redis_and_all(http) == ("unavailable", "degraded")
                    assert time.monotonic() - begun < LONGEST_WAIT + 0.5
                    await asyncio.to_thread(come_back)
                    assert await redis_and_all(http) == ("running", "running")


async def redis_and_all(http: httpx.AsyncClient) -> tuple[str, str]:
    """How Redis is, and how the service is, whose ledger is well."""
    answer = await http.get("/health/")
    body = answer.json()
    assert answer.status_code == 200
    assert body["ledger"]["writable"]
    assert body["components"]["postgres"]["status"] == "running"
    redis = body["components"]["redis"]
    assert "detail" not in redis, "where it is, and what it says, is not for everybody"
    return redis["status"], body["status"]


async def eventually(http: httpx.AsyncClient, status: int) -> httpx.Response:
    """The answer of /health/, once it has this status."""
    async with asyncio.timeout(30):
        while True:
            answer = await http.get("/health/")
            if answer.status_code == status:
                return answer
            await asyncio.sleep(0.05)


def end_server(home: Path) -> None:
    """End the Postgres of this home, as a failing machine would."""
    server = psutil.Process(int((home / "postgres" / "postmaster.pid").read_text().split()[0]))
    server.send_signal(signal.SIGQUIT)
    server.wait(10)


async def test_health_is_503_while_the_database_is_gone_and_200_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.ledger.postgres.LONGEST_WAIT", 0.5)
    with embedded_postgres(tmp_path / "home") as url:
        settings = Settings(home=tmp_path / "club", database_url=url)
        async with open_club(settings, building=True) as club:
            transport = httpx.ASGITransport(app=create_app(club))
            async with httpx.AsyncClient(transport=transport, base_url="http://club") as http:
                await eventually(http, 200)
                end_server(tmp_path / "home")
                gone = await eventually(http, 503)
                assert gone.json()["status"] == "unavailable"
                assert gone.json()["ledger"] == {"writable": False, "head": None}
                await asyncio.to_thread(start_again, tmp_path / "home")
                back = await eventually(http, 200)
                assert back.json()["ledger"]["writable"]


async def test_health_is_503_while_the_database_is_read_only(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    await read_only(rest.club.postgres.url, on=True)
    shown = await eventually(rest.http, 503)
    assert shown.json()["status"] == "unavailable"
    assert shown.json()["ledger"]["writable"] is False
    assert shown.json()["components"]["postgres"]["status"] == "read-only"
    assert (await rest.http.get("/exercises/", headers=admin)).status_code == 200
    refused = await rest.http.post("/exercises/", json={"title": "Plank"}, headers=admin)
    assert refused.status_code == 503
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert int(refused.headers["Retry-After"]) > 0
    await read_only(rest.club.postgres.url, on=False)
    await eventually(rest.http, 200)
    taken = await rest.http.post("/exercises/", json={"title": "Plank"}, headers=admin)
    assert taken.status_code == 201


async def measured(rest: Rest) -> dict[tuple[str, ...], float]:
    """Each sample of /metrics, by its name and the values of its labels."""
    answer = await rest.http.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_requests_batches_and_lag_are_measured(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    before = await measured(rest)
    for title in ("Plank", "Plank"):
        await rest.http.post("/exercises/", json={"title": title}, headers=admin)
    await rest.http.get("/exercises/1/", headers=admin)
    await rest.http.get("/exercises/2/", headers=admin)
    await rest.http.get("/nowhere/")
    after = await measured(rest)
    requests = "club_requests_total"
    assert after[requests, "POST", "/exercises/", "201"] == 1
    assert after[requests, "POST", "/exercises/", "409"] == 1
    assert after[requests, "GET", "/exercises/{exercise_id}/", "200"] == 1
    assert after[requests, "GET", "/exercises/{exercise_id}/", "404"] == 1
    assert after[requests, "GET", "(none)", "404"] == 1
    assert after["club_request_seconds_count", "POST", "/exercises/"] == 2
    appended = ("club_append_batch_commands_sum",)
    assert after[appended] == before[appended] + 1
    assert after["club_ledger_head",] == await rest.club.ledger.head()
    assert after["club_projection_lag_events",] == 0, "of the documented tables"


async def correlation(rest: Rest) -> str:
    """The correlation id of the last event."""
    rows = await rest.club.postgres.rows(
        "SELECT correlation_id FROM ledger_events ORDER BY notification_id DESC LIMIT 1"
    )
    return str(rows[0][0])


async def test_a_sensible_request_id_is_kept_and_is_the_correlation_id(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    for number, given in enumerate(("trace-1.2:3_4", "x", "y" * 128)):
        headers = {**admin, "X-Request-Id": given}
        body = {"title": f"Exercise {number}"}
        answer = await rest.http.post("/exercises/", json=body, headers=headers)
        assert answer.headers["X-Request-Id"] == given
        assert await correlation(rest) == given


async def test_any_other_request_gets_an_id_of_its_own(rest: Rest) -> None:
    _, admin = await rest.user(Role.ADMIN)
    seen = set()
    senseless = (None, b"", b"z" * 129, b"a b", b'{"a": 1}', b"a\nb", b"\xff", b"\xc2\xb2")
    for number, given in enumerate(senseless):
        headers = admin if given is None else also(admin, "X-Request-Id", given)
        body = {"title": f"Exercise {number}"}
        answer = await rest.http.post("/exercises/", json=body, headers=headers)
        own = answer.headers["X-Request-Id"]
        assert len(own) == 32
        assert await correlation(rest) == own
        seen.add(own)
    assert len(seen) == len(senseless)


LOGGING = """
import logging
import sys
import structlog
from infra.logs import set_up_logs

set_up_logs(sys.argv[1])
structlog.get_logger("http").info("request", path="/a\\nb", request_id="one")
logging.getLogger("library").warning("careful: %s", "{}")
logging.getLogger("library").info("too much")
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger("http").exception("fault", request_id="two")
"""


def logged(level: str) -> list[dict[str, str]]:
    """What a process logs, each line read as JSON."""
    run = subprocess.run(
        [sys.executable, "-c", LOGGING, level], capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in run.stderr.splitlines()]


def test_a_log_is_one_json_object_a_line() -> None:
    request, library, fault = logged("info")
    assert (request["event"], request["path"], request["request_id"]) == ("request", "/a\nb", "one")
    assert (library["event"], library["level"]) == ("careful: {}", "warning")
    assert "ZeroDivisionError" in fault["exception"]
    assert {"timestamp", "level"} <= request.keys() & library.keys() & fault.keys()


def test_a_higher_level_logs_less() -> None:
    assert [line["event"] for line in logged("error")] == ["fault"]


async def test_every_request_is_logged_with_the_id_that_its_answer_names(
    rest: Rest, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = await rest.http.get("/nowhere/")
    said = capsys.readouterr().out
    assert answer.headers["X-Request-Id"] in said
    assert "/nowhere/" in said
    assert "404" in said
