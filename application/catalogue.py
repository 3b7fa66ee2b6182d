"""Every command of the club, and what handles it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from application import (
    clients,
    exercises,
    memberships,
    payments,
    providers,
    reports,
    sessions,
    training_plans,
    trainings,
    users,
)
from application.command import Command
from application.work import Result, Work

Handler = Callable[[Any, Work], Awaitable[Result]]

HANDLERS: Mapping[type[Command], Handler] = {
    users.RegisterUser: users.register_user,
    users.ChangeUser: users.change_user,
    users.DeleteUser: users.delete_user,
    sessions.NoteFailedSignIn: sessions.note_failed_sign_in,
    sessions.OpenSession: sessions.open_session,
    sessions.RefreshSession: sessions.refresh_session,
    sessions.EndSession: sessions.end_session,
    sessions.EndSessionsOf: sessions.end_sessions_of,
    sessions.UnbindTelegram: sessions.unbind_telegram,
    memberships.AddMembership: memberships.add_membership,
    memberships.ChangeMembership: memberships.change_membership,
    memberships.DeleteMembership: memberships.delete_membership,
    clients.RegisterClient: clients.register_client,
    clients.ChangeClient: clients.change_client,
    clients.DeleteClient: clients.delete_client,
    clients.DeactivateClientOf: clients.deactivate_client_of,
    clients.AdmitClient: clients.admit_client,
    clients.WithdrawAdmission: clients.withdraw_admission,
    clients.LapseClient: clients.lapse_client,
    exercises.AddExercise: exercises.add_exercise,
    exercises.ChangeExercise: exercises.change_exercise,
    exercises.DeleteExercise: exercises.delete_exercise,
    trainings.PlanTraining: trainings.plan_training,
    trainings.ChangeTraining: trainings.change_training,
    trainings.DeleteTraining: trainings.delete_training,
    trainings.AddExerciseToTraining: trainings.add_exercise_to_training,
    trainings.ChangeExerciseInTraining: trainings.change_exercise_in_training,
    trainings.RemoveExerciseFromTraining: trainings.remove_exercise_from_training,
    trainings.DeleteTrainingsOf: trainings.delete_trainings_of,
    trainings.RemoveExerciseEverywhere: trainings.remove_exercise_everywhere,
    training_plans.DrawUpPlan: training_plans.draw_up_plan,
    training_plans.ChangePlan: training_plans.change_plan,
    training_plans.DeletePlan: training_plans.delete_plan,
    training_plans.AddTrainingToPlan: training_plans.add_training_to_plan,
    training_plans.RemoveTrainingFromPlan: training_plans.remove_training_from_plan,
    training_plans.PinPlan: training_plans.pin_plan,
    training_plans.UnpinPlan: training_plans.unpin_plan,
    training_plans.RemoveTrainingFromPlans: training_plans.remove_training_from_plans,
    training_plans.UnpinPlansFrom: training_plans.unpin_plans_from,
    payments.RequestPayment: payments.request_payment,
    payments.ChangePayment: payments.change_payment,
    payments.ReportPayment: payments.report_payment,
    payments.DeletePayment: payments.delete_payment,
    payments.ExpirePayment: payments.expire_payment,
    providers.RegisterProvider: providers.register_provider,
    providers.AddProviderSecret: providers.add_provider_secret,
    providers.DisableProvider: providers.disable_provider,
    reports.DrawUpReport: reports.draw_up_report,
}
