"""What follows from what: an event in, commands out.

The commands of a policy are handled in the transaction of the event that they answer, so a
consequence happens exactly once, and never later than its cause.
"""

from __future__ import annotations

from collections.abc import Sequence

from application.clients import AdmitClient, DeactivateClientOf, WithdrawAdmission
from application.command import Command
from application.sessions import EndSessionsOf
from application.training_plans import RemoveTrainingFromPlans, UnpinPlansFrom
from application.trainings import DeleteTrainingsOf, RemoveExerciseEverywhere
from domain import clients, exercises, payments, trainings, users
from domain.aggregate import Event
from domain.sessions import Ending


def consequences(event: Event) -> Sequence[Command]:
    """The commands that answer this event."""
    match event:
        case users.Deleted():
            return [
                DeactivateClientOf(event.number),
                EndSessionsOf(event.number, Ending.USER_DELETED),
            ]
        case users.PasswordChanged():
            return [EndSessionsOf(event.number, Ending.PASSWORD_CHANGED)]
        case users.TelegramUnbound():
            return [EndSessionsOf(event.number, Ending.TELEGRAM_UNBOUND)]
        case clients.Deleted():
            return [DeleteTrainingsOf(event.number), UnpinPlansFrom(event.number)]
        case trainings.Deleted():
            return [RemoveTrainingFromPlans(event.number)]
        case exercises.Deleted():
            return [RemoveExerciseEverywhere(event.number)]
        case payments.Settled():
            return [AdmitClient(event.client_id, event.number, event.occurred_at)]
        case payments.Refunded():
            return [WithdrawAdmission(event.client_id, event.number)]
        case _:
            return []
