"""A plan: trainings that belong together, and the clients who follow it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from domain.aggregate import Aggregate, CreatedEvent, Event, Facts, time_text
from domain.privacy import DeclaredIn, OfUser, Plain
from domain.refusals import Conflict, NotFound
from domain.values import PlanStatus


class TrainingInPlan(Conflict):
    """Training {training_id} is already in this plan."""

    FIELD = "training_id"


class TrainingNotInPlan(NotFound):
    """Training {training_id} is not in this plan."""


class PlanPinned(Conflict):
    """Client {client_id} already follows this plan."""

    FIELD = "training_plan_id"


class PlanNotPinned(NotFound):
    """Client {client_id} does not follow this plan."""


class TrainingPlan(Aggregate):
    """Trainings that belong together, and the clients who follow them, each since a moment."""

    TOPIC = "training-plan"

    def __init__(self) -> None:
        super().__init__()
        self.training_ids: set[int] = set()
        self.pinned: dict[int, str] = {}

    @classmethod
    def draw_up(cls, number: int, facts: Facts, at: datetime) -> Self:
        """Draw up a plan without trainings."""
        return cls.begin(number, DrawnUp, at=at, **facts)

    @property
    def user_id(self) -> int:
        """The number of the user whose plan it is."""
        return int(self.facts["user_id"] or 0)

    @property
    def status(self) -> PlanStatus:
        """How far the plan has come."""
        return PlanStatus(str(self.facts["status"]))

    def change(self, facts: Facts, at: datetime) -> None:
        """Change the plan; a new owner and a new status are events of their own."""
        changes = self.changed(facts)
        user_id = changes.pop("user_id", None)
        status = changes.pop("status", None)
        if user_id is not None:
            self.happen(HandedOver, at=at, user_id=user_id)
        if changes:
            self.happen(DetailsChanged, at=at, changes=changes)
        if status is not None:
            self.happen(EVENT_FOR[PlanStatus(str(status))], at=at)

    def add_training(self, training_id: int, at: datetime) -> None:
        """Make a training part of the plan."""
        if training_id in self.training_ids:
            raise TrainingInPlan(training_id=training_id)
        self.happen(TrainingAdded, at=at, training_id=training_id)

    def remove_training(self, training_id: int, at: datetime) -> None:
        """Take a training out of the plan."""
        if training_id not in self.training_ids:
            raise TrainingNotInPlan(training_id=training_id)
        self.happen(TrainingRemoved, at=at, training_id=training_id)

    def pin_to(self, client_id: int, at: datetime) -> None:
        """Let a client follow the plan."""
        if client_id in self.pinned:
            raise PlanPinned(client_id=client_id)
        self.happen(PinnedToClient, at=at, client_id=client_id)

    def unpin_from(self, client_id: int, at: datetime) -> None:
        """Let a client go their own way."""
        if client_id not in self.pinned:
            raise PlanNotPinned(client_id=client_id)
        self.happen(UnpinnedFromClient, at=at, client_id=client_id)

    def delete(self, at: datetime) -> None:
        """Throw the plan away; its trainings and clients leave it first, in words."""
        for training_id in sorted(self.training_ids):
            self.happen(TrainingRemoved, at=at, training_id=training_id)
        for client_id in sorted(self.pinned):
            self.happen(UnpinnedFromClient, at=at, client_id=client_id)
        self.happen(Deleted, at=at)


class DrawnUp(CreatedEvent):
    """Somebody drew up a plan."""

    TOPIC = "training-plan.drawn-up"
    user_id: Plain[int]
    title: OfUser[str]
    description: OfUser[str | None]
    status: Plain[str]

    def apply(self, aggregate: TrainingPlan) -> None:
        """All documented columns have a value from here on."""
        aggregate.facts = {
            "user_id": self.user_id,
            "title": self.title,
            "description": self.description,
            "created_at": time_text(self.timestamp),
            "status": self.status,
        }


class DetailsChanged(Event):
    """Its title or description changed."""

    TOPIC = "training-plan.details-changed"
    changes: Annotated[dict[str, Any], DeclaredIn(DrawnUp, "title", "description")]

    def apply(self, aggregate: TrainingPlan) -> None:
        """What changed holds; the rest stays."""
        aggregate.amend(**self.changes)


class HandedOver(Event):
    """The plan is another user's."""

    TOPIC = "training-plan.handed-over"
    user_id: Plain[int]

    def apply(self, aggregate: TrainingPlan) -> None:
        """The new user holds."""
        aggregate.amend(user_id=self.user_id)


class StatusEvent(Event):
    """The plan has come further; each status has an event of its own."""

    def apply(self, aggregate: TrainingPlan) -> None:
        """The new status holds."""
        aggregate.amend(status=STATUS_AFTER[type(self)].value)


class Activated(StatusEvent):
    """The plan is being followed."""

    TOPIC = "training-plan.activated"


class Prepared(StatusEvent):
    """The plan is ready to start."""

    TOPIC = "training-plan.prepared"


class Completed(StatusEvent):
    """The plan was followed to its end."""

    TOPIC = "training-plan.completed"


class Delayed(StatusEvent):
    """The plan has to wait."""

    TOPIC = "training-plan.delayed"


class TrainingAdded(Event):
    """A training became part of the plan."""

    TOPIC = "training-plan.training-added"
    training_id: Plain[int]

    def apply(self, aggregate: TrainingPlan) -> None:
        """It is in."""
        aggregate.training_ids.add(self.training_id)


class TrainingRemoved(Event):
    """A training is not part of the plan any more."""

    TOPIC = "training-plan.training-removed"
    training_id: Plain[int]

    def apply(self, aggregate: TrainingPlan) -> None:
        """It is out."""
        aggregate.training_ids.remove(self.training_id)


class PinnedToClient(Event):
    """A client follows the plan."""

    TOPIC = "training-plan.pinned-to-client"
    client_id: Plain[int]

    def apply(self, aggregate: TrainingPlan) -> None:
        """The client follows it since now."""
        aggregate.pinned[self.client_id] = time_text(self.timestamp)


class UnpinnedFromClient(Event):
    """A client does not follow the plan any more."""

    TOPIC = "training-plan.unpinned-from-client"
    client_id: Plain[int]

    def apply(self, aggregate: TrainingPlan) -> None:
        """The client is free of it."""
        del aggregate.pinned[self.client_id]


class Deleted(Event):
    """The plan is gone."""

    TOPIC = "training-plan.deleted"

    def apply(self, aggregate: TrainingPlan) -> None:
        """It is gone."""
        aggregate.deleted = True


STATUS_AFTER: dict[type[StatusEvent], PlanStatus] = {
    Activated: PlanStatus.ACTIVE,
    Prepared: PlanStatus.PREPARED,
    Completed: PlanStatus.COMPLETED,
    Delayed: PlanStatus.DELAYED,
}
EVENT_FOR = {status: event for event, status in STATUS_AFTER.items()}
