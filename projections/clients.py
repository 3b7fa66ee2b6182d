"""The table of clients, and until when each is let in."""

from __future__ import annotations

from domain.admissions import NO_TIME, TimeLeft
from domain.aggregate import Event, time_text
from domain.clients import (
    STATUS_AFTER,
    AdmissionWithdrawn,
    Admitted,
    AdmittedProvisionally,
    DaysGivenBack,
    DaysGranted,
    DaysKept,
    Deleted,
    DetailsChanged,
    MembershipChanged,
    Registered,
    StatusEvent,
    Transferred,
)
from domain.recorded import Recorded
from projections.client_words import FOUND
from projections.engine.lists import BEGINS, Listing
from projections.engine.model import ReadModel
from projections.engine.table import (
    Operations,
    Patch,
    Put,
    Remove,
    Row,
    Switched,
    Table,
    deferred,
    utc,
)

ONE_HOLDER = Switched(
    "clients_membership_id_key",
    holds=deferred("UNIQUE (membership_id)"),
    index="(membership_id)",
)
"""A membership has one holder, unless the rules of the club say otherwise."""

CLIENTS = Table(
    "clients",
    key=("id",),
    columns="""
        id integer NOT NULL DEFAULT nextval('clients_id_seq'),
        user_id integer NOT NULL,
        membership_id integer NOT NULL,
        first_name varchar(50) NOT NULL,
        last_name varchar(80) NOT NULL,
        phone_number varchar(20) NOT NULL,
        gender gender,
        date_of_birth date NOT NULL,
        weight_kg numeric(5, 2),
        height_sm numeric(5, 2),
        status client_status DEFAULT 'ACTIVE'
    """,
    constraints=(
        deferred("UNIQUE (user_id)"),
        deferred("FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE NO ACTION"),
        deferred("FOREIGN KEY (membership_id) REFERENCES memberships (id) ON DELETE SET DEFAULT"),
    ),
    indexes=("(lower(first_name) text_pattern_ops)", "(lower(last_name) text_pattern_ops)"),
    switched=(ONE_HOLDER,),
)

CLIENT_ADMISSIONS = Table(
    "client_admissions",
    key=("client_id",),
    columns="""
        client_id integer NOT NULL, until timestamptz, kept_seconds integer,
        provisional boolean NOT NULL
    """,
    constraints=(deferred("FOREIGN KEY (client_id) REFERENCES clients (id) ON DELETE CASCADE"),),
    indexes=("(until)",),
)
"""Not documented: until when a client is let in, for the club to know whose time has ended."""

CLIENT_GRANTS = Table(
    "client_grants",
    key=("client_id", "number"),
    columns="""
        client_id integer NOT NULL, number integer NOT NULL, granted_at timestamptz NOT NULL,
        days integer NOT NULL, reason text NOT NULL
    """,
)
"""Not documented: days that nobody paid for; the number is the version of the client then.

They are accounts, as payments are, and outlive their client."""

TABLES = (CLIENTS, CLIENT_ADMISSIONS, CLIENT_GRANTS)


def project(recorded: Recorded) -> Operations:
    """What an event of a client means for the tables."""
    event = recorded.event
    key = (event.number,)
    match event:
        case Registered():
            row = {
                "id": event.number,
                "user_id": event.user_id,
                "membership_id": event.membership_id,
                "first_name": event.first_name,
                "last_name": event.last_name,
                "phone_number": event.phone_number,
                "gender": event.gender,
                "date_of_birth": event.date_of_birth,
                "weight_kg": event.weight_kg,
                "height_sm": event.height_sm,
                "status": event.status,
            }
            yield Put(CLIENTS, row)
        case DetailsChanged(changes=changes):
            yield Patch(CLIENTS, key, changes)
        case Transferred(user_id=user_id):
            yield Patch(CLIENTS, key, {"user_id": user_id})
        case MembershipChanged(membership_id=membership_id):
            yield Patch(CLIENTS, key, {"membership_id": membership_id})
        case StatusEvent():
            yield Patch(CLIENTS, key, {"status": STATUS_AFTER[type(event)].value})
        case Deleted():
            yield Remove(CLIENT_ADMISSIONS, key)
            yield Remove(CLIENTS, key)
        case _:
            yield from _admission(event)


def _admission(event: Event) -> Operations:
    """What an event means for the time of its client."""
    key = (event.number,)
    match event:
        case AdmittedProvisionally(until=until):
            row = {"until": until, "kept_seconds": None, "provisional": True}
            yield Put(CLIENT_ADMISSIONS, {"client_id": event.number, **row})
        case Admitted() | DaysGranted() | AdmissionWithdrawn():
            if isinstance(event, DaysGranted):
                yield Put(CLIENT_GRANTS, _grant(event))
            yield Remove(CLIENT_ADMISSIONS, key)
            left = TimeLeft(event.until, event.kept_seconds)
            if left != NO_TIME:
                row = {**left._asdict(), "provisional": False}
                yield Put(CLIENT_ADMISSIONS, {"client_id": event.number, **row})
        case DaysKept(kept_seconds=seconds):
            yield Patch(CLIENT_ADMISSIONS, key, {"until": None, "kept_seconds": seconds})
        case DaysGivenBack(until=until):
            if until is not None:
                yield Patch(CLIENT_ADMISSIONS, key, {"until": until, "kept_seconds": None})
        case _:
            return


def _grant(event: DaysGranted) -> Row:
    return {
        "client_id": event.number,
        "number": event.originator_version,
        "granted_at": time_text(event.timestamp),
        "days": event.days,
        "reason": event.reason,
    }


MODEL = ReadModel("clients", ("client",), TABLES, project)


LISTING = Listing(
    kind="client",
    table="clients AS c",
    answer="""
        c.id, c.user_id, c.membership_id, c.first_name, c.last_name, c.phone_number, c.gender,
        c.date_of_birth, c.weight_kg::text AS weight_kg, c.height_sm::text AS height_sm, c.status
    """,
    owner="c.user_id",
    columns={
        "id": "c.id",
        "user_id": "c.user_id",
        "membership_id": "c.membership_id",
        "first_name": "c.first_name",
        "last_name": "c.last_name",
        "phone_number": "c.phone_number",
        "gender": "c.gender",
        "date_of_birth": "c.date_of_birth",
        "status": "c.status",
    },
    comparisons={"first_name": BEGINS, "last_name": BEGINS},
    found_by=f"""
        {FOUND}
        UNION ALL
        (SELECT o.id FROM (SELECT lower(%s::text) AS begins) AS t
        JOIN users AS u ON lower(u.username) ~>=~ t.begins
            AND lower(u.username) ~<~ (t.begins || chr(1114111))
        JOIN clients AS o ON o.user_id = u.id
        ORDER BY lower(u.username) USING ~<~, u.id LIMIT %s)
        UNION ALL
        (SELECT o.id FROM (SELECT lower(%s::text) AS begins) AS t
        JOIN users AS u ON lower(u.email) ~>=~ t.begins
            AND lower(u.email) ~<~ (t.begins || chr(1114111))
        JOIN clients AS o ON o.user_id = u.id
        ORDER BY lower(u.email) USING ~<~, u.id LIMIT %s)
    """,
)

ADMISSION = Listing(
    kind="client",
    table="clients AS c LEFT JOIN client_admissions AS a ON a.client_id = c.id",
    answer=f"""
        c.id AS client_id, c.status, {utc("a.until")}, a.kept_seconds,
        coalesce(a.provisional, false) AS provisional
    """,
    owner="c.user_id",
    columns={"client_id": "c.id"},
    key=("c.id",),
)
"""Until when a client is let in."""

GRANTS = Listing(
    kind="client",
    table="client_grants AS g JOIN clients AS c ON c.id = g.client_id",
    answer=f"g.client_id, {utc('g.granted_at')}, g.days, g.reason",
    owner="c.user_id",
    key=("g.client_id", "g.number"),
    columns={"client_id": "g.client_id", "granted_at": "g.granted_at"},
)

# ACTIVE clients whose time ended by a moment, in the order in which it ended.
LAPSED = """
SELECT a.client_id FROM client_admissions AS a JOIN clients AS c ON c.id = a.client_id
WHERE a.until <= %s AND c.status = 'ACTIVE' ORDER BY a.until LIMIT %s
"""
