"""The first page: what is open, what needs somebody, whether the outside systems answer."""

from __future__ import annotations

from datetime import timedelta

from django.test import Client
from django.utils import timezone

from scheduling import worklist
from scheduling.models import Writeback
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import records, text_of
from waitlist.models import Claim, Message, Offer

LIVE = "/admin/today/live/"


def test_an_empty_day_says_what_to_do_next(dana: Client) -> None:
    words = text_of(dana.get("/admin/"))
    assert "No open time right now. As soon as an appointment is cancelled in the EHR, its time appears here" in words
    assert "Nothing needs you. What the machine cannot decide comes here, the most urgent first." in words
    assert (
        "0 openings live 0 waiting 0 need you 0 patient pairs to compare 0 replies for staff 0 bookings not written"
        " 0 messages not sent" in words
    )


def test_an_opening_shows_its_offers_and_who_is_first(dana: Client, practice: Practice) -> None:
    opening = practice.opening(status="offering", start=timezone.now() + timedelta(minutes=42, seconds=5), waves_sent=1)
    factories.offer(opening, practice.entry(), rank=1)
    factories.offer(opening, practice.entry(factories.patient(family_name="Second")), rank=2)
    words = text_of(dana.get(LIVE))
    assert "1 opening live, 0 need you." in words
    assert "in 42 min" in words
    assert "Dr. Mei Chen Riverside" in words
    assert "Robin Alvarez no. 1, sent" in words
    assert "Second" not in words


def test_each_number_leads_to_exactly_what_it_counts(maria: Client, practice: Practice) -> None:
    opening = practice.opening(status="claimed")
    practice.opening(status="closed", closed_reason="taken")
    entry = practice.entry()
    appointment = factories.appointment(practice.patient, practice.chen, practice.riverside, practice.followup)
    now = timezone.now()
    Writeback.objects.create(
        kind="create",
        appointment=appointment,
        opening=opening,
        source=practice.source,
        status="dead",
        due_at=now,
        deadline_at=now,
    )
    worklist.ask_staff("test", "Something happened", dedupe_key="one", opening=opening)
    response = maria.get("/admin/")
    figures = {figure.label: figure for figure in response.context["figures"]}
    assert {label: figure.number for label, figure in figures.items()} == {
        "opening live": 1,
        "waiting": 1,
        "needs you": 1,
        "patient pairs to compare": 0,
        "replies for staff": 0,
        "booking not written": 1,
        "messages not sent": 0,
        "events not read": 0,
        "differ from the EHR": 0,
    }
    for figure in figures.values():
        listed = maria.get(figure.address)
        shown = listed.context["cl"].result_count if "cl" in listed.context else len(listed.context["lines"])
        assert shown == figure.number, figure.label
    assert entry.status == "waiting"


def test_a_claim_shows_whose_it_is(dana: Client, practice: Practice) -> None:
    opening = practice.opening(status="claimed", waves_sent=1)
    offer = factories.offer(opening, practice.entry(), status="yes")
    appointment = factories.appointment(practice.patient, practice.chen, practice.riverside, status="pending")
    Claim.objects.create(
        opening=opening, patient=practice.patient, offer=offer, appointment=appointment, channel="sms", actor="patient"
    )
    assert "Robin Alvarez received, not yet confirmed" in text_of(dana.get(LIVE))


def test_the_most_urgent_item_stands_first(dana: Client, practice: Practice) -> None:
    worklist.ask_staff("a", "Can wait", dedupe_key="a", urgency=2, location=practice.riverside)
    worklist.ask_staff("b", "Cannot wait", dedupe_key="b", urgency=0, location=practice.riverside)
    words = text_of(dana.get(LIVE))
    assert words.index("Cannot wait") < words.index("Can wait")


def test_trouble_with_the_ehr_is_said_on_top(dana: Client, practice: Practice) -> None:
    practice.connection.failing_since = timezone.now() - timedelta(minutes=20)
    practice.connection.save()
    words = text_of(dana.get(LIVE))
    assert "does not answer The EHR No answer for 20 min. Bookings are kept and written later." in words


def test_another_location_is_not_counted_nor_shown(dana: Client, practice: Practice) -> None:
    opening = practice.opening(practice.lakeview, status="offering", waves_sent=1)
    factories.offer(opening, practice.entry(practice.their_patient))
    worklist.ask_staff("a", "Theirs alone", dedupe_key="a", location=practice.lakeview)
    words = text_of(dana.get("/admin/"))
    assert "0 openings live 0 waiting 0 need you" in words
    assert "Elsewhere" not in words
    assert "Theirs alone" not in words


def test_looking_changes_nothing_and_names_are_on_record_once(dana: Client, practice: Practice) -> None:
    opening = practice.opening(status="offering", waves_sent=1)
    offer = factories.offer(opening, practice.entry())
    for _ in range(3):
        dana.get(LIVE)
    assert records("list") == [("scheduling.patient", str(practice.patient.pk))]
    assert Offer.objects.get() == offer
    assert not Message.objects.exists()


def test_the_number_of_queries_does_not_grow_with_the_openings(
    dana: Client, practice: Practice, django_assert_max_num_queries: object
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert dana.get(LIVE).status_code == 200
        return len(captured)

    practice.opening(status="offering")
    dana.get(LIVE)
    few = queries()
    for _ in range(10):
        factories.offer(practice.opening(status="offering"), practice.entry(factories.patient()))
    dana.get(LIVE)
    assert queries() <= few + 1


def test_what_ended_today_is_shown_with_who_has_it_or_why_it_closed(dana: Client, practice: Practice) -> None:
    now = timezone.now()
    filled = practice.opening(status="filled", closed_at=now)
    appointment = factories.appointment(practice.patient, practice.chen, practice.riverside)
    Claim.objects.create(
        opening=filled,
        patient=practice.patient,
        appointment=appointment,
        channel="sms",
        actor="patient",
        state="confirmed",
    )
    practice.opening(status="closed", closed_reason="cut_off", closed_at=now - timedelta(hours=1))
    practice.opening(status="closed", closed_reason="merged", closed_at=now)
    practice.opening(status="closed", closed_reason="staff", closed_at=now - timedelta(days=2))
    practice.opening(practice.lakeview, status="filled", closed_at=now)
    page = dana.get(LIVE)
    assert [(line.opening.status, line.patient) for line in page.context["ended"]] == [
        ("filled", practice.patient),
        ("closed", None),
    ]
    words = text_of(page)
    assert "Dr. Mei Chen Riverside Robin Alvarez" in words
    assert "Dr. Mei Chen Riverside too close to its start" in words
    assert records("list") == [("scheduling.patient", str(practice.patient.pk))]


def test_an_item_says_which_opening_it_is_about(dana: Client, practice: Practice) -> None:
    opening = practice.opening(status="offering")
    worklist.ask_staff("x", "Look at this", dedupe_key="x", opening=opening)
    assert "today · Dr. Mei Chen, tomorrow" in text_of(dana.get(LIVE))
