"""What a log line may hold: no claim token, no query string, no value out of a foreign error's text."""

import json
import logging
import sys
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.db import IntegrityError, OperationalError
from gunicorn.config import Config
from gunicorn.glogging import Logger

from audit.context import correlated
from audit.logging import ContextFilter
from config.environment import SettingsProblem
from config.logs import ConsoleFormatter, JsonFormatter, WithholdErrorText, described, masked

TOKEN = "n3vErInAlOgLiNe_-x"
SERVER_LOGS = ("gunicorn.access", "gunicorn.error")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"Not Found: /o/{TOKEN}/", "Not Found: /o/…/"),
        (f"Not Found: /o/{TOKEN}/calendar.ics", "Not Found: /o/…/calendar.ics"),
        (f'GET "https://waitlist.example.org/o/{TOKEN}"', 'GET "https://waitlist.example.org/o/…"'),
        *((f"GET /{page}/{TOKEN}/", f"GET /{page}/…/") for page in "cru"),
        ("GET /Patient?family=Doe&birthdate=1980-01-01 200", "GET /Patient?… 200"),
        ("Is Dr Chen out?", "Is Dr Chen out?"),
        ("one\nERROR forged\r", "one\\nERROR forged\\r"),
    ],
)
def test_tokens_queries_and_line_breaks_are_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.fixture
def gunicorn(tmp_path: Path) -> Iterator[Logger]:
    """Gunicorn's own logs, into files and with an access log, as they are when a worker has loaded the site."""
    before = {name: logging.getLogger(name).handlers[:] for name in SERVER_LOGS}
    server = Logger(Config())
    server.cfg.set("accesslog", str(tmp_path / "access"))
    server.cfg.set("errorlog", str(tmp_path / "error"))
    server.setup(server.cfg)
    sys.modules.pop("config.wsgi", None)
    import_module("config.wsgi")
    yield server
    for name, handlers in before.items():
        logging.getLogger(name).handlers[:] = handlers
        logging.getLogger(name).filters.clear()


def test_the_web_server_names_no_token_in_its_access_log_nor_when_a_request_fails(
    gunicorn: Logger, tmp_path: Path
) -> None:
    path = f"/o/{TOKEN}/"
    call = {
        "REQUEST_METHOD": "GET",
        "RAW_URI": f"{path}?lang=es",
        "PATH_INFO": path,
        "QUERY_STRING": "lang=es",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_REFERER": f"https://waitlist.example.org{path}",
    }
    gunicorn.access(
        SimpleNamespace(status="200 OK", headers=[], sent=12), SimpleNamespace(headers=[]), call, timedelta()
    )
    who = "Jane Doe"
    try:
        raise ValueError(who)
    except ValueError:
        gunicorn.exception("Error handling request %s %s", "GET", f"{path}?lang=es")
    written = {name: (tmp_path / name).read_text() for name in ("access", "error")}
    assert '"GET /o/…/?… HTTP/1.1" 200 12 "https://waitlist.example.org/o/…/"' in written["access"]
    assert "Error handling request GET /o/…/?…" in written["error"]
    assert "ValueError (text withheld)" in written["error"]
    assert TOKEN not in str(written)
    assert "Jane" not in str(written)


def test_the_text_of_a_foreign_error_is_withheld_and_ours_is_shown() -> None:
    assert described(ValueError("Jane Doe")) == "builtins.ValueError (text withheld)"
    assert described(IntegrityError("Key (name)=(Jane)")) == "django.db.utils.IntegrityError (text withheld)"
    assert described(SettingsProblem("POLL_MINUTES …")) == "config.environment.SettingsProblem: POLL_MINUTES …"
    assert described(OperationalError("server closed\nDETAIL: Jane")) == (
        "django.db.utils.OperationalError: server closed"
    )


def failing_record(message: str, *arguments: object) -> logging.LogRecord:
    try:
        try:
            raise ValueError("Jane Doe")
        except ValueError as cause:
            raise SettingsProblem("a text of ours") from cause
    except SettingsProblem:
        return logging.LogRecord("tests", logging.ERROR, __file__, 1, message, arguments, sys.exc_info())


@pytest.mark.parametrize("formatter", [ConsoleFormatter(), JsonFormatter()])
def test_a_traceback_names_every_error_and_withholds_foreign_text(formatter: logging.Formatter) -> None:
    printed = formatter.format(failing_record("failed at /o/%s/", TOKEN))
    assert "builtins.ValueError (text withheld)" in printed
    assert "config.environment.SettingsProblem: a text of ours" in printed
    assert "failing_record" in printed
    assert "failed at /o/…/" in printed
    assert TOKEN not in printed


def test_celerys_message_names_the_class_of_the_error_only() -> None:
    record = failing_record("Task %(name)s raised unexpected: %(exc)s")
    record.args = {"name": "drain", "exc": "ValueError('Jane Doe')"}
    assert WithholdErrorText().filter(record)
    assert record.getMessage() == ("Task drain raised unexpected: config.environment.SettingsProblem: a text of ours")


def test_a_json_line_carries_the_correlation_id() -> None:
    record = logging.LogRecord("tests", logging.INFO, __file__, 1, "hello %s", ("there",), None)
    with correlated("0" * 32):
        ContextFilter().filter(record)
    entry = json.loads(JsonFormatter().format(record))
    assert (entry["message"], entry["correlation_id"], entry["level"]) == ("hello there", "0" * 32, "INFO")
