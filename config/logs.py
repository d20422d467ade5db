"""Log lines that may leave the building: no claim tokens, no query strings, no values inside foreign error texts.

Our own exceptions hold no patient data and are shown whole. Others repeat what they choked on ("Key (name)=(…)"), so
of those only the class and the place are kept, unless DEBUG is on.
"""

import json
import logging
import re
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from django.conf import settings
from django.db import OperationalError

OUR_PACKAGES = frozenset({"audit", "config", "integrations", "scheduling", "waitlist"})
BROKER_PACKAGES = frozenset({"celery", "kombu", "redis"})  # what they carry is names of tasks and ids
CLAIM_TOKEN = re.compile(r"(/[coru]/)[^/\s\"'<>]+")
QUERY_STRING = re.compile(r"\?[^\s\"'<>?]*=[^\s\"'<>]*")

ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def masked(text: str) -> str:
    """The text without claim tokens, query strings and line breaks that could pass for another entry."""
    text = QUERY_STRING.sub("?…", CLAIM_TOKEN.sub(r"\1…", text))
    return text.replace("\r", "\\r").replace("\n", "\\n")


def described(error: BaseException) -> str:
    """The class of an error, with its text where that is known to hold no patient data."""
    kind = type(error)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if kind.__module__.partition(".")[0] in OUR_PACKAGES | BROKER_PACKAGES or settings.DEBUG:
        return f"{name}: {masked(str(error))}"
    if isinstance(error, OperationalError):  # "server closed the connection", never a row's values
        return f"{name}: {masked(str(error).partition('DETAIL:')[0].strip())}"
    return f"{name} (text withheld)"


def described_with_causes(error: BaseException) -> str:
    """Frames and classes of an error and of what caused it, the first cause on top as Python prints it."""
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        frames = "".join(traceback.format_tb(current.__traceback__))
        parts.append(f"{frames}{described(current)}")
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\n\nwhich led to:\n\n".join(reversed(parts))


class WithholdErrorText(logging.Filter):
    """Celery writes the text of a task's error into the message itself; only its class stays there."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, dict) and "exc" in record.args:
            error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
            record.args = {**record.args, "exc": described(error) if error else "(text withheld)"}
        return True


class MaskedText(logging.Filter):
    """For loggers with handlers of their own, which know of no formatter of ours: the record itself is masked."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = masked(record.getMessage()), ()
        if record.exc_info and record.exc_info[1]:
            record.exc_text = described_with_causes(record.exc_info[1])
        return True


def mask_the_web_servers_logs() -> None:
    """Have gunicorn, which writes past our handler, name no token either: in its access log, and in its errors."""
    for name in ("gunicorn.access", "gunicorn.error"):
        server = logging.getLogger(name)
        if not any(isinstance(each, MaskedText) for each in server.filters):
            server.addFilter(MaskedText())


class ConsoleFormatter(logging.Formatter):
    """One readable line per entry, an error's frames below it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record.message = masked(record.message)
        line = super().formatMessage(record)
        identifier = getattr(record, "correlation_id", "-")
        return line if identifier == "-" else f"{line} [{identifier[:8]}]"

    def formatException(self, ei: ExceptionInfo) -> str:  # noqa: N802
        return described_with_causes(ei[1]) if ei[1] else ""


class JsonFormatter(logging.Formatter):
    """One JSON object per line, for a log collector."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": masked(record.getMessage()),
            "correlation_id": getattr(record, "correlation_id", "-"),
            "actor": getattr(record, "actor", ""),
            "process": record.process,
            "thread": record.threadName,
        }
        if record.exc_info and record.exc_info[1]:
            entry["error"] = described_with_causes(record.exc_info[1])
        return json.dumps(entry, ensure_ascii=False)
