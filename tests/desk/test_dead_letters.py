"""What could not be written, sent or read: why, and how it is tried again, one by one or several at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from integrations.models import InboundEvent
from scheduling import wake, writebacks
from scheduling.models import TimelineEntry, WorkItem, Writeback
from scheduling.worklist import ask_staff
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import records, said, text_of
from waitlist.models import Message
from waitlist.resending import send_again

WRITES = "/admin/scheduling/writeback/"
MESSAGES = "/admin/waitlist/message/"
EVENTS = "/admin/integrations/inboundevent/"


def write(practice: Practice, status: str = "dead", **fields: object) -> Writeback:
    opening = practice.opening(start=timezone.now() + timedelta(days=Writeback.objects.count() + 1))
    appointment = factories.appointment(practice.patient, practice.chen, practice.riverside, start=opening.start)
    return Writeback.objects.create(
        kind="create",
        appointment=appointment,
        opening=opening,
        source=practice.source,
        status=status,
        attempts=6,
        due_at=timezone.now(),
        deadline_at=opening.start,
        error_code="unavailable",
        error_detail="The EHR did not answer six times.",
        **fields,
    )


def message(practice: Practice, status: str = "dead", **fields: object) -> Message:
    number = Message.objects.count()
    return Message.objects.create(
        **{
            "kind": "offer",
            "channel": "sms",
            "patient": practice.patient,
            "location": practice.riverside,
            "opening": practice.opening(start=timezone.now() + timedelta(days=number + 1)),
            "address": "+12015550142",
            "address_index": "a",
            "body": "Time with us is free. Reply YES 47.",
            "dedupe_key": f"m{number}",
            "due_at": timezone.now(),
            "status": status,
            "attempts": 5,
            "error_code": "carrier_down",
            **fields,
        }
    )


def event(practice: Practice, status: str, number: int = 1) -> InboundEvent:
    return InboundEvent.objects.create(
        connection=practice.connection,
        via="webhook",
        dedupe_key=f"e{number}",
        body=b'{"resourceType": "Appointment", "note": "Zebedee"}',
        status=status,
        error="An entry could not be read.",
        due_at=timezone.now(),
        received_at=timezone.now(),
    )


# --- bookings -------------------------------------------------------------------------------------------------------


def test_a_dead_booking_says_why_and_is_sent_again(dana: Client, practice: Practice) -> None:
    row = write(practice)
    words = text_of(dana.get(WRITES + "?status__exact=dead"))
    assert "Book in the EHR Robin Alvarez dead letter The EHR did not answer six times. 6" in words
    words = text_of(dana.get(f"{WRITES}{row.pk}/change/"))
    assert "the EHR is asked first whether it has it already, so nothing is booked twice" in words
    answer = dana.post(f"{WRITES}{row.pk}/retry/")
    assert said(dana, answer) == "It is taken up again. What was written before is looked up first."
    row.refresh_from_db()
    assert (row.status, row.attempts) == ("waiting", 1)
    assert TimelineEntry.objects.get(kind="writeback.retried").actor == "dana"
    assert "Send again" not in text_of(dana.get(f"{WRITES}{row.pk}/change/"))


def test_a_booking_that_is_no_dead_letter_is_left_alone(dana: Client, practice: Practice) -> None:
    row = write(practice, "done")
    answer = dana.post(f"{WRITES}{row.pk}/retry/")
    assert said(dana, answer) == "Nothing was sent: it is no dead letter, or another change is under way."
    row.refresh_from_db()
    assert (row.status, row.attempts) == ("done", 6)


def test_several_bookings_at_once(dana: Client, practice: Practice) -> None:
    rows = [write(practice), write(practice), write(practice, "refused")]
    chosen = {"action": "send_again", "_selected_action": [row.pk for row in rows]}
    answer = dana.post(WRITES, chosen, follow=True)
    assert "2 taken up again. What was written before is looked up first." in text_of(answer)
    assert "1 left alone: only dead letters can be sent again, one for each appointment at a time." in text_of(answer)
    assert [Writeback.objects.get(pk=row.pk).status for row in rows] == ["waiting", "waiting", "refused"]


def test_what_is_sent_again_from_its_page_is_asked_of_nobody_any_more(dana: Client, practice: Practice) -> None:
    row = write(practice)
    item = asked_about(row)
    dana.post(f"{WRITES}{row.pk}/retry/")
    item.refresh_from_db()
    assert (item.status, item.done_by) == ("done", "dana")


def test_the_button_of_a_work_item_finds_it_sent_again_already(dana: Client, practice: Practice) -> None:
    """Two clerks, one at the dead letter's page and one at the work item that asks about it."""
    row = write(practice, "waiting")
    answer = dana.post(f"/admin/scheduling/workitem/{asked_about(row).pk}/do/retry/")
    assert said(dana, answer) == "It is under way or finished already; nothing was sent."
    row.refresh_from_db()
    assert (row.status, row.attempts) == ("waiting", 6)


def asked_about(row: Writeback) -> WorkItem:
    key = f"writeback.dead:{row.pk}"
    return ask_staff("writeback.dead", "We could not finish a booking in the EHR", dedupe_key=key, subject=row)


def test_a_dead_cancellation_waits_for_the_one_that_the_patient_asked_for_since(
    dana: Client, practice: Practice
) -> None:
    row = write(practice)
    Writeback.objects.filter(pk=row.pk).update(kind="cancel")
    writebacks.request_cancel(row.appointment, by_patient=True)
    answer = dana.post(f"{WRITES}{row.pk}/retry/")
    assert said(dana, answer) == "Nothing was sent: it is no dead letter, or another change is under way."
    assert sorted(Writeback.objects.values_list("status", flat=True)) == ["dead", "waiting"]


# --- messages -------------------------------------------------------------------------------------------------------


def test_the_words_stand_only_on_the_messages_own_page_which_is_on_record(dana: Client, practice: Practice) -> None:
    row = message(practice)
    listed = text_of(dana.get(MESSAGES))
    assert "Offer Robin Alvarez text dead letter carrier down" in listed
    assert "YES 47" not in listed
    assert "555" not in listed
    assert records("view") == []
    words = text_of(dana.get(f"{MESSAGES}{row.pk}/change/"))
    assert "Time with us is free. Reply YES 47." in words
    assert records("view") == [
        ("scheduling.patient", str(practice.patient.pk)),
        ("waitlist.message", str(row.pk)),
    ]


def test_the_list_does_not_even_read_the_words(dana: Client, practice: Practice) -> None:
    message(practice)
    row = dana.get(MESSAGES).context["cl"].result_list[0]
    assert {"body", "address", "subject", "attachment"} <= row.get_deferred_fields()


def test_a_dead_message_is_sent_again(dana: Client, practice: Practice) -> None:
    asked_at = timezone.now()
    row = message(practice, due_at=asked_at - timedelta(hours=3))
    answer = dana.post(f"{MESSAGES}{row.pk}/retry/")
    assert said(dana, answer) == "It is sent again. Consent and quiet hours are checked once more."
    row.refresh_from_db()
    assert (row.status, row.attempts, row.error_code) == ("waiting", 0, "")
    assert row.due_at >= asked_at, "it waits from now on, not for three hours"
    step = TimelineEntry.objects.get(kind="message.retried")
    assert (step.opening, step.summary) == (row.opening, "A message is sent again by dana.")
    assert step.data == {"message_id": row.pk}
    answer = dana.post(f"{MESSAGES}{row.pk}/retry/")
    assert said(dana, answer) == "Nothing was sent: it is not a dead letter any more."


def test_a_dead_message_about_no_opening_is_sent_again(dana: Client, practice: Practice) -> None:
    row = message(practice, kind="stop_receipt", opening=None)
    dana.post(f"{MESSAGES}{row.pk}/retry/")
    row.refresh_from_db()
    assert row.status == "waiting"
    assert not TimelineEntry.objects.filter(kind="message.retried").exists()


def test_two_clerks_who_send_a_dead_message_again_at_one_moment_send_it_once(practice: Practice) -> None:
    row = message(practice)
    first, second = (Message.objects.get(pk=row.pk) for _ in range(2))
    assert [send_again(first, "dana"), send_again(second, "sam")] == [True, False]
    assert TimelineEntry.objects.get(kind="message.retried").summary == "A message is sent again by dana."


def test_a_message_that_is_sent_again_waits_for_no_sweep(
    dana: Client,
    practice: Practice,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    called: list[str] = []
    monkeypatch.setattr(wake._publisher, "mark", called.append)
    row = message(practice)
    with django_capture_on_commit_callbacks(execute=True):
        dana.post(f"{MESSAGES}{row.pk}/retry/")
    assert called == ["messages"]


def test_several_messages_at_once(dana: Client, practice: Practice) -> None:
    rows = [message(practice), message(practice, "sent")]
    chosen = {"action": "send_selected_again", "_selected_action": [row.pk for row in rows]}
    words = text_of(dana.post(MESSAGES, chosen, follow=True))
    assert "1 sent again. Consent and quiet hours are checked once more." in words
    assert "1 left alone: only dead letters can be sent again." in words
    assert [Message.objects.get(pk=row.pk).status for row in rows] == ["waiting", "sent"]


# --- events ---------------------------------------------------------------------------------------------------------


def test_an_event_is_shown_raw_on_demand_and_that_is_on_record(ira: Client, practice: Practice) -> None:
    row = event(practice, "quarantined")
    assert "Zebedee" not in text_of(ira.get(EVENTS))
    assert "Zebedee" not in text_of(ira.get(f"{EVENTS}{row.pk}/change/"))
    assert records("view") == []
    assert '"note": "Zebedee"' in text_of(ira.get(f"{EVENTS}{row.pk}/raw/"))
    assert records("view", reason="raw body") == [("integrations.inboundevent", str(row.pk))]


def test_the_front_desk_sees_no_raw_events(dana: Client, practice: Practice) -> None:
    row = event(practice, "quarantined")
    for path in (EVENTS, f"{EVENTS}{row.pk}/change/", f"{EVENTS}{row.pk}/raw/"):
        assert dana.get(path).status_code == 403
    assert records("view") == []


@pytest.mark.parametrize("body", [b"\xff\xfe not text", b"{" * 5000, b"", b"x" * 300_000, b"<script>alert(1)</script>"])
def test_a_body_that_is_no_json_is_shown_all_the_same(ira: Client, practice: Practice, body: bytes) -> None:
    row = event(practice, "quarantined")
    row.body = body
    row.save()
    page = ira.get(f"{EVENTS}{row.pk}/raw/")
    assert page.status_code == 200
    assert b"<script>alert" not in page.content
    assert len(page.content) < 1_000_000


def test_events_that_could_not_be_read_are_read_again(ira: Client, practice: Practice) -> None:
    rows = [event(practice, "dead", 1), event(practice, "done", 2)]
    chosen = {"action": "read_again", "_selected_action": [row.pk for row in rows]}
    words = text_of(ira.post(EVENTS, chosen, follow=True))
    assert "1 taken up again." in words
    assert "1 left alone: they were read." in words
    assert [InboundEvent.objects.get(pk=row.pk).status for row in rows] == ["received", "done"]


@pytest.mark.parametrize(("status", "heading"), [("dead", "Dead letter"), ("quarantined", "Could not be read")])
def test_an_event_is_read_again_from_its_page(ira: Client, practice: Practice, status: str, heading: str) -> None:
    row = event(practice, status)
    words = text_of(ira.get(f"{EVENTS}{row.pk}/change/"))
    assert f"{heading} " in words
    assert "Read it again" in words
    assert ira.get(f"{EVENTS}{row.pk}/retry/").status_code == 405
    assert said(ira, ira.post(f"{EVENTS}{row.pk}/retry/")).startswith("It is read again; if it still cannot be")
    row.refresh_from_db()
    assert (row.status, row.attempts) == ("received", 0)
    assert "Read it again" not in text_of(ira.get(f"{EVENTS}{row.pk}/change/"))
    assert said(ira, ira.post(f"{EVENTS}{row.pk}/retry/")) == "Nothing changed: it was read, or is being read."


def test_who_may_not_change_events_reads_none_again(dana: Client, practice: Practice) -> None:
    row = event(practice, "dead")
    assert dana.post(f"{EVENTS}{row.pk}/retry/").status_code in (403, 404)
    row.refresh_from_db()
    assert row.status == "dead"
