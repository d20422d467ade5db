"""The slot story: facts, offers, every step in the order of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.test import Client
from django.utils import timezone

from integrations.models import ApiCall, InboundEvent
from scheduling.models import TimelineEntry, Writeback
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import records, text_of
from waitlist.explain import explain
from waitlist.models import CandidateVerdict, Claim, MatchSummary, Message
from waitlist.reasons import Reason


def test_it_tells_the_story_from_the_event_to_the_ehrs_answer(dana: Client, practice: Practice) -> None:
    opening = practice.opening(status="claimed", waves_sent=1)
    began = timezone.now() - timedelta(minutes=10)
    appointment = factories.appointment(practice.patient, practice.chen, practice.riverside, reference="K7QX4M")
    write = Writeback.objects.create(
        kind="create",
        appointment=appointment,
        opening=opening,
        source=practice.source,
        due_at=began,
        deadline_at=began,
        attempts=1,
    )
    InboundEvent.objects.create(
        connection=practice.connection,
        via="webhook",
        dedupe_key="1",
        body=b"{}",
        due_at=began,
        received_at=began,
        correlation_id=opening.correlation_id,
    )
    for seconds, kind, summary in (
        (0.4, "opening.opened", "Time was freed in the EHR."),
        (31, "wave.sent", "Wave 1: 1 offer."),
        (62, "writeback.confirmed", "The EHR holds the booking."),
    ):
        TimelineEntry.objects.create(
            opening=opening, at=began + timedelta(seconds=seconds), kind=kind, summary=summary, actor="worker: test"
        )
    for seconds, method, status, result, more in (
        (30.2, "GET", 200, "ok", {"correlation_id": opening.correlation_id}),
        (60, "POST", 503, "outcome_unknown", {"writeback": write}),
        (61, "POST", 201, "ok", {"writeback": write}),
        (61.5, "GET", 200, "ok", {}),
    ):
        ApiCall.objects.create(
            connection=practice.connection,
            system="ehr",
            at=began + timedelta(seconds=seconds),
            actor="worker: outbox",
            method=method,
            resource="Appointment",
            status=status,
            duration_ms=40,
            result=result,
            **more,
        )
    response = dana.get(f"/admin/openings/{opening.pk}/")
    story = [(step.text, step.since_start, step.tone) for step in response.context["story"]]
    assert story == [
        ("The EHR reported a change.", "start", "accent"),
        ("Time was freed in the EHR.", "+0.4 s", "accent"),
        ("EHR says: here it is", "+30 s", "accent"),
        ("Wave 1: 1 offer.", "+31 s", "accent"),
        ("EHR says: outcome unknown (503)", "+1 min 0 s", "danger"),
        ("EHR says: done", "+1 min 1 s", "accent"),
        ("The EHR holds the booking.", "+1 min 2 s", "ok"),
    ]
    assert "POST Appointment in 40 ms" in text_of(response)


def test_it_shows_each_offer_with_rank_state_and_reason_and_who_was_next(dana: Client, practice: Practice) -> None:
    opening = practice.opening(status="offering", waves_sent=1)
    now = timezone.now()
    first = practice.entry()
    next_one = practice.entry(factories.patient(given_name="Nia", family_name="Next", locations=[practice.riverside]))
    factories.offer(opening, first, rank=1, code="47")
    CandidateVerdict.objects.create(
        opening=opening, entry=first, rank=1, eligible=True, reasons=["suits"], wave=1, computed_at=now
    )
    CandidateVerdict.objects.create(
        opening=opening, entry=next_one, rank=2, eligible=False, reasons=["notice"], computed_at=now
    )
    MatchSummary.objects.create(opening=opening, counts={"provider": 3, "behind": 31}, computed_at=now)
    words = text_of(dana.get(f"/admin/openings/{opening.pk}/live/"))
    assert "1 Robin Alvarez wave 1 · code 47 · Follow-up sent This time suits. why?" in words
    assert "2 Nia Next does not suit The patient needs more notice than is left. why?" in words
    assert f"Everybody else on the list {Reason.BEHIND.label} 31 {Reason.PROVIDER.label} 3" in words


def test_it_shows_claim_booking_and_messages_without_their_words(dana: Client, practice: Practice) -> None:
    opening = practice.opening(status="claimed")
    appointment = factories.appointment(practice.patient, practice.chen, practice.riverside, reference="K7QX4M")
    Claim.objects.create(
        opening=opening, patient=practice.patient, appointment=appointment, channel="link", actor="patient"
    )
    Message.objects.create(
        kind="offer",
        channel="sms",
        patient=practice.patient,
        opening=opening,
        location=practice.riverside,
        address="+12015550100",
        address_index="a",
        body="secret words",
        dedupe_key="m",
        due_at=timezone.now(),
        status="delivered",
    )
    words = text_of(dana.get(f"/admin/openings/{opening.pk}/"))
    assert "Robin Alvarez received, not yet confirmed by link, just now" in words
    assert "reference K7QX4M" in words
    assert "Offer delivered text to Robin Alvarez" in words
    assert "secret words" not in words


def test_a_new_opening_says_what_happens_next(dana: Client, practice: Practice) -> None:
    opening = practice.opening(check_due_at=timezone.now() + timedelta(seconds=30.5))
    words = text_of(dana.get(f"/admin/openings/{opening.pk}/"))
    assert (
        "Nobody has been offered this time. First the EHR is asked whether the time is really free. "
        "The next look is in 30 s" in words
    )


def test_opening_the_page_is_on_record_for_each_patient(dana: Client, practice: Practice) -> None:
    opening = practice.opening(status="offering")
    factories.offer(opening, practice.entry())
    dana.get(f"/admin/openings/{opening.pk}/")
    assert records("view") == [("scheduling.patient", str(practice.patient.pk))]
    dana.get(f"/admin/openings/{opening.pk}/live/")
    assert records("list") == []  # seen a moment ago


def test_the_lists_row_leads_here(dana: Client, practice: Practice) -> None:
    opening = practice.opening()
    response = dana.get(f"/admin/scheduling/opening/{opening.pk}/change/")
    assert (response.status_code, response.url) == (302, f"/admin/openings/{opening.pk}/")  # type: ignore[attr-defined]


def test_why_not_her_is_answered_by_the_rules_that_decide(dana: Client, practice: Practice) -> None:
    opening = practice.opening()
    entry = practice.entry(providers=[factories.provider(name="Dr. Other")])
    words = text_of(dana.get(f"/admin/openings/{opening.pk}/why-not/{entry.pk}/"))
    assert "Robin Alvarez , waiting for Follow-up" in words
    assert "does not suit right now" in words
    assert explain(Reason.PROVIDER) in words
    assert records("view") == [("scheduling.patient", str(practice.patient.pk))]


def test_times_stand_in_the_locations_zone(dana: Client, practice: Practice) -> None:
    practice.riverside.time_zone = "America/Los_Angeles"
    practice.riverside.save()
    opening = practice.opening(start=datetime(2031, 7, 4, 21, 0, tzinfo=UTC))
    words = text_of(dana.get(f"/admin/openings/{opening.pk}/"))
    assert "Fri Jul 4 2031 2:00–2:30 PM PDT" in words
