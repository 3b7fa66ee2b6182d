"""Believable people, and what they do in the club, made up from a seed.

Person `n` of a seed is the same whatever else is made up, and all of their days are counted from
the day they came. Nobody here can be reached: addresses are of `example.com`, and telephone
numbers of the ranges that are kept free for films and books.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

from application.exercises import ExerciseBody
from domain.values import (
    AccessLevel,
    ClientStatus,
    Complexity,
    Gender,
    Intensity,
    MuscleGroup,
    PaymentStatus,
    PlanStatus,
    Role,
    TrainingType,
)

NAMES: Sequence[tuple[Sequence[str], Sequence[str], Sequence[str]]] = (
    (
        ("Emma", "Charlotte", "Grace", "Imogen", "Ruby", "Harriet", "Niamh", "Megan"),
        ("Oliver", "Jack", "Henry", "Callum", "Rhys", "Declan", "George", "Theo"),
        ("Hughes", "Whitaker", "O'Connor", "Fletcher", "Campbell", "Price", "Byrne", "Walker"),
    ),
    (
        ("Adaeze", "Funmilayo", "Amara", "Wanjiru", "Zanele", "Abena", "Halima", "Ngozi"),
        ("Chinedu", "Kwame", "Babajide", "Kamau", "Thabo", "Kofi", "Yusuf", "Emeka"),
        ("Okafor", "Adeyemi", "Mensah", "Kariuki", "Dlamini", "Boateng", "Eze", "Balogun"),
    ),
    (
        ("Priya", "Ananya", "Kavya", "Ayesha", "Meera", "Nadia", "Sana", "Lakshmi"),
        ("Arjun", "Rohan", "Vikram", "Imran", "Sanjay", "Karthik", "Bilal", "Aditya"),
        ("Sharma", "Iyer", "Patel", "Khan", "Nair", "Chaudhry", "Banerjee", "Reddy"),
    ),
    (
        ("Lucía", "Valentina", "Camila", "Inés", "Beatriz", "Joana", "Ximena", "Sofía"),
        ("Mateo", "Diego", "Joaquín", "Tomás", "Rafael", "João", "Andrés", "Emiliano"),
        ("García", "Fernández", "Muñoz", "Pereira", "Castillo", "Gonçalves", "Rojas", "Ibáñez"),
    ),
    (
        ("Mei", "Xiaolan", "Yuki", "Haruka", "Ji-woo", "Seo-yeon", "Thuy", "Linh"),
        ("Wei", "Jianhao", "Kenji", "Takumi", "Min-jun", "Hyun-woo", "Minh", "Quang"),
        ("Chen", "Zhang", "Tanaka", "Sato", "Park", "Kim", "Nguyen", "Tran"),
    ),
    (
        ("Zofia", "Agnieszka", "Jana", "Oksana", "Milena", "Ilze", "Ramunė", "Petra"),
        ("Łukasz", "Piotr", "Tomáš", "Andriy", "Goran", "Jānis", "Mindaugas", "Zoltán"),
        ("Nowak", "Wiśniewski", "Novotný", "Kovalenko", "Petrović", "Bērziņš", "Szabó", "Horvat"),
    ),
    (
        ("Ingrid", "Astrid", "Freja", "Lotte", "Élodie", "Amélie", "Jule", "Chiara"),
        ("Bjørn", "Søren", "Lars", "Maël", "Étienne", "Jürgen", "Matteo", "Finn"),
        ("Lindqvist", "Sørensen", "Müller", "Lefèvre", "De Vries", "Rossi", "Weiß", "Dubois"),
    ),
    (
        ("Leyla", "Zeynep", "Yasmin", "Shirin", "Noor", "Maryam", "Elif", "Rania"),
        ("Emre", "Kerem", "Omar", "Dariush", "Tariq", "Karim", "Amir", "Selim"),
        ("Yılmaz", "Demir", "Haddad", "Rahimi", "Nasser", "Farouk", "Karimi", "Aydın"),
    ),
)
"""First names of women and of men, and last names, of the same part of the world."""

_NOT_DECOMPOSED = str.maketrans({"ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "ß": "ss", "ı": "i"})

FREE_NUMBERS = ("+44 20 7946 0{:03}", "+44 7700 900{:03}", "+44 161 496 0{:03}")
"""Telephone numbers that Ofcom keeps for drama: nobody answers them."""


@dataclass(frozen=True)
class Offer:
    """What is sold, for how much, and how often of a hundred times."""

    access_level: AccessLevel
    price: str
    description: str
    weight: int


OFFERS = (
    Offer(AccessLevel.STANDARD, "39.90", "Gym and changing rooms, all day", 34),
    Offer(AccessLevel.PREMIUM, "59.90", "Gym, classes and sauna, all day", 20),
    Offer(AccessLevel.LIMIT, "27.50", "Gym on working days until four", 10),
    Offer(AccessLevel.DISCOUNT, "24.90", "For students and apprentices", 9),
    Offer(AccessLevel.CORPORATE, "34.90", "Paid by the employer", 9),
    Offer(AccessLevel.FAMILY, "89.00", "Two adults and their children", 7),
    Offer(AccessLevel.VIP, "129.00", "Everything, with a trainer of one's own", 4),
    Offer(AccessLevel.TRIAL, "9.90", "Thirty days to find out", 7),
)

EXERCISES = (
    (
        "Goblet squat to a box",
        MuscleGroup.LEGS,
        True,
        Complexity.BEGINNER,
        "Hold one weight at the chest.",
    ),
    ("Walking lunge", MuscleGroup.LEGS, False, Complexity.NOVICE, "Long steps, upright back."),
    ("Light Romanian deadlift", MuscleGroup.LEGS, True, Complexity.INTERMEDIATE, "From the hips."),
    ("Wall sit", MuscleGroup.LEGS, False, Complexity.BEGINNER, "Thighs level, count slowly."),
    ("Hip thrust on the bench", MuscleGroup.BUTTOCKS, True, Complexity.NOVICE, "Chin tucked in."),
    ("Calf raise on a step", MuscleGroup.CALVES, False, Complexity.BEGINNER, "Heels low, then up."),
    ("Push-up on the knees", MuscleGroup.CHEST, False, Complexity.BEGINNER, "One straight line."),
    ("Paused bench press", MuscleGroup.CHEST, True, Complexity.ADVANCED, "Rest on the chest."),
    ("Ring row", MuscleGroup.BACK, True, Complexity.NOVICE, "Chest to the rings, body stiff."),
    ("Strict pull-up", MuscleGroup.BACK, True, Complexity.ADVANCED, "From a dead hang."),
    ("Half-kneeling press", MuscleGroup.SHOULDERS, True, Complexity.NOVICE, "Ribs down."),
    ("Band pull-apart", MuscleGroup.SHOULDERS, True, Complexity.BEGINNER, "Arms straight."),
    ("Hammer curl", MuscleGroup.ARMS, True, Complexity.BEGINNER, "Thumbs up, elbows still."),
    ("Dip between two boxes", MuscleGroup.ARMS, True, Complexity.INTERMEDIATE, "Slowly down."),
    ("Slow dead bug", MuscleGroup.CORE, False, Complexity.BEGINNER, "Back flat on the floor."),
    ("Side plank", MuscleGroup.CORE, False, Complexity.NOVICE, "Hips high, breathe."),
    (
        "Farmer's carry of two bells",
        MuscleGroup.FULL_BODY,
        True,
        Complexity.NOVICE,
        "Walk tall and heavy.",
    ),
    ("Turkish get-up", MuscleGroup.FULL_BODY, True, Complexity.EXPERT, "Eyes on the weight."),
    ("Burpee without a jump", MuscleGroup.FULL_BODY, False, Complexity.NOVICE, "Step, not leap."),
    ("Ninety-ninety switch", MuscleGroup.HIPS, False, Complexity.BEGINNER, "Sit tall, turn."),
    ("Chin tuck", MuscleGroup.NECK, False, Complexity.BEGINNER, "Long neck, small movement."),
    ("Easy minutes on the rower", MuscleGroup.FULL_BODY, True, Complexity.BEGINNER, "Talk along."),
)
"""Some things to do in a training, by their place in this list."""

_LEGS, _UPPER, _CORE, _HARD = (0, 1, 2, 3, 4, 5), (6, 7, 8, 9, 10, 11, 12, 13), (14, 15), (16, 17)
_EASY = (18, 19, 20, 21)

KINDS = (
    (TrainingType.STRENGTH, ("Legs and hips", "Heavy Monday", "Full body A"), _LEGS + _CORE),
    (TrainingType.STRENGTH, ("Push and pull", "Upper body", "Full body B"), _UPPER + _CORE),
    (TrainingType.CARDIO, ("Rowing intervals", "Easy endurance"), (18, 21)),
    (TrainingType.HIIT, ("Twenty minutes hard", "Circuit of six"), (1, 3, 6, 16, 18)),
    (TrainingType.FUNCTIONAL, ("Carry and climb", "Everyday strength"), _HARD + _LEGS),
    (TrainingType.FLEXIBILITY, ("Long evening stretch", "Loose hips"), (19, 20)),
    (TrainingType.REHABILITATION, ("Back to running", "Shoulder, week two"), (11, 14, 15, 20)),
    (TrainingType.YOGA, ("Morning flow", "Slow and deep"), ()),
    (TrainingType.PILATES, ("Mat class", "Reformer basics"), ()),
    (TrainingType.SWIMMING, ("Technique lanes", "Forty lengths"), ()),
    (TrainingType.DANCE, ("Salsa for beginners",), ()),
)
"""What trainings are called, and which exercises they may hold."""

REASONS = ("The pool was closed.", "Brought a friend.", "Was ill, with a doctor's note.")
"""Why days are granted."""

WALKS_IN = 8
"""Every so many-th person comes to the front desk."""

PLANS = ("Stronger by summer", "First ten kilometres", "Back without pain", "Three days a week")


@dataclass(frozen=True)
class Staff:
    """Somebody who works at the club."""

    username: str
    email: str
    role: Role


@dataclass(frozen=True)
class Paid:
    """A payment: `days` before the client came, or earlier, and how far it has come."""

    status: PaymentStatus
    days: int
    twice: bool = False
    """Whether the money came a second time."""


@dataclass(frozen=True)
class Trained:
    """A training, so many days before or after the client came."""

    training_type: TrainingType
    title: str
    intensity: Intensity
    duration_min: int
    days: int
    exercises: tuple[int, ...]
    sets: int
    extra_weight: str | None


@dataclass(frozen=True)
class Person:
    """A client to be, with all that there is to know."""

    number: int
    username: str
    email: str
    first_name: str
    last_name: str
    gender: Gender | None
    phone_number: str
    date_of_birth: str
    weight_kg: str | None
    height_sm: str | None
    offer: Offer
    payments: tuple[Paid, ...]
    ends: ClientStatus | None
    """Where the person stands in the end, where payments do not say it."""
    trainings: tuple[Trained, ...]
    plan: tuple[str, PlanStatus] | None
    granted: tuple[int, str] | None
    """Days that nobody paid for, and why."""

    @property
    def walks_in(self) -> bool:
        """Whether the front desk takes this person in, with a first payment and no history."""
        return self.number % WALKS_IN == 0


def staff(seed: int) -> list[Staff]:
    """A trainer, a staffer and an analyst."""
    roles = (Role.TRAINER, Role.STAFFER, Role.ANALYST)
    names = [f"demo{seed}.{role.lower()}" for role in roles]
    return [
        Staff(name, f"{name}@example.com", role) for name, role in zip(names, roles, strict=True)
    ]


def exercises() -> list[ExerciseBody]:
    """The exercises of all trainings here, in the order of their places."""
    return [
        ExerciseBody(
            title=title,
            description=description,
            muscle_group=group,
            equipment_required=equipment,
            complexity_lvl=level,
        )
        for title, group, equipment, level, description in EXERCISES
    ]


def people(seed: int) -> Iterator[Person]:
    """As many people as anybody asks for."""
    used: set[str] = set()
    for number in count(1):
        chance = random.Random(f"{seed}/{number}")  # noqa: S311 - to be repeated, not secret
        gender, first, last = _name(chance)
        username = _unused(f"demo{seed}.{_ascii(first)}.{_ascii(last)}", used)
        payments, ends = _history(chance)
        weight, height = _build(chance, gender)
        offer = chance.choices(OFFERS, [offer.weight for offer in OFFERS])[0]
        if offer.access_level is AccessLevel.TRIAL:
            payments = payments[-1:]  # nobody tries twice
        trains = ends is not ClientStatus.UPCOMING
        yield Person(
            number=number,
            username=username,
            email=f"{username}@example.com",
            first_name=first,
            last_name=last,
            gender=gender if _of_a_hundred(95, chance) else None,
            phone_number=chance.choice(FREE_NUMBERS).format(chance.randrange(1000)),
            date_of_birth=_birth(chance),
            weight_kg=weight,
            height_sm=height,
            offer=offer,
            payments=payments,
            ends=ends,
            trainings=_trainings(chance) if trains else (),
            plan=_plan(chance) if trains else None,
            granted=_granted(chance),
        )


def _of_a_hundred(times: int, chance: random.Random) -> bool:
    return chance.randrange(100) < times


def _name(chance: random.Random) -> tuple[Gender, str, str]:
    women, men, families = chance.choice(NAMES)
    if _of_a_hundred(30, chance):
        families = chance.choice(NAMES)[2]  # people move, and marry
    gender = chance.choices((Gender.FEMALE, Gender.MALE, Gender.OTHER), (49, 49, 2))[0]
    firsts = {Gender.FEMALE: women, Gender.MALE: men, Gender.OTHER: (*women, *men)}[gender]
    return gender, chance.choice(firsts), chance.choice(families)


def _ascii(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name.translate(_NOT_DECOMPOSED))
    return re.sub(r"[^a-z]", "", decomposed.encode("ascii", "ignore").decode().lower())


def _unused(name: str, used: set[str]) -> str:
    """The name, or the first of `name2`, `name3`… that nobody has."""
    names = (name if n == 1 else f"{name}{n}" for n in count(1))
    found = next(candidate for candidate in names if candidate not in used)
    used.add(found)
    return found


def _birth(chance: random.Random) -> str:
    year = round(chance.triangular(1946, 2010, 1994))
    return f"{year}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"


def _build(chance: random.Random, gender: Gender) -> tuple[str | None, str | None]:
    """Kilograms and centimetres, that belong together; not everybody tells."""
    mean, spread = (178.0, 7.0) if gender is Gender.MALE else (165.5, 6.5)
    height = min(max(chance.gauss(mean, spread), 145.0), 210.0)
    index = min(max(chance.gauss(24.6, 3.4), 17.5), 40.0)
    weight = index * (height / 100) ** 2
    return (
        f"{weight:.1f}0" if _of_a_hundred(90, chance) else None,
        f"{round(height)}.00" if _of_a_hundred(95, chance) else None,
    )


def _history(chance: random.Random) -> tuple[tuple[Paid, ...], ClientStatus | None]:
    """What was paid, the oldest first, and where the person stands for other reasons."""
    paid, day = PaymentStatus.PAID, chance.randint(1, 27)
    regular = tuple(Paid(paid, day + 30 * month) for month in reversed(range(chance.randint(1, 6))))
    failed = (Paid(PaymentStatus.FAILED, day + 1), Paid(paid, day))
    stopped = tuple(Paid(paid, day + 30 * month) for month in (4, 3, 2))
    cases: tuple[tuple[int, tuple[Paid, ...], ClientStatus | None], ...] = (
        (50, regular, None),
        (8, (*regular, Paid(PaymentStatus.PENDING, 0)), None),
        (3, failed, None),
        (3, (*regular[:-1], replace(regular[-1], twice=True)), None),
        (10, stopped, None),
        (4, (*stopped, Paid(PaymentStatus.EXPIRED, 30)), None),
        (4, (Paid(PaymentStatus.REFUNDED, day),), None),
        (5, regular, ClientStatus.ON_HOLD),
        (4, stopped, ClientStatus.CANCELLED),
        (3, (Paid(PaymentStatus.CANCELLED, day),), ClientStatus.INACTIVE),
        (6, (Paid(PaymentStatus.PENDING, 0),), ClientStatus.UPCOMING),
    )
    _, payments, ends = chance.choices(cases, [case[0] for case in cases])[0]
    return payments, ends


def _trainings(chance: random.Random) -> tuple[Trained, ...]:
    return tuple(_training(chance) for _ in range(chance.choice((0, 1, 2, 2, 3, 3, 4, 6))))


def _training(chance: random.Random) -> Trained:
    training_type, titles, places = chance.choice(KINDS)
    held = chance.sample(places, min(len(places), chance.randint(2, 5)))
    weighted = bool(held) and EXERCISES[held[0]][2]
    return Trained(
        training_type=training_type,
        title=chance.choice(titles),
        intensity=chance.choice(list(Intensity)[1:5]),
        duration_min=chance.choice((20, 30, 45, 45, 60, 60, 75, 90)),
        days=chance.randint(-60, 14),
        exercises=tuple(held),
        sets=chance.choice((2, 3, 4, 5)),
        extra_weight=f"{chance.randrange(4, 81) * 1.25:.2f}" if weighted else None,
    )


def _granted(chance: random.Random) -> tuple[int, str] | None:
    if _of_a_hundred(92, chance):
        return None
    return chance.choice((3, 7, 14)), chance.choice(REASONS)


def _plan(chance: random.Random) -> tuple[str, PlanStatus] | None:
    if _of_a_hundred(40, chance):
        return None
    return chance.choice(PLANS), chance.choices(list(PlanStatus), (6, 2, 2, 1))[0]
