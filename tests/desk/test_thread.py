"""A patient's thread: both sides in order, in pages, of the person's own locations, each look on record."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from scheduling import merging
from scheduling.models import Location
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import records, text_of
from waitlist.models import Message, Reply


def write(practice: Practice, text: str, at: datetime, place: Location | None = None) -> Message:
    contact = practice.patient.contact_points.filter(system="phone")[0]
    return Message.objects.create(
        kind="offer",
        channel="sms",
        body=text,
        dedupe_key=text,
        due_at=at,
        sent_at=at,
        status="delivered",
        patient=practice.patient,
        location=place or practice.riverside,
        address=contact.value,
        address_index=contact.address_index,
    )


def answer(practice: Practice, text: str, at: datetime, *, is_known: bool = True) -> Reply:
    contact = practice.patient.contact_points.filter(system="phone")[0]
    return Reply.objects.create(
        carrier_id=text,
        body=text,
        received_at=at,
        outcome="staff",
        patient=practice.patient if is_known else None,
        address=contact.value,
        address_index=contact.address_index,
    )


def test_both_sides_stand_in_order_and_only_what_one_may_see(dana: Client, practice: Practice) -> None:
    now = timezone.now()
    answer(practice, "Second words", now - timedelta(hours=2))
    write(practice, "First words", now - timedelta(hours=3))
    write(practice, "Lakeview words", now - timedelta(hours=1), practice.lakeview)
    answer(practice, "Third words", now, is_known=False)
    trial = write(practice, "Trial words", now)
    Message.objects.filter(pk=trial.pk).update(patient=None, test_by="maria")
    there = answer(practice, "Lakeview words too", now)
    Reply.objects.filter(pk=there.pk).update(location=practice.lakeview)
    page = f"/admin/patients/{practice.patient.pk}/thread/"
    shown = text_of(dana.get(page))
    assert [word for word in ("First", "Second", "Third") if f"{word} words" in shown] == ["First", "Second", "Third"]
    assert shown.index("First words") < shown.index("Second words") < shown.index("Third words")
    assert "from their number, perhaps somebody else" in shown
    assert "delivered" in shown
    assert "Lakeview words" not in shown
    assert "Trial words" not in shown, "staff sent it to themselves"
    assert records("view", reason="messages") == [("scheduling.patient", str(practice.patient.pk))]
    assert page in dana.get(f"/admin/scheduling/patient/{practice.patient.pk}/change/").content.decode()
    reply = Reply.objects.get(carrier_id="Second words")
    assert page in dana.get(f"/admin/waitlist/reply/{reply.pk}/change/").content.decode()


def test_another_locations_patient_has_no_thread_here(dana: Client, practice: Practice) -> None:
    assert dana.get(f"/admin/patients/{practice.their_patient.pk}/thread/").status_code == 404
    assert records("denied") == [("scheduling.patient", str(practice.their_patient.pk))]
    assert "Nothing was written yet." in text_of(dana.get(f"/admin/patients/{practice.patient.pk}/thread/"))


def test_it_takes_the_right_to_see_patients_messages_and_replies(dana: Client, practice: Practice) -> None:
    page = f"/admin/patients/{practice.patient.pk}/thread/"
    for right in ("view_patient", "view_message", "view_reply"):
        for group in Group.objects.filter(user__username="dana"):
            taken = list(group.permissions.filter(codename=right))
            group.permissions.remove(*taken)
            assert dana.get(page).status_code == 403, right
            group.permissions.add(*taken)
    assert dana.get(page).status_code == 200


def test_a_long_thread_comes_in_pages_the_newest_first(dana: Client, practice: Practice) -> None:
    start = timezone.now() - timedelta(days=3)
    for number in range(51):
        write(practice, f"words-{number:02}.", start + timedelta(minutes=number))
    page = f"/admin/patients/{practice.patient.pk}/thread/"
    newest, oldest = text_of(dana.get(page)), text_of(dana.get(f"{page}?page=2"))
    assert "words-50." in newest
    assert "words-00." not in newest
    assert "words-00." in oldest
    assert "words-01." not in oldest


def test_merged_records_have_one_thread_until_an_undo(maria: Client, practice: Practice) -> None:
    now = timezone.now()
    kept = factories.patient(locations=[practice.riverside])
    write(practice, "We wrote this to the record before.", now - timedelta(hours=2))
    answer(practice, "And so they answered.", now - timedelta(hours=1), is_known=False)
    path = f"/admin/patients/{kept.pk}/thread/"
    assert "they answered" not in text_of(maria.get(path))
    merge = merging.merge(practice.patient, kept, told_by=merging.ToldBy.STAFF)
    both = [text_of(maria.get(path)), text_of(maria.get(f"/admin/patients/{practice.patient.pk}/thread/"))]
    for words in both:
        assert "We wrote this to the record before." in words
        assert "And so they answered." in words
    assert {str(kept.pk), str(practice.patient.pk)} <= {pk for _, pk in records("view")}
    merging.undo(merge)
    assert "they answered" not in text_of(maria.get(path))
