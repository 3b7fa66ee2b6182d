"""Trainings over REST, for a trainer."""

from __future__ import annotations

from application.exercises import AddExercise, ExerciseBody
from application.trainings import AddExerciseToTraining, TrainingExerciseBody
from domain.values import MuscleGroup, Role
from tests.conftest import Rest
from tests.interfaces.rest.scenes import furnished, made, new_training


async def test_the_exercises_of_a_training_are_read_in_full_and_in_its_order(rest: Rest) -> None:
    scene = await furnished(rest)
    plank = ExerciseBody(title="Plank", description="Still.", muscle_group=MuscleGroup.CORE)
    exercise = await made(rest, AddExercise(plank))
    first = TrainingExerciseBody(
        training_id=scene.training, exercise_id=exercise, order_in_training=1, extra_weight="5.00"
    )
    last = {"order_in_training": 2}
    await rest.http.patch(
        f"/trainings-exercises/{scene.training}/{scene.exercise}/", json=last, headers=scene.owner
    )
    await rest.do(AddExerciseToTraining(first))
    path = f"/trainings/{scene.training}/exercises/"
    shown = (await rest.http.get(path, headers=scene.owner)).json()
    assert [row["title"] for row in shown] == ["Plank", "Squat"]
    assert shown[0] == {**first.facts(), **plank.facts()}

    by_id = await rest.http.get(f"{path}?sort=-exercise_id", headers=scene.owner)
    assert [row["exercise_id"] for row in by_id.json()] == [exercise, scene.exercise]
    core = await rest.http.get(f"{path}?muscle_group=CORE", headers=scene.owner)
    assert [row["title"] for row in core.json()] == ["Plank"]
    page = await rest.http.get(f"{path}?limit=1", headers=scene.owner)
    rest_of_it = await rest.http.get(page.links["next"]["url"], headers=scene.owner)
    assert [row["title"] for row in (*page.json(), *rest_of_it.json())] == ["Plank", "Squat"]


async def test_a_trainer_copies_a_training_and_puts_a_plan_onto_days(rest: Rest) -> None:
    scene = await furnished(rest)
    _, trainer = await rest.user(Role.TRAINER)
    copy = await rest.http.post(
        f"/trainings/{scene.training}/copies/", json={"date": "2026-04-01"}, headers=trainer
    )
    assert copy.status_code == 201
    read = await rest.http.get(copy.headers["Location"], headers=scene.owner)
    assert read.json() == copy.json()
    assert read.headers["ETag"] == copy.headers["ETag"]

    days = [{"training_id": scene.training, "date": f"2026-04-0{day}"} for day in (2, 4, 6)]
    body = {"client_id": scene.client, "trainings": days}
    path, keyed = f"/training-plans/{scene.plan}/schedules/", trainer | {"Idempotency-Key": "april"}
    given = await rest.http.post(path, json=body, headers=keyed)
    again = await rest.http.post(path, json=body, headers=keyed)
    assert (given.status_code, again.json()) == (201, given.json())
    assert [t["date"] for t in given.json()["trainings"]] == [f"2026-04-0{d}" for d in (2, 4, 6)]
    rows = await rest.club.postgres.rows("SELECT count(*), max(date)::text FROM trainings")
    assert rows == [(5, "2026-04-06")]

    outside = await new_training(rest, scene.client)
    body["trainings"] = [*days, {"training_id": outside, "date": "2026-04-08"}]
    refused = await rest.http.post(path, json=body, headers=trainer)
    assert refused.status_code == 422
    assert await rest.club.postgres.rows("SELECT count(*) FROM trainings") == [(6,)]
