"""Marked patient data through the whole loop, with an error at every hop: nobody who reads the traces learns a name.

Traces are log lines with their tracebacks, messages of the broker, what the EHR is asked for in addresses, and every
column of the database as it lies on the disk.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
from celery.signals import before_task_publish
from django.apps import apps
from django.db import connection
from django.test import Client
from django.utils import timezone
from django.utils.module_loading import import_string

from config.logs import ConsoleFormatter, JsonFormatter
from integrations import health, tasks
from integrations.models import Connection
from tests.faults.people import asked_of_staff, offer_of, tap, text, told
from tests.flows import answering
from tests.flows.clinic import Clinic
from waitlist.models import Claim

pytestmark = pytest.mark.django_db(transaction=True)

#: Family and given name, birth date, record number, phone and e-mail address of everybody in the small clinic. The
#: shorter ones count as words only: what is encrypted may hold any four letters.
MARKS = re.compile(r"\b(?:Sample\d|Robin|M000\d)\b|1980-01-01|date\(1980, 1, 1\)|\+121255501\d\d|@example\.org")
WORDS = "Robin Sample0, born 1980-01-01, M0000, +12125550100, waiting-1@example.org"


def marks_in(traces: list[str]) -> list[str]:
    """What tells something in any trace, with what is around it."""
    found = [(trace, mark.start()) for trace in traces for mark in MARKS.finditer(trace)]
    return [f"…{trace[max(place - 120, 0) : place + 60]}…" for trace, place in found]


class Lines(logging.Handler):
    """Every log line of every logger, in both of the product's forms."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.written: list[str] = []
        self._forms = (ConsoleFormatter(), JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.written += [form.format(record) for form in self._forms]


@pytest.fixture
def lines() -> Iterator[list[str]]:
    root, handler = logging.getLogger(), Lines()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler.written
    root.setLevel(level)
    root.removeHandler(handler)


@pytest.fixture
def published() -> Iterator[list[str]]:
    """Every message given to the broker, with its headers."""
    messages: list[str] = []

    def note(body: Any = None, headers: Any = None, **_: Any) -> None:
        messages.append(f"{body} {headers}")

    before_task_publish.connect(note, weak=False)
    yield messages
    before_task_publish.disconnect(note)


@contextmanager
def stumbling(target: str) -> Iterator[None]:
    """Have ``target`` fail once as foreign code does: with the patient's data in the error's text."""
    real = import_string(target)
    failed: list[bool] = []

    def once(*arguments: Any, **named: Any) -> Any:
        if not failed:
            failed.append(True)
            raise ValueError(WORDS)
        return real(*arguments, **named)

    with mock.patch(target, once):
        yield
    assert failed, f"{target} was never called"


def stored() -> list[str]:
    """Every row of every table as it lies in the database, past all decryption."""
    found = []
    with connection.cursor() as cursor:
        for table in sorted({model._meta.db_table for model in apps.get_models(include_auto_created=True)}):
            cursor.execute(f'SELECT * FROM "{table}"')
            for row in cursor.fetchall():
                plain = [bytes(each) if isinstance(each, memoryview) else each for each in row]
                found.append(f"{table}: {plain}")
    return found


def test_the_loop_with_an_error_at_every_hop(
    clinic: Clinic, pump: Callable[[], None], clock: Any, lines: list[str], published: list[str]
) -> None:
    def later(seconds: int = 60) -> None:
        for _ in range(2):
            assert marks_in(stored()) == []
            clock.shift(seconds)
            pump()

    clinic.cancel(1)
    Connection.objects.update(poll_due_at=timezone.now())
    with stumbling("integrations.ehr.mirroring.apply"):
        tasks.poll_connections()
        pump()
    with stumbling("waitlist.offers.send_wave"), stumbling("waitlist.messages.may_send"):
        later()
    later()
    assert told(clinic, 1) == told(clinic, 2) == ["offer"]

    text(clinic, 2, f"This is {WORDS}. Is it far?")
    with stumbling("waitlist.replies.understand"):
        later()
    path, body, headers = answering.tap(offer_of(clinic, 1))
    with stumbling("waitlist.claims.claim"):
        answer = Client(raise_request_exception=False).post(path, body, content_type=headers["Content-Type"])
    assert len(marks_in([WORDS])) == 6
    assert answer.status_code == 500
    assert marks_in([answer.content.decode()]) == []
    tap(offer_of(clinic, 1))
    clinic.fault("500", method="POST", path="Appointment", processed=True)
    with stumbling("integrations.booking.booking_for"), stumbling("scheduling.openings.fill"):
        for _ in range(4):
            later()
    health.watch()
    assert Claim.objects.get().state == "confirmed"
    assert told(clinic, 1) == ["offer", "received", "confirmed"]
    assert "reply.unclear" in asked_of_staff()

    errors = [line for line in lines if "(text withheld)" in line]
    assert len(errors) >= 2 * 7, "each of the seven errors is in the log, in both forms"
    assert marks_in(lines) == []
    assert published
    assert marks_in(published) == []
    asked = [f"{each['path']} {each['parameters']}" for each in clinic.control.get("log", limit=2000)["requests"]]
    assert marks_in(asked) == []
    assert marks_in(stored()) == []
