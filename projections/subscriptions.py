"""The tables of who wants reports sent, and of what became of each delivery."""

from __future__ import annotations

from domain.recorded import Recorded
from domain.subscriptions import SHOWN, Ended, Resumed, TakenOut, step_of
from projections.engine.lists import Listing
from projections.engine.model import ReadModel
from projections.engine.table import Operations, Patch, Put, Table, utc

REPORT_SUBSCRIPTIONS = Table(
    "report_subscriptions",
    key=("user_id",),
    columns="user_id integer NOT NULL, daily boolean NOT NULL",
)
REPORT_DELIVERIES = Table(
    "report_deliveries",
    key=("user_id", "number"),
    columns="""
        user_id integer NOT NULL, number integer NOT NULL, day date NOT NULL,
        state text NOT NULL, at timestamptz NOT NULL, reason text, again_at timestamptz
    """,
)
"""What became of deliveries, step by step; the number is the version of the subscription then."""

TABLES = (REPORT_SUBSCRIPTIONS, REPORT_DELIVERIES)


def project(recorded: Recorded) -> Operations:
    """What an event of a subscription means for the tables."""
    event = recorded.event
    match event:
        case TakenOut():
            yield Put(REPORT_SUBSCRIPTIONS, {"user_id": event.number, "daily": True})
        case Resumed():
            yield Patch(REPORT_SUBSCRIPTIONS, (event.number,), {"daily": True})
        case Ended():
            yield Patch(REPORT_SUBSCRIPTIONS, (event.number,), {"daily": False})
        case _:
            step = step_of(event)
            if step is not None:
                number = event.originator_version
                row = {"user_id": event.number, "number": number, **step.row()}
                yield Put(REPORT_DELIVERIES, row)


MODEL = ReadModel("subscriptions", ("subscription",), TABLES, project)


LISTING = Listing(
    kind="subscription",
    table="users AS u LEFT JOIN report_subscriptions AS s ON s.user_id = u.id",
    answer=f"""
        coalesce(s.daily, FALSE) AS daily, (
            SELECT coalesce(json_agg(step), '[]') FROM (
                SELECT d.day, d.state, {utc("d.at")}, d.reason, {utc("d.again_at")}
                FROM report_deliveries AS d WHERE d.user_id = u.id
                ORDER BY d.number DESC LIMIT {SHOWN}
            ) AS step
        ) AS deliveries
    """,
    owner="u.id",
    columns={"id": "u.id"},
    only="u.deleted_at IS NULL",
)
"""What each user wants sent, and what became of it lately."""

# Of each who wants the morning's figures: their name, and the newest step of the newest delivery.
LATEST = """
SELECT u.username, d.day::text, d.state, d.reason,
    to_char(d.again_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
FROM report_subscriptions AS s JOIN users AS u ON u.id = s.user_id
LEFT JOIN LATERAL (
    SELECT * FROM report_deliveries WHERE user_id = s.user_id ORDER BY number DESC LIMIT 1
) AS d ON TRUE
WHERE s.daily AND u.deleted_at IS NULL ORDER BY u.username
"""
