"""Structured logs: one JSON object a line, on standard error."""

from __future__ import annotations

import logging
import sys

import orjson
import structlog


def set_up_logs(level: str) -> None:
    """Log from this level up; what libraries log goes the same way."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        cache_logger_on_first_use=True,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
    )
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[_ToStructlog()], force=True)


class _ToStructlog(logging.Handler):
    """Hands on what libraries log."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger(record.name).log(
            record.levelno, record.getMessage(), exc_info=record.exc_info
        )
