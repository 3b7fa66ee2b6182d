"""What Celery does: `celery --app interfaces.tasks.main worker`, and `… beat`.

A task calls the same functions as the timers of `club run`. Each decides on the aggregates
themselves, so one that is late, comes twice or meets its twin in another worker happens once.

What reports take is in a queue of its own, with a worker of its own (`--queues club.reports`).
"""

from __future__ import annotations

import atexit
import signal
import warnings
from typing import Any

import psycopg
import structlog
from celery import Celery
from celery.exceptions import SecurityWarning, SoftTimeLimitExceeded
from celery.signals import (
    beat_init,
    celeryd_after_setup,
    setup_logging,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)
from kombu.entity import Exchange, Queue

from application.daily_reports import draw_up_what_is_due
from application.housekeeping import LATER, expire_what_is_due
from infra import celery_parts
from infra.bootstrap import Club
from infra.celery_parts import HARD_LIMIT, SOFT_LIMIT
from infra.following.refreshing import RefreshStopped
from infra.kept_open import KeptOpen, Telling
from infra.logs import set_up_logs
from infra.parts import REPORTS, TASKS
from infra.settings import Settings

# A worker that runs as root says that it should not. Only JSON is taken, so what comes can make it
# run nothing but these tasks; and in a container there may be no other account.
warnings.filterwarnings("ignore", category=SecurityWarning)

settings = Settings()
logger = structlog.get_logger("tasks")
_open_club = KeptOpen(settings)


def _queue(name: str) -> Queue:
    """A queue that outlives a restart of RabbitMQ, with an exchange of its own."""
    exchange = Exchange(name, type="topic")  # type: ignore[no-untyped-call]
    arguments = {"x-queue-type": "quorum"}
    return Queue(name, exchange, routing_key=name, queue_arguments=arguments)  # type: ignore[no-untyped-call]


app = Celery("club", broker=settings.amqp_url or "memory://")
app.conf.update(
    task_default_queue=TASKS,
    task_default_queue_type="quorum",
    # What is tried again waits in RabbitMQ, not in a worker; direct exchanges cannot do that.
    task_default_exchange=TASKS,
    task_default_exchange_type="topic",
    task_default_routing_key=TASKS,
    task_queues=[_queue(TASKS), _queue(REPORTS)],
    broker_native_delayed_delivery_queue_type="classic",
    # A worker that dies gives its task back, which is harmless to do twice.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    # Queues that go with their connection are on their way out of RabbitMQ.
    worker_enable_remote_control=False,
    worker_detect_quorum_queues=True,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "confirm_publish": True,
        "read_timeout": celery_parts.LONGEST_ANSWER,
    },
    timezone="UTC",
    # A RabbitMQ that is frozen, or vanished without a word, is noticed.
    broker_heartbeat=10,
    beat_scheduler=f"{celery_parts.__name__}:{celery_parts.Beat.__name__}",
    beat_max_loop_interval=celery_parts.LONGEST_PAUSE,
    beat_schedule={
        "expire-what-is-due": {
            "task": "club.expire_what_is_due",
            "schedule": settings.housekeeping_seconds,
            # One that nobody took in time is as good as the next.
            "options": {"expires": settings.housekeeping_seconds * 5},
        },
        "refresh-reports": {
            "task": "club.refresh_reports",
            "schedule": settings.reports_seconds,
            # They do not pile up while the worker is away.
            "options": {"expires": settings.reports_seconds * 2},
        },
        # When it is due is a rule in the ledger, so it is looked at over and over.
        "draw-up-daily-report": {
            "task": "club.draw_up_daily_report",
            "schedule": settings.reports_seconds,
            "options": {"expires": settings.reports_seconds * 2},
        },
        "send-reports": {
            "task": "club.send_reports",
            "schedule": settings.reports_seconds,
            "options": {"expires": settings.reports_seconds * 2},
        },
        "forget-receipts": {"task": "club.forget_receipts", "schedule": 3600.0},
    },
)


@setup_logging.connect  # type: ignore[untyped-decorator]
def _logs(**_: Any) -> None:
    """The club's own logs, in place of Celery's."""
    set_up_logs(settings.log_level)


NEVER_EXPIRES = {"expires": None}
"""What beat sends is of no use after a while; what is tried again after a pause still is."""


@app.task(
    name="club.expire_what_is_due",
    Request=celery_parts.Request,
    autoretry_for=LATER,
    retry_kwargs=NEVER_EXPIRES,
    retry_backoff=True,
    retry_backoff_max=600,
    max_retries=10,
)  # type: ignore[untyped-decorator]
def expire() -> None:
    """Expire payments that nobody settled, and clients whose time is over."""

    async def expired(club: Club) -> int:
        return await expire_what_is_due(club.bus, club.services)

    done = _open_club.do(expired)
    if done:
        logger.info("housekeeping.expired", commands=done)


@app.task(
    name="club.forget_receipts",
    Request=celery_parts.Request,
    autoretry_for=LATER,
    retry_backoff=True,
)  # type: ignore[untyped-decorator]
def forget_receipts() -> None:
    """Forget what became of commands long ago."""

    async def forgotten(club: Club) -> int:
        await club.ledger.forget_receipts(settings.receipt_hours)
        return 0

    _open_club.do(forgotten)


OF_REPORTS: dict[str, Any] = {
    "queue": REPORTS,
    "Request": celery_parts.Request,
    # A refresh has a connection of its own, which may be lost.
    "autoretry_for": (*LATER, SoftTimeLimitExceeded, psycopg.OperationalError),
    "throws": (RefreshStopped,),
    "retry_kwargs": NEVER_EXPIRES,
    "retry_backoff": True,
    "retry_backoff_max": 120,
    "retry_jitter": True,
    "max_retries": 5,
    "soft_time_limit": SOFT_LIMIT,
    "time_limit": HARD_LIMIT,
}
"""How tasks of reports are done."""


@app.task(name="club.refresh_reports", **OF_REPORTS)  # type: ignore[untyped-decorator]
def refresh_reports() -> None:
    """Take in what the ledger has beyond the figures."""

    async def refreshed(club: Club) -> int:
        return await club.refresh_reports()

    try:
        taken = _open_club.do(refreshed)
    except RefreshStopped as why:
        # The next one tries again.
        logger.warning("reports.stopped", reason=str(why))
        raise
    if taken:
        logger.info("reports.refreshed", events=taken)


@app.task(name="club.draw_up_daily_report", **OF_REPORTS)  # type: ignore[untyped-decorator]
def draw_up_daily_report() -> None:
    """Draw up the report of today, where its time has come and nobody has."""

    async def drawn_up(club: Club) -> int:
        return await draw_up_what_is_due(club.bus)

    if _open_club.do(drawn_up):
        logger.info("reports.daily")


@app.task(name="club.send_reports", **OF_REPORTS)  # type: ignore[untyped-decorator]
def send_reports() -> None:
    """Send the figures of the morning to who wants them."""

    async def sent(club: Club) -> int:
        return await club.send_reports()

    try:
        number = _open_club.do(sent)
    except RefreshStopped as why:
        logger.warning("reports.unsent", reason=str(why))
        raise
    if number:
        logger.info("reports.sent", number=number)


@celeryd_after_setup.connect  # type: ignore[untyped-decorator]
def _declare_queues(**_: Any) -> None:
    """See to it that all queues are there: each worker binds those of the others, too."""
    with app.connection_for_write() as connection:
        connection.ensure_connection()
        for queue in app.amqp.queues.values():
            queue.bind(connection.default_channel).declare()


@worker_ready.connect  # type: ignore[untyped-decorator]
def _tell_of_the_worker(sender: Any, **_: Any) -> None:
    """Tell all others how this worker is doing with each of its queues, until it ends."""
    for queue in app.amqp.queues.consume_from:
        telling = Telling(settings, celery_parts.WorkerWorking(sender, queue))
        telling.start()
        worker_shutdown.connect(lambda telling=telling, **_: telling.stop(), weak=False)
    worker_shutting_down.connect(lambda **_: celery_parts.hurry(sender), weak=False)


@beat_init.connect  # type: ignore[untyped-decorator]
def _tell_of_beat(**_: Any) -> None:
    """Tell all others how this beat is doing, until it ends."""
    telling = Telling(settings, celery_parts.working)
    telling.start()
    atexit.register(telling.stop)


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _leave_the_end_to_the_worker(**_: Any) -> None:
    """A process of the pool finishes its task where all are told to end: its worker waits."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@worker_process_shutdown.connect  # type: ignore[untyped-decorator]
@worker_shutdown.connect  # type: ignore[untyped-decorator]
def _close(**_: Any) -> None:
    """Close the club at the end of the process."""
    _open_club.close()
