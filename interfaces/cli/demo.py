"""`club demo`: a club full of people, to look at and to try things on."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Annotated, Any

import orjson
import typer

from application.access import ANYBODY, THE_CLUB, Caller
from application.bus import Bus, KeyReused
from application.clients import (
    ChangeClient,
    ClientBody,
    GrantBody,
    GrantDays,
    LapseClient,
    RegisterClient,
)
from application.command import Command, Context
from application.exercises import AddExercise, ExerciseBody
from application.memberships import AddMembership, MembershipBody
from application.payments import (
    ChangePayment,
    PaymentBody,
    PaymentReport,
    ReportPayment,
    RequestPayment,
)
from application.ports.ledger import ReceiptKey
from application.ports.queries import Lookup, PageRequest, View
from application.reports import DrawUpReport, ReportBody
from application.training_plans import (
    AddTrainingToPlan,
    DrawUpPlan,
    PinBody,
    PinPlan,
    TrainingInPlanBody,
    TrainingPlanBody,
)
from application.trainings import (
    ChangeExerciseInTraining,
    PlanTraining,
    TrainingWithExercises,
)
from application.users import NewUser, RegisterUser
from application.walk_ins import RegisterWalkIn, WalkInBody
from domain.aggregate import text_time, time_text
from domain.clients import NotLapsed
from domain.refusals import Conflict
from domain.reservations import ExerciseTitleTaken, UsernameTaken
from domain.values import ClientStatus, PaymentStatus, Role
from infra.bootstrap import Club
from interfaces.cli.invention import OFFERS, Offer, Person, Staff, Trained, exercises, people, staff
from interfaces.cli.opening import with_club
from interfaces.cli.together import together


def demo(
    clients: Annotated[int, typer.Option(min=0, max=100_000, help="how many clients")] = 100,
    seed: Annotated[
        int, typer.Option(min=0, max=999_999_999, help="another number makes other people")
    ] = 1,
) -> None:
    """Fill the club with invented people, and with what they train and pay.

    The same seed again adds only what is not there. Nobody can sign in as one of them with a
    password: `club tokens issue` makes a token on this machine.
    """
    added = with_club(lambda club: fill(club, clients, seed))
    if added:
        told = (f"{n} {what}{'s' if n > 1 else ''}" for what, n in added.items())
        print(f"Added {', '.join(told)}.")
    else:
        print("Nothing added: all of it is there.")
    trainer, staffer, analyst = (member.username for member in staff(seed))
    print(
        f"\nTry next, while `make run` is running:\n"
        f"  TOKEN=$(.venv/bin/club tokens issue {staffer})\n"
        f'  curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:${{CLUB_HTTP_PORT:-8000}}/clients/1/\n'
        f"  .venv/bin/club tokens issue {trainer}    # keeps trainings and plans\n"
        f"  .venv/bin/club tokens issue {analyst}    # reads reports\n"
        f"  .venv/bin/club replay                    # all read tables again, from the ledger"
    )


async def fill(club: Club, clients: int, seed: int) -> Counter[str]:
    """Fill the club; returns how many of each kind were added."""
    filling = await _Filling.of(club, seed)
    await filling.catalogue()
    invented = list(islice(people(seed), clients))
    await filling.price_list({person.offer for person in invented if person.walks_in})
    await together(invented, filling.person, called="clients")
    await filling.report()
    return filling.added


BANK = Caller(None, Role.SYSTEM, "provider-demo")
"""A payment provider that reports money for what was paid in cash."""


class _NoPassword:
    """A password hash that no password has: of a secret that is forgotten at once.

    Made once and given to everybody, as hashing takes a while on purpose. Only this command's
    own bus has it: over any other channel, and for users who are real, nothing changes.
    """

    def __init__(self, of_a_secret: str) -> None:
        self._of_a_secret = of_a_secret

    async def hash(self, _: str, *, at_the_door: bool = False) -> str:  # noqa: ARG002 - the port's
        """The one hash, whatever the password."""
        return self._of_a_secret

    async def verify(self, _: str, __: str | None) -> bool:
        """Nobody knows a password for it."""
        return False


@dataclass
class _Filling:
    """The club as it is being filled, by its own staff."""

    club: Club
    bus: Bus
    seed: int
    trainer: Caller = THE_CLUB
    staffer: Caller = THE_CLUB
    analyst: Caller = THE_CLUB
    exercise_ids: list[int] = field(default_factory=list)
    offers: dict[Offer, int] = field(default_factory=dict)
    added: Counter[str] = field(default_factory=Counter)

    @classmethod
    async def of(cls, club: Club, seed: int) -> _Filling:
        """A filling whose staff is there."""
        of_a_secret = await club.services.passwords.hash(secrets.token_urlsafe(32))
        services = replace(club.services, passwords=_NoPassword(of_a_secret))
        filling = cls(club, Bus(services), seed)
        filling.trainer, filling.staffer, filling.analyst = [
            await filling._employ(member) for member in staff(seed)
        ]
        return filling

    async def catalogue(self) -> None:
        """The exercises, or those that have their titles."""
        self.exercise_ids = [await self._exercise(body) for body in exercises()]

    async def price_list(self, wanted: Collection[Offer]) -> None:
        """What walk-ins are sold: each thing once, and what is on offer already not again."""
        for offer in (one for one in OFFERS if one in wanted):
            terms = {"access_level": offer.access_level.value, "price": offer.price}
            found = await self.club.reads.page(View.OFFERS, PageRequest(filters=terms, limit=1))
            known = orjson.loads(found.body)
            if not known:
                name = f"offer/{OFFERS.index(offer)}"
                known = [await self._once(name, "membership", _sold(offer), THE_CLUB)]
            self.offers[offer] = known[0]["id"]

    async def report(self) -> None:
        """One report, on the day of the first filling."""
        await self._once("report", "report", DrawUpReport(ReportBody()), self.analyst)

    async def person(self, person: Person) -> None:
        """One person, and all that follows; somebody who was here before stays as they are."""
        try:
            user, client_id = await (self._walk_in if person.walks_in else self._join)(person)
            came = text_time(user["created_at"])
            training_ids = [
                await self._training(f"{person.number}/training/{n}", trained, client_id, came)
                for n, trained in enumerate(person.trainings)
            ]
            await self._plan(person, user["id"], client_id, training_ids)
            await self._end(person, client_id)
            if person.granted is not None:
                days, reason = person.granted
                grant = GrantDays(client_id, GrantBody(days=days, reason=reason))
                await self._once(f"{person.number}/grant", "grant", grant, self.staffer)
        except (UsernameTaken, KeyReused):
            return

    async def _join(self, person: Person) -> tuple[dict[str, Any], int]:
        """Register, become a client, and pay."""
        name = f"{person.number}"
        user = await self._once(name, "user", RegisterUser(_account(person)), ANYBODY)
        client_id, membership_id = await self._client(person, user["id"])
        await self._payments(person, client_id, membership_id, text_time(user["created_at"]))
        return user, client_id

    async def _walk_in(self, person: Person) -> tuple[dict[str, Any], int]:
        """Be taken in at the front desk, on terms that go on being offered.

        Raises UsernameTaken for somebody of whose coming no receipt is kept any more.
        """
        name = f"{person.number}/walk-in"
        receipt = await self.club.ledger.receipt(self._key(name))
        if receipt is None and await self.club.reads.find(Lookup.USER_NAMED, person.username):
            raise UsernameTaken(holder=person.username)
        body = WalkInBody(
            **_facts(person),
            username=person.username,
            email=person.email,
            membership_id=self.offers[person.offer],
            paid=True,
        )
        taken = await self._once(name, "walk-in", RegisterWalkIn(body), self.staffer)
        return taken["user"], taken["client"]["id"]

    async def _once(
        self, name: str, kind: str | None, command: Command, caller: Caller
    ) -> dict[str, Any]:
        """What the command made, now or in an earlier filling of the same seed.

        What is new counts as one more of `kind`.
        """
        context = Context(caller, f"demo-{self.seed}", key=self._key(name))
        outcome = await self.bus.execute(command, context)
        if outcome.position and kind:
            self.added[kind] += 1
        return dict(outcome.body or {})

    def _key(self, name: str) -> ReceiptKey:
        return ReceiptKey("demo", f"{self.seed}/{name}")

    async def _employ(self, member: Staff) -> Caller:
        body = NewUser(
            username=member.username,
            email=member.email,
            role=member.role,
            password=secrets.token_urlsafe(),
        )
        number = await self._or_holder(RegisterUser(body), THE_CLUB, UsernameTaken, "user")
        return Caller.user(number, member.role)

    async def _exercise(self, body: ExerciseBody) -> int:
        command = AddExercise(body)
        return await self._or_holder(command, self.trainer, ExerciseTitleTaken, "exercise")

    async def _or_holder(
        self, command: Command, caller: Caller, taken: type[Conflict], kind: str
    ) -> int:
        """The number of what the command made, or of what has its name already."""
        try:
            outcome = await self.bus.execute(command, Context(caller, f"demo-{self.seed}"))
        except taken as refusal:
            return int(str(refusal.case["holder"]).rpartition("-")[2])
        self.added[kind] += 1
        return int((outcome.body or {})["id"])

    async def _membership(self, person: Person) -> dict[str, Any]:
        name = f"{person.number}/membership"
        return await self._once(name, "membership", _sold(person.offer), THE_CLUB)

    async def _client(self, person: Person, user_id: int) -> tuple[int, int]:
        membership = await self._membership(person)
        upcoming = person.ends is ClientStatus.UPCOMING
        body = ClientBody(
            **_facts(person),
            user_id=user_id,
            membership_id=membership["id"],
            status=ClientStatus.UPCOMING if upcoming else ClientStatus.ACTIVE,
        )
        client = await self._once(
            f"{person.number}/client", "client", RegisterClient(body), self.staffer
        )
        return client["id"], membership["id"]

    async def _payments(
        self, person: Person, client_id: int, membership_id: int, came: datetime
    ) -> None:
        for n, paid in enumerate(person.payments):
            refunded = paid.status is PaymentStatus.REFUNDED
            pending = paid.status is PaymentStatus.PENDING
            body = PaymentBody(
                client_id=client_id,
                membership_id=membership_id,
                payment_status=PaymentStatus.PAID if refunded else paid.status,
                timestamp=None if pending else time_text(came - timedelta(days=paid.days)),
            )
            name = f"{person.number}/payment/{n}"
            payment = await self._once(name, "payment", RequestPayment(body), self.staffer)
            if refunded:
                step = body.model_copy(
                    update={"payment_status": PaymentStatus.REFUNDED, "timestamp": time_text(came)}
                )
                refund = ChangePayment(payment["id"], step)
                await self._once(f"{name}/refund", None, refund, self.staffer)
            elif paid.twice:
                report = PaymentReport(
                    payment_id=payment["id"], payment_status=PaymentStatus.PAID, reference=name
                )
                news = ReportPayment(report, time_text(came))
                await self._once(f"{name}/twice", "second collection", news, BANK)

    async def _training(self, name: str, trained: Trained, client_id: int, came: datetime) -> int:
        exercise_ids = [self.exercise_ids[place] for place in trained.exercises]
        body = TrainingWithExercises(
            client_id=client_id,
            training_type=trained.training_type,
            title=trained.title,
            intensity=trained.intensity,
            duration_min=trained.duration_min,
            date=(came + timedelta(days=trained.days)).date().isoformat(),
            exercise_ids=exercise_ids,
        )
        training = await self._once(name, "training", PlanTraining(body), self.trainer)
        number = int(training["id"])
        if exercise_ids:
            facts = {"sets": trained.sets, "extra_weight": trained.extra_weight}
            change = ChangeExerciseInTraining(number, exercise_ids[0], facts)
            await self._once(f"{name}/doing", None, change, self.trainer)
        return number

    async def _plan(
        self, person: Person, user_id: int, client_id: int, training_ids: list[int]
    ) -> None:
        if person.plan is None:
            return
        title, status = person.plan
        name = f"{person.number}/plan"
        body = TrainingPlanBody(user_id=user_id, title=title, status=status)
        plan = await self._once(name, "training plan", DrawUpPlan(body), self.trainer)
        for n, training_id in enumerate(training_ids):
            part = AddTrainingToPlan(plan["id"], TrainingInPlanBody(training_id=training_id))
            await self._once(f"{name}/training/{n}", None, part, self.trainer)
        pin = PinPlan(client_id, PinBody(training_plan_id=plan["id"]))
        await self._once(f"{name}/pin", None, pin, self.trainer)

    async def _end(self, person: Person, client_id: int) -> None:
        """On hold, cancelled or inactive; or expired, if the time that was paid for is over."""
        name = f"{person.number}/end"
        if person.ends not in {None, ClientStatus.UPCOMING}:
            change = ChangeClient(client_id, {"status": str(person.ends)})
            await self._once(name, None, change, self.staffer)
            return
        try:
            await self._once(name, None, LapseClient(client_id), THE_CLUB)
        except NotLapsed:
            return


def _sold(offer: Offer) -> AddMembership:
    """A membership at these terms."""
    body = MembershipBody(
        access_level=offer.access_level, description=offer.description, price=offer.price
    )
    return AddMembership(body)


def _facts(person: Person) -> dict[str, Any]:
    """What is known of the person, whoever writes it down."""
    return {
        "first_name": person.first_name,
        "last_name": person.last_name,
        "phone_number": person.phone_number,
        "gender": person.gender,
        "date_of_birth": person.date_of_birth,
        "weight_kg": person.weight_kg,
        "height_sm": person.height_sm,
    }


def _account(person: Person) -> NewUser:
    """The same at each filling: a key of nobody in particular is good for one request only."""
    return NewUser(
        username=person.username,
        email=person.email,
        role=Role.USER,
        password="of nobody: another is hashed",  # noqa: S106 - see `_NoPassword`
    )
