"""The slot story: facts, offers, every step in the order of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from config.desk.advice import what_next
from config.desk.story import latest_steps
from integrations.models import ApiCall, InboundEvent
from scheduling import guards, merging
from scheduling.admin import display
from scheduling.models import Opening, TimelineEntry, Writeback
from scheduling.models import Practice as PracticeRow
from scheduling.story import tell
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
        ("EHR says: outcome unknown (503)", "+1 min", "danger"),
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


def test_why_an_offer_was_withdrawn_is_said_in_words(dana: Client, practice: Practice) -> None:
    opening = practice.opening(status="offering")
    offer = factories.offer(opening, practice.entry(), status="withdrawn", withdrawn_reason="wrong_person")
    for page in (f"/admin/openings/{opening.pk}/", f"/admin/waitlist/offer/{offer.pk}/change/"):
        said = text_of(dana.get(page))
        assert "it had gone to the wrong person" in said
        assert "wrong_person" not in said


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
    with time_machine.travel(timezone.now(), tick=False):
        opening = practice.opening(check_due_at=timezone.now() + timedelta(seconds=30))
        words = text_of(dana.get(f"/admin/openings/{opening.pk}/"))
    assert (
        "Nobody has been offered this time. First the EHR is asked whether the time is really free. "
        "The next look is in 30 s" in words
    )


def test_when_nobody_suits_the_page_does_not_say_that_the_ehr_is_asked(dana: Client, practice: Practice) -> None:
    with time_machine.travel(timezone.now(), tick=False):
        now = timezone.now()
        opening = practice.opening(status="checking", checked_at=now, check_due_at=now + timedelta(minutes=30))
        tell(opening, "wave.nobody", "Nobody more on the list suits just now; we keep looking.")
        words = text_of(dana.get(f"/admin/openings/{opening.pk}/"))
    assert "The EHR shows this time as free, and nobody on the list suits it just now." in words
    assert "The next look is in 30 min" in words
    assert "or as soon as somebody comes to suit it." in words
    assert "is being asked" not in words
    assert "First the EHR is asked" not in words


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


def test_why_says_of_who_holds_an_offer_that_they_do_and_not_that_it_does_not_suit(
    dana: Client, practice: Practice
) -> None:
    opening = practice.opening(status="offering", waves_sent=1)
    entry = practice.entry()
    offer = factories.offer(opening, entry, rank=3)
    CandidateVerdict.objects.create(
        opening=opening, entry=entry, rank=3, eligible=True, reasons=["suits"], wave=1, computed_at=timezone.now()
    )
    at = display.clock(offer.created_at, opening.location.zone, seconds=True)
    page = f"/admin/openings/{opening.pk}/why-not/{entry.pk}/"
    words = text_of(dana.get(page))
    assert f"has this offer since {at}" in words
    assert "No. 3 in line, wave 1: This time suits." in words
    assert "suit right now" not in words
    assert explain(Reason.OFFERED_BEFORE) not in words
    offer.status = "expired"
    offer.save()
    words = text_of(dana.get(page))
    assert f"did not answer offered at {at}" in words
    assert "is not offered it again as things are" in words
    assert explain(Reason.OFFERED_BEFORE) not in words
    # One who was too late gets the next fresh offer.
    offer.status = "too_late"
    offer.save()
    assert "suits right now" in text_of(dana.get(page))


def test_why_tells_this_persons_latest_offer_of_this_time_and_nobody_elses(dana: Client, practice: Practice) -> None:
    opening, other_time = practice.opening(status="offering"), practice.opening(start=factories.in_days(9))
    entry = practice.entry()
    factories.offer(other_time, entry, status="no")
    factories.offer(opening, factories.entry(factories.patient(), entry.appointment_type), status="yes")
    page = f"/admin/openings/{opening.pk}/why-not/{entry.pk}/"
    words = text_of(dana.get(page))
    assert "suits right now" in words
    assert not any(said in words for said in ("said no to it", "said yes to it"))
    retired = factories.patient()
    factories.offer(opening, factories.entry(retired, entry.appointment_type), status="no")
    merging.merge(retired, entry.patient, told_by=merging.ToldBy.STAFF)
    assert "said no to it" in text_of(dana.get(page)), "under their other record"
    factories.offer(opening, entry, status="expired")
    words = text_of(dana.get(page))
    assert "did not answer" in words
    assert "said no to it" not in words


def test_times_stand_in_the_locations_zone(dana: Client, practice: Practice) -> None:
    practice.riverside.time_zone = "America/Los_Angeles"
    practice.riverside.save()
    opening = practice.opening(start=datetime(2031, 7, 4, 21, 0, tzinfo=UTC))
    words = text_of(dana.get(f"/admin/openings/{opening.pk}/"))
    assert "Fri Jul 4 2031 2:00–2:30 PM PDT" in words


def test_runs_of_the_same_thing_are_one_line_and_what_went_wrong_is_one_of_its_own(
    dana: Client, practice: Practice
) -> None:
    opening = practice.opening(status="offering", waves_sent=1)
    began = timezone.now() - timedelta(minutes=10)
    for seconds, resource, status, result in (
        (0, "Slot", 200, "ok"),
        (0.1, "Appointment", 200, "ok"),
        (0.2, "Slot", 500, "unavailable"),
        (180, "Slot", 200, "ok"),
    ):
        ApiCall.objects.create(
            connection=practice.connection,
            system="ehr",
            at=began + timedelta(seconds=seconds),
            actor="worker: availability",
            method="GET",
            resource=resource,
            status=status,
            duration_ms=4,
            result=result,
            correlation_id=opening.correlation_id,
        )
    for seconds, summary in ((200, "Text sent: offer."), (200.1, "E-mail sent: offer."), (200.2, "Text sent: offer.")):
        TimelineEntry.objects.create(
            opening=opening,
            at=began + timedelta(seconds=seconds),
            kind="message.sent",
            summary=summary,
            actor="worker: messages",
        )
    story = dana.get(f"/admin/openings/{opening.pk}/").context["story"]
    assert [(step.text, step.since_start, step.detail) for step in story] == [
        ("EHR says: here it is", "start", "GET Slot in 4 ms; GET Appointment in 4 ms"),
        ("EHR says: unavailable (500)", "+0.2 s", "GET Slot in 4 ms"),
        ("EHR says: here it is", "+3 min", "GET Slot in 4 ms"),
        ("Text sent: offer (2 times). E-mail sent: offer.", "+3 min 20 s", ""),
    ]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"status": "open"}, "The EHR is being asked whether this time is really free. You need to do nothing."),
        ({"status": "checking"}, "The EHR is being asked whether this time is really free. You need to do nothing."),
        ({"status": "offering"}, "Nobody holds an offer right now. You need to do nothing: the machine looks again"),
        ({"status": "open", "held": "reason"}, "until somebody says what the cancellation means for it."),
        ({"status": "open", "held": "blocked"}, "until somebody says whether the provider is in or out."),
        ({"status": "open", "held": "type"}, "until somebody says what kind of visit it was for."),
        ({"status": "open", "held": "refused"}, "Nobody is offered it until somebody knows why."),
        ({"status": "open", "held": "ask_first"}, "Look at who is proposed below, then send the offers."),
        ({"status": "open", "held": "ehr_silent"}, "It goes on by itself as soon as the EHR does."),
        ({"status": "filled"}, "The EHR shows a new booking of this time. You need to do nothing."),
        ({"status": "closed", "closed_reason": "taken"}, "This time is not offered to anybody any more."),
    ],
)
def test_the_page_says_what_is_true_and_what_there_is_to_do(
    dana: Client, practice: Practice, fields: dict[str, Any], says: str
) -> None:
    opening = practice.opening(**fields)
    assert says in text_of(dana.get(f"/admin/openings/{opening.pk}/"))


@pytest.mark.parametrize(
    ("status", "state", "says"),
    [
        ("claimed", "pending", "Until this page says filled, say “received, not yet confirmed”."),
        ("filled", "confirmed", "Robin Alvarez has this time; the EHR shows the booking. Their reference is K7QX4M."),
    ],
)
def test_the_page_says_who_has_the_time_and_how_sure_that_is(
    dana: Client, practice: Practice, status: str, state: str, says: str
) -> None:
    opening = practice.opening(status=status)
    appointment = factories.appointment(practice.patient, practice.chen, practice.riverside, reference="K7QX4M")
    Claim.objects.create(
        opening=opening, patient=practice.patient, appointment=appointment, channel="sms", actor="patient", state=state
    )
    words = text_of(dana.get(f"/admin/openings/{opening.pk}/"))
    assert says in words
    assert "by text, just now" in words


@pytest.mark.parametrize(
    ("write", "says", "nothing_to_do"),
    [
        ("sending", "Robin Alvarez said yes and the EHR is being asked to book it.", True),
        ("by_hand", "Robin Alvarez said yes. We do not write to this EHR: somebody enters the booking there", False),
        ("dead", "Robin Alvarez said yes, but the booking could not be written to the EHR", False),
    ],
)
def test_where_a_person_has_to_book_the_page_does_not_say_that_the_ehr_is_asked(
    dana: Client, practice: Practice, write: str, says: str, nothing_to_do: bool
) -> None:
    opening, now = practice.opening(status="claimed"), timezone.now()
    appointment = factories.appointment(practice.patient, practice.chen, practice.riverside)
    Claim.objects.create(
        opening=opening, patient=practice.patient, appointment=appointment, channel="sms", actor="p", state="pending"
    )
    for kind, status in (("create", "refused"), ("create", write), ("cancel", "done")):
        Writeback.objects.create(
            kind=kind,
            status=status,
            appointment=appointment,
            opening=opening,
            source=practice.source,
            due_at=now,
            deadline_at=now,
        )
    words = text_of(dana.get(f"/admin/openings/{opening.pk}/"))
    assert says in words
    assert ("You need to do nothing." in words) is nothing_to_do
    assert "Until this page says filled, say “received, not yet confirmed”." in words


def test_a_paused_practice_is_named_as_the_reason_why_nothing_happens(dana: Client, practice: Practice) -> None:
    PracticeRow.objects.update(paused_at=timezone.now(), paused_by="maria")
    opening = practice.opening(status="offering")
    words = text_of(dana.get(f"/admin/openings/{opening.pk}/"))
    assert "Everything is paused, so nobody is offered this time. Press “Go on” above when it may go on." in words


def test_the_question_about_a_day_stands_on_each_of_its_openings(dana: Client, practice: Practice) -> None:
    first = practice.opening(held="provider_day")
    other = practice.opening(held="provider_day", start=first.start + timedelta(minutes=1))
    next_week = practice.opening(held="provider_day", start=first.start + timedelta(days=7))
    guards.ask_about_day(other, "Several appointments were cancelled")
    for opening in (first, other):
        page = dana.get(f"/admin/openings/{opening.pk}/")
        assert [item.title for item in page.context["work"]] == ["Several appointments were cancelled"]
    assert dana.get(f"/admin/openings/{next_week.pk}/").context["work"] == []


def test_those_whom_the_time_suits_stand_first_when_one_books_by_hand(dana: Client, practice: Practice) -> None:
    opening = practice.opening()
    now = timezone.now()
    for rank, name, suits in ((1, "Unfit", False), (2, "Fit", True)):
        entry = practice.entry(factories.patient(family_name=name, locations=[practice.riverside]))
        CandidateVerdict.objects.create(opening=opening, entry=entry, rank=rank, eligible=suits, computed_at=now)
    page = dana.get(f"/admin/openings/{opening.pk}/choose/")
    assert [row.entry.patient.family_name for row, _ in page.context["in_line"]] == ["Fit", "Unfit"]


def test_every_reason_to_hold_a_time_has_its_advice(practice: Practice) -> None:
    for held in Opening.Held:
        if held:
            opening = practice.opening(held=held)
            assert what_next(opening, [], [], is_paused=False).startswith(("Nobody", "Look", "The EHR")), held


@pytest.mark.parametrize(
    ("method", "result", "says"),
    [
        ("SEND", "ok", "taken"),
        ("LIST", "ok", "this is what came"),
        ("SEND", "CarrierRefusesUs", "your account is not accepted"),
        ("LIST", "CarrierDown", "nothing, it is not reached"),
    ],
)
def test_a_call_to_a_carrier_is_told_in_words(practice: Practice, method: str, result: str, says: str) -> None:
    ApiCall.objects.create(
        system="sms", at=timezone.now(), actor="w", method=method, resource="message/1", duration_ms=5, result=result
    )
    assert latest_steps(1)[0].text == f"Carrier says: {says}"
