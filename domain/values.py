"""The club's words with a fixed set of values, in full, as `readings` of the document list them."""

from enum import StrEnum


class Role(StrEnum):
    """What a user may do in the club."""

    USER = "USER"
    ADMIN = "ADMIN"
    TRAINER = "TRAINER"
    STAFFER = "STAFFER"
    SYSTEM = "SYSTEM"
    ANALYST = "ANALYST"
    OTHER = "OTHER"


class AccessLevel(StrEnum):
    """What a membership opens."""

    STANDARD = "STANDARD"
    PREMIUM = "PREMIUM"
    VIP = "VIP"
    LIMIT = "LIMIT"
    FAMILY = "FAMILY"
    TRIAL = "TRIAL"
    DAY_PASS = "DAY_PASS"  # noqa: S105 - a day ticket, not a password
    WEEK_PASS = "WEEK_PASS"  # noqa: S105 - a week ticket, not a password
    GUEST = "GUEST"
    CORPORATE = "CORPORATE"
    DISCOUNT = "DISCOUNT"
    OTHER = "OTHER"


class Gender(StrEnum):
    """A client's gender, where told."""

    MALE = "MALE"
    FEMALE = "FEMALE"
    OTHER = "OTHER"


class ClientStatus(StrEnum):
    """Where a client stands with the club."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    ON_HOLD = "ON_HOLD"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    UPCOMING = "UPCOMING"


class TrainingType(StrEnum):
    """The kind of a training."""

    CARDIO = "CARDIO"
    STRENGTH = "STRENGTH"
    FLEXIBILITY = "FLEXIBILITY"
    BALANCE = "BALANCE"
    HIIT = "HIIT"
    YOGA = "YOGA"
    PILATES = "PILATES"
    ENDURANCE = "ENDURANCE"
    CROSSFIT = "CROSSFIT"
    FUNCTIONAL = "FUNCTIONAL"
    REHABILITATION = "REHABILITATION"
    DANCE = "DANCE"
    SWIMMING = "SWIMMING"
    OTHER = "OTHER"


class Intensity(StrEnum):
    """How hard a training is."""

    VERY_LOW = "VERY_LOW"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    VERY_HIGH = "VERY_HIGH"
    EXTREME = "EXTREME"


class MuscleGroup(StrEnum):
    """What an exercise trains."""

    CHEST = "CHEST"
    BACK = "BACK"
    LEGS = "LEGS"
    ARMS = "ARMS"
    CORE = "CORE"
    SHOULDERS = "SHOULDERS"
    BUTTOCKS = "BUTTOCKS"
    CALVES = "CALVES"
    NECK = "NECK"
    HIPS = "HIPS"
    FULL_BODY = "FULL_BODY"
    OTHER = "OTHER"


class Complexity(StrEnum):
    """How much an exercise asks of the one who does it."""

    BEGINNER = "BEGINNER"
    NOVICE = "NOVICE"
    INTERMEDIATE = "INTERMEDIATE"
    ADVANCED = "ADVANCED"
    EXPERT = "EXPERT"
    MASTER = "MASTER"


class PlanStatus(StrEnum):
    """How far a training plan has come."""

    ACTIVE = "ACTIVE"
    PREPARED = "PREPARED"
    COMPLETED = "COMPLETED"
    DELAYED = "DELAYED"


class PaymentStatus(StrEnum):
    """How far a payment has come."""

    PENDING = "PENDING"
    PAID = "PAID"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    REFUNDED = "REFUNDED"
