"""What the bot answers. It only speaks in private chats, where nobody else reads a code."""

from __future__ import annotations

import uuid

import structlog
from aiogram import Dispatcher, F, Router
from aiogram.enums import ChatType
from aiogram.exceptions import AiogramError
from aiogram.filters import Command, CommandObject, CommandStart
from aiogram.types import ErrorEvent, Message

from application.access import Origin
from application.ports.ledger import LedgerUnavailable, Overloaded
from application.ports.signing_in import StoreUnavailable
from application.sign_in import CODE_SECONDS, LinkEnded, LinkUnreadable, SignIn, Visit
from domain.refusals import Busy, Refusal
from domain.users import ForeignTelegram

logger = structlog.get_logger("telegram")

WELCOME = (
    "Hello! I am the bot of your fitness club, and I send the codes for signing in.\n\n"
    "Sign in where you always do, with your username and your password. "
    "You are given a link there that opens this chat: follow it, and I send you a code."
)
CODE = (
    "The code for signing in as {username} is\n\n{code}\n\n"
    "It is good for {minutes} minutes, and once. Nobody from the club will ever ask you for it: "
    "if you did not just try to sign in, change your password."
)
ENDED = "This link has ended, or was used before. Please sign in again, and follow the new link."
UNREADABLE = "This is not one of our links. Please sign in again, and follow the link as it is."
FOREIGN = (
    "This is not the Telegram account that belongs to that user, so here is no code. "
    "If you have a new account, sign in with the old one and unbind it, or ask the club to."
)
IN_PRIVATE = (
    "I only give codes in a private chat. That link is not good any more: "
    "please sign in again, and follow the new one."
)
LATER = "I cannot do this just now. Please follow the link again in a minute."
NOT_UNDERSTOOD = "I only send codes for signing in, and read nothing else. /start says how."

UNABLE = (StoreUnavailable, LedgerUnavailable, Overloaded, Busy)


def dispatcher(sign_in: SignIn) -> Dispatcher:
    """Everything that the bot answers, the first that fits."""
    answers = Router()
    private = F.chat.type == ChatType.PRIVATE
    # Two bots that answer each other would never end.
    person = private & F.from_user & ~F.from_user.is_bot
    answers.message.register(_open_link, person, CommandStart(deep_link=True))
    answers.message.register(_welcome, person, CommandStart())
    answers.message.register(_welcome, person, Command("help"))
    answers.message.register(_not_understood, person)
    # Somebody's live location is a message that is edited every few seconds.
    answers.edited_message.register(_not_understood, person, ~F.location)
    answers.message.register(_spoil_link, ~private, CommandStart(deep_link=True))
    answers.error.register(_failed)
    # Nothing is to be remembered of anybody, and aiogram would, without an end.
    top = Dispatcher(disable_fsm=True, sign_in=sign_in)
    top.include_router(answers)
    return top


async def _open_link(message: Message, command: CommandObject, sign_in: SignIn) -> None:
    """Answer the link of a login with a code, or with the reason why there is none."""
    if message.from_user is None:
        return
    visit = Visit(f"telegram-{uuid.uuid4().hex}", Origin("telegram"))
    try:
        username, code = await sign_in.open_link(command.args or "", message.from_user.id, visit)
    except UNABLE:
        await message.answer(LATER)
    except Refusal as refusal:
        await message.answer(REFUSED.get(type(refusal), NOT_UNDERSTOOD))
    else:
        said = CODE.format(username=username, code=code, minutes=CODE_SECONDS // 60)
        await message.answer(said, protect_content=True)


REFUSED: dict[type[Refusal], str] = {
    LinkEnded: ENDED,
    LinkUnreadable: UNREADABLE,
    ForeignTelegram: FOREIGN,
}


async def _welcome(message: Message) -> None:
    await message.answer(WELCOME)


async def _not_understood(message: Message) -> None:
    await message.answer(NOT_UNDERSTOOD)


async def _spoil_link(message: Message, command: CommandObject, sign_in: SignIn) -> None:
    """A link that a whole group has read is good for nothing."""
    await sign_in.spoil_link(command.args or "")
    await message.answer(IN_PRIVATE)


async def _failed(event: ErrorEvent) -> bool:
    """What cannot be done just now is logged; anything else is a fault of ours."""
    if isinstance(event.exception, AiogramError):
        logger.warning("telegram.not-sent", reason=str(event.exception))
    elif isinstance(event.exception, UNABLE):
        logger.warning("telegram.postponed", reason=type(event.exception).__name__)
    else:
        logger.error("telegram.fault", exc_info=event.exception)
    return True
