"""The tables of training plans, of the trainings in them, and of the clients who follow them."""

from __future__ import annotations

from domain.aggregate import time_text
from domain.recorded import Recorded
from domain.training_plans import (
    STATUS_AFTER,
    Deleted,
    DetailsChanged,
    DrawnUp,
    HandedOver,
    PinnedToClient,
    StatusEvent,
    TrainingAdded,
    TrainingRemoved,
    UnpinnedFromClient,
)
from projections.engine.lists import CONTAINS, SAME_TEXT, Listing
from projections.engine.model import ReadModel
from projections.engine.table import Operations, Patch, Put, Remove, Table, deferred, utc

TRAINING_PLANS = Table(
    "training_plans",
    key=("id",),
    columns="""
        id integer NOT NULL DEFAULT nextval('training_plans_id_seq'),
        user_id integer NOT NULL,
        title varchar(200) NOT NULL,
        description text DEFAULT NULL,
        created_at timestamptz DEFAULT CURRENT_TIMESTAMP,
        status plan_status DEFAULT 'ACTIVE'
    """,
    constraints=(deferred("FOREIGN KEY (user_id) REFERENCES users (id)"),),
    indexes=("(user_id)",),
)

TRAINING_PLAN_TRAININGS = Table(
    "training_plan_trainings",
    key=("training_id", "training_plan_id"),
    columns="training_id integer NOT NULL, training_plan_id integer NOT NULL",
    constraints=(
        deferred("FOREIGN KEY (training_id) REFERENCES trainings (id) ON DELETE CASCADE"),
        deferred("FOREIGN KEY (training_plan_id) REFERENCES training_plans (id) ON DELETE CASCADE"),
    ),
    indexes=("(training_plan_id)",),
)

CLIENTS_TRAINING_PLAN = Table(
    "clients_training_plan",
    key=("client_id", "training_plan_id"),
    columns="""
        client_id integer NOT NULL,
        training_plan_id integer NOT NULL,
        pinned_at timestamptz DEFAULT CURRENT_TIMESTAMP
    """,
    constraints=(
        deferred("FOREIGN KEY (client_id) REFERENCES clients (id) ON DELETE CASCADE"),
        deferred("FOREIGN KEY (training_plan_id) REFERENCES training_plans (id) ON DELETE CASCADE"),
    ),
    indexes=("(training_plan_id)",),
)
TABLES = (TRAINING_PLANS, TRAINING_PLAN_TRAININGS, CLIENTS_TRAINING_PLAN)


def project(recorded: Recorded) -> Operations:
    """What an event of a plan means for the tables."""
    event = recorded.event
    number = event.number
    match event:
        case DrawnUp():
            row = {
                "id": number,
                "user_id": event.user_id,
                "title": event.title,
                "description": event.description,
                "created_at": time_text(event.timestamp),
                "status": event.status,
            }
            yield Put(TRAINING_PLANS, row)
        case DetailsChanged(changes=changes):
            yield Patch(TRAINING_PLANS, (number,), changes)
        case HandedOver(user_id=user_id):
            yield Patch(TRAINING_PLANS, (number,), {"user_id": user_id})
        case StatusEvent():
            yield Patch(TRAINING_PLANS, (number,), {"status": STATUS_AFTER[type(event)].value})
        case TrainingAdded(training_id=training_id):
            yield Put(
                TRAINING_PLAN_TRAININGS, {"training_id": training_id, "training_plan_id": number}
            )
        case TrainingRemoved(training_id=training_id):
            yield Remove(TRAINING_PLAN_TRAININGS, (training_id, number))
        case PinnedToClient(client_id=client_id):
            row = {
                "client_id": client_id,
                "training_plan_id": number,
                "pinned_at": time_text(event.timestamp),
            }
            yield Put(CLIENTS_TRAINING_PLAN, row)
        case UnpinnedFromClient(client_id=client_id):
            yield Remove(CLIENTS_TRAINING_PLAN, (client_id, number))
        case Deleted():
            yield Remove(TRAINING_PLANS, (number,))
        case _:
            return


MODEL = ReadModel("training_plans", ("training-plan",), TABLES, project)


LISTING = Listing(
    kind="training-plan",
    table="training_plans AS p",
    answer=f"p.id, p.user_id, p.title, p.description, {utc('p.created_at')}, p.status",
    owner="p.user_id",
    columns={
        "id": "p.id",
        "user_id": "p.user_id",
        "title": "p.title",
        "title_contains": "p.title",
        "status": "p.status",
        "created_at": "p.created_at",
    },
    comparisons={"title": SAME_TEXT, "title_contains": CONTAINS},
)

TRAININGS_LISTING = Listing(
    kind="training-plan",
    table="training_plan_trainings AS pt JOIN training_plans AS p ON p.id = pt.training_plan_id",
    answer="pt.training_id, pt.training_plan_id",
    owner="p.user_id",
    key=("pt.training_plan_id", "pt.training_id"),
    columns={"training_plan_id": "pt.training_plan_id", "training_id": "pt.training_id"},
)

PINNED_LISTING = Listing(
    kind="training-plan",
    table="""
        clients_training_plan AS cp JOIN clients AS c ON c.id = cp.client_id
        JOIN training_plans AS p ON p.id = cp.training_plan_id
    """,
    answer=f"""
        cp.client_id, cp.training_plan_id, {utc("cp.pinned_at")},
        p.user_id, p.title, p.description, {utc("p.created_at")}, p.status
    """,
    owner="c.user_id",
    key=("cp.client_id", "cp.training_plan_id"),
    columns={
        "client_id": "cp.client_id",
        "training_plan_id": "cp.training_plan_id",
        "title": "p.title",
        "title_contains": "p.title",
        "status": "p.status",
    },
    comparisons={"title": SAME_TEXT, "title_contains": CONTAINS},
)

# The clients of a user who follow a plan, which lets the user read it.
FOLLOWED_BY = """
SELECT cp.client_id FROM clients_training_plan AS cp JOIN clients AS c ON c.id = cp.client_id
WHERE cp.training_plan_id = %s AND c.user_id = %s
"""
