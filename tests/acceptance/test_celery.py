"""Celery's beat and workers, real ones on a real RabbitMQ: time does what it does, once."""

from __future__ import annotations

import asyncio
import shelve
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

import aio_pika
import psycopg
import pytest
from aio_pika.exceptions import ChannelNotFoundEntity

from application.clients import ClientBody, RegisterClient
from application.memberships import AddMembership, MembershipBody
from application.payments import PaymentBody, RequestPayment
from application.rules import ChangeRules
from domain.aggregate import time_text
from domain.values import PaymentStatus
from infra.parts import REPORTS, TASKS
from infra.settings import Settings
from tests.acceptance.service import CHECKOUT, PATIENCE, Service, launched, until
from tests.conftest import Rest
from tests.rabbitmq import private_rabbitmq, waiting_in
from tests.waiting import until as eventually

CELERY = (sys.executable, "-m", "celery", "--app", "interfaces.tasks.main", "--quiet")
ALONE = ("--pool", "solo", "--without-gossip", "--without-mingle", "--without-heartbeat")
REPORTING = ("--queues", REPORTS, "--concurrency", "2", *ALONE[2:])
ASK = "from interfaces.tasks import main\nfor _ in range({times}): main.{task}.{how}"


@dataclass
class Celery:
    """Workers and a beat, each a process, on one database and one RabbitMQ."""

    home: Path
    amqp_url: str
    database: str
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        service = Service(
            self.home,
            CLUB_DATABASE_URL=self.database,
            CLUB_AMQP_URL=self.amqp_url,
            CLUB_HOUSEKEEPING_SECONDS="1",
            CLUB_REPORTS_SECONDS="1",
        )
        return dict(service.environment)

    def worker(self) -> subprocess.Popen[bytes]:
        return self._work("--queues", TASKS, *ALONE)

    def report_worker(self) -> subprocess.Popen[bytes]:
        return self._work(*REPORTING)

    def _work(self, *options: str) -> subprocess.Popen[bytes]:
        return self._start("worker", *options, "--hostname", f"{len(self.started)}@%h")

    def beat(self, schedule: str = "schedule") -> subprocess.Popen[bytes]:
        return self._start("beat", "--schedule", str(self.schedule.with_name(schedule)))

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        process = launched([*CELERY, *command], self.environment, self.log)
        self.started.append(process)
        return process

    @property
    def schedule(self) -> Path:
        return self.home.with_name("schedule")

    @property
    def log(self) -> Path:
        return self.home.with_name("celery.log")

    def ask(self, times: int, task: str = "expire", how: str = "delay()") -> None:
        """Put the task in its queue so many times."""
        asking = [sys.executable, "-c", ASK.format(times=times, task=task, how=how)]
        subprocess.run(asking, cwd=CHECKOUT, env=self.environment, check=True, timeout=PATIENCE)

    def end(self) -> list[int]:
        """Tell all of them to end; the statuses with which they do."""
        running = [process for process in self.started if process.poll() is None]
        for process in running:
            process.terminate()
        return [process.wait(PATIENCE) for process in running]

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait(PATIENCE)

    # --- what came of it -------------------------------------------------------------------

    def expired(self, topic: str = "payment.expired") -> Counter[str]:
        """How often each of them expired, by its id."""
        with psycopg.connect(self.database) as connection:
            found = connection.execute(
                "SELECT originator_id, count(*) FROM ledger_events WHERE topic = %s GROUP BY 1",
                [topic],
            ).fetchall()
        return Counter(dict(found))

    def daily(self) -> list[str]:
        """The last day of each report that was made daily, in order."""
        with psycopg.connect(self.database) as connection:
            found = connection.execute(
                "SELECT convert_from(state, 'UTF8')::json ->> 'report_date_end' "
                "FROM ledger_events WHERE topic = 'report.drawn-up' ORDER BY notification_id"
            ).fetchall()
        return [day for (day,) in found]

    @contextmanager
    def held_up(self, lock: str) -> Iterator[Callable[[], bool]]:
        """Nobody gets past this lock; gives whether somebody waits for it."""
        with psycopg.connect(self.database) as holder, psycopg.connect(self.database) as watcher:
            holder.execute(lock.encode())
            watcher.autocommit = True

            def waits() -> bool:
                row = watcher.execute(
                    "SELECT count(*) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
                ).fetchone()
                return row is not None and row[0] > 0

            yield waits
            holder.rollback()

    def do(self, sql: str) -> None:
        """Something to the database, behind the club's back."""
        with psycopg.connect(self.database) as connection:
            connection.execute(sql.encode())

    def cut_off_who_waits(self) -> None:
        """End the connection of whoever waits for a lock."""
        self.do(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )

    def figures_at(self) -> int:
        """How far the figures are."""
        with psycopg.connect(self.database) as connection:
            found = connection.execute(
                "SELECT position FROM read_groups WHERE name = 'figures'"
            ).fetchone()
        return 0 if found is None else int(found[0])

    def asked_for(self, queue: str = TASKS) -> int:
        """How many tasks are in the queue, and in nobody's hand."""
        return asyncio.run(_messages(self.amqp_url, queue))

    def taking(self, queue: str = TASKS) -> int:
        """How many workers take tasks."""
        return asyncio.run(_consumers(self.amqp_url, queue))


async def _consumers(url: str, queue: str) -> int:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        try:
            declared = await channel.declare_queue(queue, passive=True)
        except ChannelNotFoundEntity:
            return 0  # Nobody has been there yet.
        return declared.declaration_result.consumer_count or 0


async def _messages(url: str, queue: str) -> int:
    async with await aio_pika.connect(url) as connection:
        try:
            return await waiting_in(await connection.channel(), queue)
        except ChannelNotFoundEntity:
            return 0  # Nobody has asked for anything yet.


@pytest.fixture
async def celery(tmp_path: Path, amqp_url: str, settings: Settings) -> AsyncIterator[Celery]:
    assert settings.database_url is not None
    made = Celery(tmp_path / "celery-home", amqp_url, settings.database_url)
    async with await aio_pika.connect(amqp_url) as connection:
        for queue in (TASKS, REPORTS):
            await (await connection.channel()).queue_delete(queue)
    yield made
    await asyncio.to_thread(made.close)


async def client(rest: Rest) -> tuple[int, int]:
    """A new client, and its membership."""
    user_id, _ = await rest.user()
    membership = await rest.do(AddMembership(MembershipBody(price="9.90")))
    membership_id = (membership.body or {})["id"]
    body = ClientBody(
        user_id=user_id,
        membership_id=membership_id,
        first_name="Maria",
        last_name="Fernández",
        phone_number="+34 600 000000",
        date_of_birth="1990-04-17",
    )
    return ((await rest.do(RegisterClient(body))).body or {})["id"], membership_id


async def payment(
    rest: Rest, payer: tuple[int, int], days_ago: int, status: PaymentStatus | None = None
) -> str:
    """A payment that was asked for, or took its step, so many days ago; its id in the ledger."""
    at = rest.club.services.clock.now() - timedelta(days=days_ago)
    client_id, membership_id = payer
    body = PaymentBody(
        client_id=client_id,
        membership_id=membership_id,
        payment_status=status,
        timestamp=time_text(at),
    )
    return f"payment-{((await rest.do(RequestPayment(body))).body or {})['id']}"


async def overdue(rest: Rest, many: int) -> set[str]:
    """Payments that nobody settled in time."""
    payer = await client(rest)
    return set(await asyncio.gather(*(payment(rest, payer, 2) for _ in range(many))))


async def since(rest: Rest, status: str, parts: Collection[str]) -> dict[str, str] | None:
    """Since when these parts have this status; None where not all of them have it."""
    found = (await rest.club.health()).report["components"]
    shown = {name: found[name] for name in parts if name in found}
    told = [one["status"] for one in shown.values()] == [status] * len(parts)
    return {name: one["since"] for name, one in shown.items()} if told else None


async def come(condition: Callable[[], object], what: str) -> None:
    await asyncio.to_thread(until, condition, what)


async def test_what_is_overdue_ends_by_itself_and_nothing_is_complained_of(
    rest: Rest, celery: Celery
) -> None:
    payer = await client(rest)
    unsettled = await payment(rest, payer, 2)
    await payment(rest, payer, 40, PaymentStatus.PAID)
    celery.worker()
    celery.beat()

    await come(lambda: celery.expired() == {unsettled: 1}, "the payment expires")
    lapsed = {f"client-{payer[0]}": 1}
    await come(lambda: celery.expired("client.expired") == lapsed, "the client expires")
    later = await payment(rest, payer, 2)
    await come(lambda: celery.expired() == {unsettled: 1, later: 1}, "the next one expires")

    assert await asyncio.to_thread(celery.end) == [0, 0]
    said = celery.log.read_text()
    for complaint in ("warning", "Warning", "error", "Traceback"):
        assert complaint not in said, said


async def test_a_task_that_comes_late_often_and_to_two_workers_happens_once(
    rest: Rest, celery: Celery
) -> None:
    payments = await overdue(rest, 60)
    await asyncio.to_thread(celery.ask, 6)
    assert await asyncio.to_thread(celery.asked_for) == 6

    celery.worker()
    celery.worker()

    await come(lambda: celery.expired().keys() == payments, "all of them expire")
    await come(lambda: celery.asked_for() == 0, "all tasks are taken")
    await come(lambda: celery.taking() == 2, "both workers are there, though one may do it all")
    assert await asyncio.to_thread(celery.end) == [0, 0]
    assert await asyncio.to_thread(celery.asked_for) == 0
    assert set(celery.expired().values()) == {1}


async def test_what_a_killed_worker_had_begun_is_done_by_the_next(
    rest: Rest, celery: Celery
) -> None:
    payments = await overdue(rest, 300)
    await asyncio.to_thread(celery.ask, 1)
    worker = celery.worker()
    await come(celery.expired, "it has begun")

    worker.kill()
    worker.wait(PATIENCE)

    begun = celery.expired()
    assert 0 < len(begun) < len(payments), "it was in the middle of it"
    celery.worker()
    await come(lambda: celery.expired().keys() == payments, "the rest expires")
    assert await asyncio.to_thread(celery.end) == [0]
    assert await asyncio.to_thread(celery.asked_for) == 0
    assert set(celery.expired().values()) == {1}


async def test_beat_goes_on_after_the_clock_was_put_back(rest: Rest, celery: Celery) -> None:
    payer = await client(rest)
    celery.worker()
    celery.beat()
    before = await payment(rest, payer, 2)
    await come(lambda: celery.expired() == {before: 1}, "it was done before")
    assert await asyncio.to_thread(celery.end) == [0, 0]
    with shelve.open(str(celery.schedule), writeback=True) as schedule:
        for entry in schedule["entries"].values():
            entry.last_run_at += timedelta(days=2)

    later = await payment(rest, payer, 2)
    celery.worker()
    celery.beat()
    await come(lambda: celery.expired() == {before: 1, later: 1}, "it is done now")
    assert "beat.clock-put-back" in celery.log.read_text()


async def test_told_to_end_they_do_not_wait_for_a_rabbitmq_that_is_frozen(
    rest: Rest, tmp_path: Path, settings: Settings
) -> None:
    assert settings.database_url is not None
    with private_rabbitmq() as broker:
        celery = Celery(tmp_path / "celery-home", broker.url, settings.database_url)
        celery.worker()
        celery.report_worker()
        celery.beat()

        try:
            parts = ["worker", "report-worker", "beat"]
            await eventually(lambda: since(rest, "running", parts), "they are at work")
            broker.freeze()
            await eventually(lambda: since(rest, "standing", ["beat"]), "its words are not taken")
            assert await asyncio.to_thread(celery.end) == [0, 0, 0]
        finally:
            celery.close()


async def test_beat_and_worker_say_how_they_are_and_are_missed_when_they_are_frozen(
    rest: Rest, celery: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.parts.SILENT", 7.0)
    parts = {"worker": celery.worker(), "beat": celery.beat()}
    are = partial(since, rest, parts=parts)
    await eventually(partial(are, "running"), "both are well")
    for process in parts.values():
        process.send_signal(signal.SIGSTOP)
    assert (await eventually(partial(are, "silent"), "both are missed")).keys() == parts.keys()
    for process in parts.values():
        process.send_signal(signal.SIGCONT)
    await eventually(partial(are, "running"), "both go on")
    assert await asyncio.to_thread(celery.end) == [0, 0]
    found = (await rest.club.health()).report["components"]
    assert not parts.keys() & found.keys(), "who ends as they should is not missed"


# --- reports -----------------------------------------------------------------------------------

NO_WRITING = "LOCK TABLE ledger_events IN EXCLUSIVE MODE"
NO_FIGURES = "UPDATE read_groups SET name = 'away' WHERE name = 'figures'"
FIGURES_AGAIN = "UPDATE read_groups SET name = 'figures' WHERE name = 'away'"
NO_REFRESHING = "SELECT FROM read_groups WHERE name = 'figures' FOR UPDATE"


@pytest.fixture
async def due(rest: Rest) -> None:
    """The daily report is due from the first minute of each day on."""
    await rest.do(ChangeRules({"daily_report_at": "00:00"}))


@pytest.mark.usefixtures("due")
async def test_two_beats_and_two_workers_draw_up_one_daily_report(celery: Celery) -> None:
    for schedule in ("one", "two"):
        celery.report_worker()
        celery.beat(schedule)
    await come(celery.daily, "it is drawn up")
    await asyncio.to_thread(celery.ask, 20, "draw_up_daily_report")
    await come(lambda: celery.asked_for(REPORTS) == 0, "all tasks are taken")

    assert await asyncio.to_thread(celery.end) == [0, 0, 0, 0]
    assert len(celery.daily()) == len(set(celery.daily())), "one for a day"
    said = celery.log.read_text()
    for complaint in ("warning", "Warning", "error", "Traceback"):
        assert complaint not in said, said


@pytest.mark.usefixtures("due")
async def test_a_beat_that_was_away_at_the_hour_has_the_report_made_when_it_is_back(
    celery: Celery,
) -> None:
    celery.beat()
    await come(lambda: celery.asked_for(REPORTS) > 0, "it asks")
    assert await asyncio.to_thread(celery.end) == [0]
    with shelve.open(str(celery.schedule), writeback=True) as schedule:
        for entry in schedule["entries"].values():
            entry.last_run_at -= timedelta(days=1)
    await come(lambda: celery.asked_for(REPORTS) == 0, "what nobody took is gone")
    assert celery.daily() == []

    celery.report_worker()
    celery.beat()
    await come(celery.daily, "it is drawn up, late")
    assert len(celery.daily()) == 1


@pytest.mark.usefixtures("due")
async def test_a_daily_report_in_the_making_of_a_killed_worker_is_made_by_the_next(
    celery: Celery,
) -> None:
    worker = celery.report_worker()
    with celery.held_up(NO_WRITING) as waits:
        await asyncio.to_thread(celery.ask, 1, "draw_up_daily_report")
        await come(waits, "it is in the middle of it")
        worker.kill()
        worker.wait(PATIENCE)
        await come(lambda: celery.asked_for(REPORTS) == 1, "it is given back")

    celery.report_worker()
    await come(lambda: celery.daily() and celery.asked_for(REPORTS) == 0, "it is made")
    assert await asyncio.to_thread(celery.end) == [0]
    assert len(celery.daily()) == 1


async def test_a_long_refresh_holds_up_nothing_else_and_a_killed_one_is_taken_up(
    rest: Rest, celery: Celery
) -> None:
    payer = await client(rest)
    worker = celery.report_worker()
    celery.worker()
    with celery.held_up(NO_REFRESHING) as waits:
        await asyncio.to_thread(celery.ask, 1, "refresh_reports")
        await come(lambda: waits() and celery.asked_for(REPORTS) == 0, "it is at it, and waits")
        overdue = await payment(rest, payer, 2)
        await asyncio.to_thread(celery.ask, 1)
        await come(lambda: celery.expired() == {overdue: 1}, "housekeeping goes on")
        worker.kill()
        worker.wait(PATIENCE)
        await come(lambda: celery.asked_for(REPORTS) == 1, "it is given back")

    celery.report_worker()
    await come(lambda: celery.asked_for(REPORTS) == 0, "the next takes it up")
    assert await asyncio.to_thread(celery.end) == [0, 0]


async def test_a_task_of_reports_that_fails_is_told_until_one_is_done(
    rest: Rest, celery: Celery
) -> None:
    async def told(status: str) -> str | None:
        part = (await rest.club.health()).report["components"].get("report-worker", {})
        return str(part) if part.get("status") == status else None

    celery.report_worker()
    await eventually(partial(told, "running"), "it is there")
    await asyncio.to_thread(celery.do, NO_FIGURES)
    await asyncio.to_thread(celery.ask, 1, "refresh_reports")
    said = await eventually(partial(told, "standing"), "it says so")
    assert "club.refresh_reports: " in said
    assert "there are no tables of the group figures yet" in said

    await asyncio.to_thread(celery.do, FIGURES_AGAIN)
    await asyncio.to_thread(celery.ask, 1, "refresh_reports")
    await eventually(partial(told, "running"), "it says no more")


async def test_what_is_tried_again_after_its_time_is_done_all_the_same(
    rest: Rest, celery: Celery
) -> None:
    await payment(rest, await client(rest), 2)
    celery.report_worker()
    await come(lambda: celery.taking(REPORTS) == 1, "it is there")
    with celery.held_up(NO_REFRESHING) as waits:
        await asyncio.to_thread(celery.ask, 1, "refresh_reports", "apply_async(expires=5)")
        expired = time.monotonic() + 5
        await come(waits, "it is at it in time, and waits")
        await come(lambda: time.monotonic() > expired, "its time is over")
        celery.cut_off_who_waits()
    head = await rest.club.ledger.head()
    await come(lambda: celery.figures_at() == head, "it is tried again")


async def test_what_reports_take_does_not_pile_up_while_nobody_does_it(celery: Celery) -> None:
    celery.beat()
    await come(lambda: celery.asked_for(REPORTS) > 1, "it is asked for")
    assert await asyncio.to_thread(celery.end) == [0]
    await come(lambda: celery.asked_for(REPORTS) == 0, "and gone, though nobody took it")
