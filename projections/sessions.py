"""The table of sessions, and who is let in by the tokens of one."""

from __future__ import annotations

from domain.aggregate import time_text
from domain.recorded import Recorded
from domain.sessions import Ended, Opened, Refreshed
from projections.engine.lists import Listing
from projections.engine.model import ReadModel
from projections.engine.table import Operations, Patch, Put, Table, deferred, utc

SESSIONS = Table(
    "sessions",
    key=("id",),
    columns="""
        id integer NOT NULL DEFAULT nextval('sessions_id_seq'),
        user_id integer NOT NULL,
        opened_at timestamptz NOT NULL,
        last_used_at timestamptz NOT NULL,
        ends_at timestamptz NOT NULL,
        ended_at timestamptz,
        ended_because text,
        origin text NOT NULL,
        agent text NOT NULL
    """,
    constraints=(deferred("FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE NO ACTION"),),
    indexes=("(user_id)",),
)
"""Not documented: who is signed in, since when and from where."""

TABLES = (SESSIONS,)


def project(recorded: Recorded) -> Operations:
    """What an event of a session means for the table."""
    event = recorded.event
    key = (event.number,)
    match event:
        case Opened():
            row = {
                "id": event.number,
                "user_id": event.user_id,
                "opened_at": time_text(event.timestamp),
                "last_used_at": time_text(event.timestamp),
                "ends_at": event.ends_at,
                "origin": event.origin,
                "agent": event.agent,
            }
            yield Put(SESSIONS, row)
        case Refreshed(origin=origin):
            used = {"last_used_at": time_text(event.timestamp), "origin": origin}
            yield Patch(SESSIONS, key, used)
        case Ended(why=why):
            ended = {"ended_at": time_text(event.timestamp), "ended_because": why}
            yield Patch(SESSIONS, key, ended)
        case _:
            return


MODEL = ReadModel("sessions", ("session",), TABLES, project)


LISTING = Listing(
    kind="session",
    table="sessions AS s",
    answer=f"""
        s.id, {utc("s.opened_at")}, {utc("s.last_used_at")}, {utc("s.ends_at")},
        s.origin, s.agent
    """,
    owner="s.user_id",
    columns={
        "id": "s.id",
        "user_id": "s.user_id",
        "opened_at": "s.opened_at",
        "last_used_at": "s.last_used_at",
    },
    only="s.ended_at IS NULL AND s.ends_at > now()",
)
"""Sessions that go on."""
