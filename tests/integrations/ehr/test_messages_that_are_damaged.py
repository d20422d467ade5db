"""HL7 v2 messages cut off, doubled, garbled, in other letters: refused, or stored and shown; never an error of ours."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from integrations.ehr import inbox
from integrations.ehr.fhir.elements import Unreadable
from integrations.ehr.hl7v2 import messages
from integrations.ehr.hl7v2.messages import Reading
from integrations.models import Connection, InboundEvent, RefusedCall
from scheduling.models import Appointment, Patient, WorkItem
from tests import factories
from tests.integrations.ehr import signing
from tests.integrations.ehr.hl7v2_messages import adt, changed, siu
from tests.integrations.ehr.payload_ehr import needs_payloads

pytestmark = needs_payloads


ENDED = {"done", "ignored", "quarantined"}


@pytest.fixture
def elm(db: None) -> Connection:
    return factories.connection("elm", kind="hl7v2", base_url="", source=factories.source("elm", writable=False))


def damaged(body: bytes, dice: random.Random) -> bytes:
    """The message with one thing wrong with it."""
    lines = body.split(b"\r")
    place = dice.randrange(len(lines))
    cut = lines[place][: dice.randrange(len(lines[place]) + 1)]
    return dice.choice(
        (
            lambda: body[: dice.randrange(len(body))],
            lambda: b"\r".join([*lines[:place], lines[place], *lines[place:]]),
            lambda: b"\r".join([lines[0], *dice.sample(lines[1:], len(lines) - 1)]),
            lambda: b"\r".join([*lines[:place], cut, *lines[place + 1 :]]),
            lambda: body.replace(b"|", dice.choice((b"^", b"~", b"||")), dice.randrange(1, 60)),
            lambda: body.replace(b"^", dice.choice((b"&", b"~", b"\\")), dice.randrange(1, 60)),
            lambda: bytes(each if dice.random() > 0.01 else dice.randrange(256) for each in body),
            lambda: body.replace(b"2", b"9"),
            lambda: body + b"\x00\x0b\r\r\nZZZ",
        )
    )()


@pytest.mark.parametrize("seed", range(10))
def test_it_is_refused_or_stored_and_ends(elm: Connection, work_inbox: Callable[[], int], seed: int) -> None:
    dice = random.Random(seed)
    whole = dice.choice((siu("S12"), siu("S15"), adt("A08"), adt("A28")))
    sent = [damaged(whole, dice) for _ in range(5)]
    answers = [signing.send(elm, body) for body in sent]
    assert {each.status_code for each in answers} <= {200, 400}
    # Nothing is acknowledged that is not stored; of two messages of the same bytes one row is kept.
    acknowledged = {body for body, each in zip(sent, answers, strict=True) if each.status_code == 200}
    assert InboundEvent.objects.count() == len({messages.digest(body) for body in acknowledged})
    while inbox.due():
        work_inbox()
    rows = InboundEvent.objects.all()
    waiting = rows.exclude(status__in=ENDED).exclude(error="waits_for_review")
    assert not waiting.exists(), list(waiting.values_list("status", "error"))
    unread = rows.filter(status="quarantined")
    assert WorkItem.objects.filter(kind="event.unreadable").exists() == unread.exists()


def test_an_empty_charset_field_leaves_the_letters_to_the_connection(
    elm: Connection, work_inbox: Callable[[], int]
) -> None:
    body = adt("A08", PID_5="Müller^Änne^^^^^L").decode().encode("cp1252")
    assert signing.send(elm, body).status_code == 400
    assert RefusedCall.objects.get().reason == "not_hl7"
    elm.message_charset = "cp1252"
    elm.save()
    assert signing.send(elm, body).status_code == 200
    work_inbox()
    assert Patient.objects.get().family_name == "Müller"


@pytest.mark.parametrize(
    ("named", "codec"),
    [("8859/1", "latin-1"), ("8859/2", "iso8859-2"), ("UNICODE UTF-8", "utf-8"), ("8859/15~ISO IR87", "iso8859-15")],
)
def test_the_letters_a_message_names_are_its_own(named: str, codec: str) -> None:
    text = changed(adt("A08").decode(), MSH_18=named, PID_5="Grün^Ä^^^^^L")
    message = messages.parsed(text.encode(codec), Reading(charset="cp1252"))
    pid = message.first("PID")
    assert pid is not None
    assert (pid.said(5, 1), pid.said(5, 2)) == ("Grün", "Ä")


def test_other_separators_and_a_frame(elm: Connection, work_inbox: Callable[[], int]) -> None:
    text = siu("S12").decode()
    body = text.replace("^~\\&", "\0").translate(str.maketrans("|^~&", "#*!$")).replace("\0", "*!\\$")
    signing.send(elm, b"\x0b" + body.replace("\r", "\n").encode() + b"\x1c\r")
    work_inbox()
    assert InboundEvent.objects.get().status == "done"
    assert Appointment.objects.get().status == "booked"


@pytest.mark.parametrize("name", ["PID", "AIP", "AIL", "AIS"])
def test_a_segment_sent_twice_counts_once(elm: Connection, work_inbox: Callable[[], int], name: str) -> None:
    lines = siu("S12").decode().split("\r")
    twice = [each for line in lines for each in ([line, line] if line.startswith(name) else [line])]
    signing.send(elm, "\r".join(twice).encode())
    work_inbox()
    assert (Appointment.objects.count(), Patient.objects.count()) == (1, 1)


def test_a_message_that_cannot_be_read_quotes_nothing() -> None:
    with pytest.raises(Unreadable) as refused:
        messages.read(adt("A08", PID_3="77777^^^A^MR~88888^^^B^MR"))
    assert "77777" not in refused.value.detail
