"""Every command of the club, and what handles it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from application import (
    audit,
    clients,
    exercises,
    first_passwords,
    memberships,
    page_links,
    payments,
    providers,
    reports,
    rules,
    sessions,
    subscriptions,
    training_plans,
    trainings,
    users,
    walk_ins,
)
from application.command import Command
from application.work import Result, Work

Handler = Callable[[Any, Work], Awaitable[Result]]

ASKED: Mapping[type[Command], Handler] = {
    users.RegisterUser: users.register_user,
    users.ChangeUser: users.change_user,
    users.DeleteUser: users.delete_user,
    first_passwords.IssueFirstCode: first_passwords.issue_first_code,
    sessions.UnbindTelegram: sessions.unbind_telegram,
    memberships.AddMembership: memberships.add_membership,
    memberships.ChangeMembership: memberships.change_membership,
    memberships.DeleteMembership: memberships.delete_membership,
    clients.RegisterClient: clients.register_client,
    clients.ChangeClient: clients.change_client,
    clients.DeleteClient: clients.delete_client,
    clients.GrantDays: clients.grant_days,
    walk_ins.RegisterWalkIn: walk_ins.register_walk_in,
    exercises.AddExercise: exercises.add_exercise,
    exercises.ChangeExercise: exercises.change_exercise,
    exercises.DeleteExercise: exercises.delete_exercise,
    trainings.PlanTraining: trainings.plan_training,
    trainings.CopyTraining: trainings.copy_training,
    trainings.ChangeTraining: trainings.change_training,
    trainings.DeleteTraining: trainings.delete_training,
    trainings.AddExerciseToTraining: trainings.add_exercise_to_training,
    trainings.ChangeExerciseInTraining: trainings.change_exercise_in_training,
    trainings.RemoveExerciseFromTraining: trainings.remove_exercise_from_training,
    training_plans.DrawUpPlan: training_plans.draw_up_plan,
    training_plans.ChangePlan: training_plans.change_plan,
    training_plans.DeletePlan: training_plans.delete_plan,
    training_plans.AddTrainingToPlan: training_plans.add_training_to_plan,
    training_plans.RemoveTrainingFromPlan: training_plans.remove_training_from_plan,
    training_plans.SchedulePlan: training_plans.schedule_plan,
    training_plans.PinPlan: training_plans.pin_plan,
    training_plans.UnpinPlan: training_plans.unpin_plan,
    payments.RequestPayment: payments.request_payment,
    payments.ChangePayment: payments.change_payment,
    payments.DeletePayment: payments.delete_payment,
    reports.DrawUpReport: reports.draw_up_report,
    subscriptions.Subscribe: subscriptions.subscribe,
    page_links.MakePageLink: page_links.make_page_link,
    page_links.RevokePageLink: page_links.revoke_page_link,
    rules.ChangeRules: rules.change_rules,
}
"""What can be asked from outside, under the names of `application.catalogue`."""

AT_THE_DOOR: Mapping[type[Command], Handler] = {
    first_passwords.ChooseFirstPassword: first_passwords.choose_first_password,
    users.RehashPassword: users.rehash_password,
    sessions.NoteFailedSignIn: sessions.note_failed_sign_in,
    sessions.OpenSession: sessions.open_session,
    sessions.RefreshSession: sessions.refresh_session,
    sessions.EndSession: sessions.end_session,
}
"""What `application.sign_in` makes of steps of signing in and out."""

REPORTED: Mapping[type[Command], Handler] = {
    payments.ReportPayment: payments.report_payment,
}
"""What payment providers report, in messages that they sign."""

NOTED: Mapping[type[Command], Handler] = {
    audit.NoteReading: audit.note_reading,
}
"""What is written down of whoever asks what happened, and how it was."""

AT_THE_MACHINE: Mapping[type[Command], Handler] = {
    providers.RegisterProvider: providers.register_provider,
    providers.AddProviderSecret: providers.add_provider_secret,
    providers.DisableProvider: providers.disable_provider,
    page_links.MakePageLinkFor: page_links.make_page_link_for,
}
"""What whoever sits at the machine may do besides, on the command line."""

AT_THE_START: Mapping[type[Command], Handler] = {
    rules.AdoptRules: rules.adopt_rules,
}
"""What is done when a club is opened for the first time."""

IN_TIME: Mapping[type[Command], Handler] = {
    payments.ExpirePayment: payments.expire_payment,
    clients.LapseClient: clients.lapse_client,
    reports.DrawUpDailyReport: reports.draw_up_daily_report,
    subscriptions.BeginDelivery: subscriptions.begin_delivery,
    subscriptions.EndDelivery: subscriptions.end_delivery,
    subscriptions.LoseDelivery: subscriptions.lose_delivery,
}
"""What is due when time has passed: `application.housekeeping`, `application.daily_reports`,
`application.subscriptions`."""

FOLLOWING: Mapping[type[Command], Handler] = {
    sessions.EndSessionsOf: sessions.end_sessions_of,
    clients.DeactivateClientOf: clients.deactivate_client_of,
    clients.AdmitClient: clients.admit_client,
    clients.WithdrawAdmission: clients.withdraw_admission,
    trainings.DeleteTrainingsOf: trainings.delete_trainings_of,
    trainings.RemoveExerciseEverywhere: trainings.remove_exercise_everywhere,
    training_plans.RemoveTrainingFromPlans: training_plans.remove_training_from_plans,
    training_plans.UnpinPlansFrom: training_plans.unpin_plans_from,
}
"""What nobody asks: it follows from an event, as `application.policies` say."""

HANDLERS: Mapping[type[Command], Handler] = {
    **ASKED,
    **AT_THE_DOOR,
    **REPORTED,
    **NOTED,
    **AT_THE_MACHINE,
    **AT_THE_START,
    **IN_TIME,
    **FOLLOWING,
}
