"""The table of users."""

from __future__ import annotations

from domain.aggregate import time_text
from domain.recorded import Recorded
from domain.users import (
    Deleted,
    EmailChanged,
    PasswordChanged,
    PasswordRehashed,
    Registered,
    Renamed,
    RoleChanged,
    SignedIn,
)
from projections.engine.lists import AT_LEAST, LESS, SAME_TEXT, Listing
from projections.engine.model import ReadModel
from projections.engine.table import Operations, Patch, Put, Table, deferred, utc

USERS = Table(
    "users",
    key=("id",),
    columns="""
        id integer NOT NULL DEFAULT nextval('users_id_seq'),
        username varchar(50) NOT NULL,
        password_hash varchar(255) NOT NULL,
        email varchar(100) NOT NULL,
        role user_role DEFAULT 'USER',
        created_at timestamptz DEFAULT now(),
        last_login timestamptz DEFAULT NULL,
        deleted_at timestamptz DEFAULT NULL
    """,
    constraints=(deferred("UNIQUE (username)"), deferred("UNIQUE (email)")),
    indexes=(
        "(created_at)",
        "(lower(username) text_pattern_ops)",
        "(lower(email) text_pattern_ops)",
        "(deleted_at) WHERE deleted_at IS NOT NULL",
    ),
)
TABLES = (USERS,)


def project(recorded: Recorded) -> Operations:
    """What an event of a user means for the table."""
    event = recorded.event
    key = (event.number,)
    match event:
        case Registered():
            row = {
                "id": event.number,
                "username": event.username,
                "password_hash": event.password_hash,
                "email": event.email,
                "role": event.role,
                "created_at": time_text(event.timestamp),
            }
            yield Put(USERS, row)
        case Renamed(username=username):
            yield Patch(USERS, key, {"username": username})
        case EmailChanged(email=email):
            yield Patch(USERS, key, {"email": email})
        case PasswordChanged(password_hash=known) | PasswordRehashed(password_hash=known):
            yield Patch(USERS, key, {"password_hash": known})
        case RoleChanged(role=role):
            yield Patch(USERS, key, {"role": role})
        case SignedIn():
            yield Patch(USERS, key, {"last_login": time_text(event.timestamp)})
        case Deleted():
            yield Patch(USERS, key, {"deleted_at": time_text(event.timestamp)})
        case _:
            return


MODEL = ReadModel("users", ("user",), TABLES, project)


ANSWER = f"""
    u.id, u.username, u.email, u.role,
    {utc("u.created_at")}, {utc("u.last_login")}, {utc("u.deleted_at")}
"""
"""Every column but the password's hash, which never leaves the service."""

LISTING = Listing(
    kind="user",
    table="users AS u",
    answer=ANSWER,
    owner="u.id",
    columns={"id": "u.id"},
    only="u.deleted_at IS NULL",
)

EVER = Listing(
    kind="user",
    table="users AS u",
    answer=ANSWER,
    owner="u.id",
    columns={
        "id": "u.id",
        "username": "u.username",
        "email": "u.email",
        "role": "u.role",
        "created_at": "u.created_at",
        "last_login": "u.last_login",
        "deleted": "(u.deleted_at IS NOT NULL)",
        "is_client": "EXISTS (SELECT FROM clients AS c WHERE c.user_id = u.id)",
    },
    comparisons={"username": SAME_TEXT, "email": SAME_TEXT},
)
"""Every user, those who were deleted too."""

THEMSELVES = Listing(
    kind="user",
    table="users AS u LEFT JOIN clients AS c ON c.user_id = u.id",
    answer=f"{ANSWER}, c.id AS client_id",
    owner="u.id",
    columns={"id": "u.id"},
    only="u.deleted_at IS NULL",
)
"""Users as they see themselves: with the client that each is, if any."""

OF_CLIENTS = Listing(
    kind="client",
    table="clients AS c JOIN users AS u ON u.id = c.user_id",
    answer=ANSWER,
    owner="c.user_id",
    columns={"client_id": "c.id"},
    key=("c.id",),
)
"""The user that each client is, also where that was deleted."""

FOR_REPORT = Listing(
    kind="user",
    table="users AS u",
    answer=ANSWER,
    owner="u.id",
    columns={"id": "u.id", "from_date": "u.created_at", "to_date": "u.created_at"},
    comparisons={"from_date": AT_LEAST, "to_date": LESS},
)

# The user of a name, who is not deleted.
BY_USERNAME = """
SELECT id FROM users WHERE lower(username) = lower(%s) AND deleted_at IS NULL
"""

# The users who are ADMIN.
ADMINS = """
SELECT id FROM users WHERE role = 'ADMIN' AND deleted_at IS NULL ORDER BY id
"""
