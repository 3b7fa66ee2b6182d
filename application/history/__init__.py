"""What happened: to one thing, in all of the club, and what led to what.

It is told from the ledger alone. What of an event may be told is declared where its class is
(`domain/privacy.py`): no hash, code or address from where somebody asked is ever told.
"""

from application.history.kinds import KINDS, Resource
from application.history.pages import LAST, PageOf, Pages
from application.history.past import Holding, LiesAhead, Past
from application.history.states import CHUNK, EventOfNewerRelease

__all__ = [
    "CHUNK",
    "KINDS",
    "LAST",
    "EventOfNewerRelease",
    "Holding",
    "LiesAhead",
    "PageOf",
    "Pages",
    "Past",
    "Resource",
]
