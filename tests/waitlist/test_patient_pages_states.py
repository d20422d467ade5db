"""Every state of an offer has its page, whose heading says it in a sentence; looking changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone
from icalendar import Calendar

from audit.models import AccessRecord
from scheduling import writebacks
from scheduling.models import Appointment, Location, Opening, Patient, Writeback
from tests import factories
from tests.waitlist import pages
from tests.waitlist.conftest import Scene
from tests.waitlist.pages import STATES, heading, link_of, nobody_has_guessed, text  # noqa: F401
from waitlist.models import Claim, Offer, WaitlistEntry
from waitlist.settlement import release

pytestmark = pytest.mark.django_db
NEWEST = "Please open the link in the newest message from us, or call us."
EACH = pytest.mark.parametrize(("state", "english", "spanish"), STATES, ids=[each[0].__name__ for each in STATES])


@EACH
def test_the_heading_says_the_state(
    scene: Scene, client: Client, state: Callable[[Scene], Offer], english: str, spanish: str
) -> None:
    path = link_of(state(scene))
    shown = client.get(path)
    assert (shown.status_code, heading(shown)) == (200, english)
    in_spanish = client.get(path, {"lang": "es"})
    assert (in_spanish.status_code, heading(in_spanish)) == (200, spanish)
    assert in_spanish.headers["Content-Language"] == "es"


@EACH
def test_opening_a_link_changes_nothing(
    scene: Scene, client: Client, state: Callable[[Scene], Offer], english: str, spanish: str
) -> None:
    offer = state(scene)
    path = link_of(offer)
    before = pages.rows()
    for _ in range(2):
        client.get(path)
        client.get(path, {"answer": "yes", "lang": "es"})
        head = client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        client.get(f"{path}calendar.ics")
    assert pages.rows() == before
    assert AccessRecord.objects.filter(actor_name=f"patient {offer.patient_id}", action="view").count() >= 4


@EACH
def test_a_yes_is_offered_only_where_it_would_be_taken(
    scene: Scene, client: Client, state: Callable[[Scene], Offer], english: str, spanish: str
) -> None:
    offer = state(scene)
    has_button = 'value="yes"' in client.get(link_of(offer)).content.decode()
    claims_before = Claim.objects.count()
    pages.say(offer, "yes")
    assert (Claim.objects.count() > claims_before) == has_button


@EACH
def test_a_page_names_no_visit_no_patient_and_no_provider(
    scene: Scene, client: Client, state: Callable[[Scene], Offer], english: str, spanish: str
) -> None:
    offer = state(scene)
    said = client.get(link_of(offer)).content.decode()
    patient = offer.patient
    for secret in (patient.given_name, patient.family_name, scene.type.name, scene.provider.name):
        assert secret not in said


def test_the_question_says_what_when_and_where(scene: Scene, client: Client) -> None:
    Location.objects.update(address="12 Elm Street, Springfield", name="Downtown office")
    offer = pages.question(scene)
    shown = client.get(link_of(offer))
    assert text(shown) == (
        "Do you want this appointment? "
        "When Tuesday, March 3 at 8:00 in the evening (Eastern time) "
        "Where Downtown office 12 Elm Street, Springfield "
        "Please answer by Tuesday, March 3 at 7:00 in the evening. We ask other people too. The first person to say "
        "yes gets the time. Yes, I&#x27;ll take it Not this one Never on a Tuesday See or change what you wait for"
    ).replace("&#x27;", "'")
    body = shown.content.decode()
    assert '<a class="phone" href="tel:+12125550101">(212) 555-0101</a>' in body
    assert "<title>Do you want this appointment? - Elm Street Clinic</title>" in body
    assert "Elm Street Clinic" in body


def test_an_appointment_that_the_ehr_moved_is_told_by_its_new_time(scene: Scene, client: Client) -> None:
    offer = pages.booked(scene)
    later = offer.start + timedelta(hours=1)
    Appointment.objects.filter(claim__offer=offer).update(start=later, end=later + timedelta(minutes=30))
    assert "When Tuesday, March 3 at 9:00 at night (Eastern time)" in text(client.get(link_of(offer)))


def test_visits_that_are_not_in_the_way_leave_the_question(scene: Scene, client: Client) -> None:
    offer = pages.question(scene)
    beside, other = factories.provider(), factories.patient()
    kept = {"location": scene.location, "type": scene.type}
    for start in (offer.start - timedelta(minutes=30), offer.end):
        factories.appointment(other, scene.provider, start=start, **kept)
        factories.appointment(offer.patient, beside, start=start, **kept)
    factories.appointment(other, beside, start=offer.start, **kept)
    factories.appointment(offer.patient, scene.provider, start=offer.start, status="cancelled", **kept)
    page = client.get(link_of(offer))
    assert heading(page) == "Do you want this appointment?"
    assert 'value="yes"' in page.content.decode()


def test_who_has_another_appointment_then_in_the_ehr_is_told_so(scene: Scene, client: Client) -> None:
    offer = pages.received(scene)
    scene.answer(Claim.objects.get(), "refused", code="patient_busy")
    assert heading(client.get(link_of(offer))) == "You already have an appointment at this time"


def test_the_later_appointment_that_a_yes_would_move_is_not_in_its_way(scene: Scene, client: Client) -> None:
    offer = pages.question(scene)
    later = factories.appointment(
        offer.patient, factories.provider(), scene.location, scene.type, start=offer.start + timedelta(minutes=15)
    )
    assert heading(client.get(link_of(offer))) == "You already have an appointment at this time"
    Offer.objects.update(move_up=later)
    assert heading(client.get(link_of(offer))) == "Do you want this appointment?"


def test_a_cancellation_that_staff_started_is_not_said_to_be_the_patients(scene: Scene, client: Client) -> None:
    offer = pages.booked(scene)
    writebacks.request_cancel(Appointment.objects.get(claim__offer=offer))
    assert heading(client.get(link_of(offer))) == "You have this appointment"


def test_what_was_given_up_and_could_not_be_booked_is_not_canceled_for_ever(scene: Scene, client: Client) -> None:
    offer = pages.received(scene)
    Writeback.objects.update(status="unknown", sent_at=timezone.now())
    client.post(f"{link_of(offer)}cancel/", {"then": "nothing"})
    assert heading(client.get(link_of(offer))) == "You asked us to cancel. It is not canceled yet."
    scene.answer(Claim.objects.get(), "refused")
    assert heading(client.get(link_of(offer))) == "We could not book this time for you"


@pytest.mark.parametrize(
    ("states", "by_call", "head"),
    [
        (("refused", "confirmed"), 1, "You have this appointment"),
        (("released", "pending"), 1, "We have your answer. It is not confirmed yet."),
        (("released",), 0, "Do you want this appointment?"),
    ],
)
def test_what_the_patient_has_counts_however_they_said_yes_and_not_what_they_had(
    scene: Scene, client: Client, states: tuple[str, ...], by_call: int, head: str
) -> None:
    """Once by the offer's link and once on the phone, where the call is not the offer's."""
    offer = scene.offered(1)[0]
    for number, state in enumerate(states):
        claim = scene.yes(offer).claim
        assert claim is not None
        if state == "confirmed":
            scene.answer(claim)
        elif state == "refused":
            scene.answer(claim, "refused")
        elif state == "released":
            assert release(claim, "patient")
        if number == by_call:
            Claim.objects.filter(pk=claim.pk).update(offer=None)
        Opening.objects.update(status="open")
        Offer.objects.update(status="sent", answered_at=None)
        WaitlistEntry.objects.update(status="waiting")
    assert heading(client.get(link_of(offer))) == head


def test_an_old_link_says_nothing_of_what_came_by_a_later_one(scene: Scene, client: Client) -> None:
    old = pages.expired(scene)
    Offer.objects.filter(pk=old.pk).update(status="expired")
    scene.look(scene.opening(hours=34))
    scene.deliver()
    later = Offer.objects.exclude(pk=old.pk).get()
    assert later.patient_id == old.patient_id
    claim = scene.yes(later).claim
    assert claim is not None
    scene.answer(claim)
    assert heading(client.get(link_of(old))) == "This offer has ended"
    assert heading(client.get(link_of(later))) == "You have this appointment"


def test_a_location_that_signs_neutrally_is_not_named(scene: Scene, client: Client) -> None:
    Location.objects.update(signature="EHC", name="Elm Oncology", address="12 Elm Street")
    body = client.get(link_of(pages.question(scene))).content.decode()
    assert "Elm Oncology" not in body
    assert "Elm Street Clinic" not in body
    assert "EHC" in body
    assert "12 Elm Street" in body
    scene.yes(Offer.objects.get())
    scene.answer(Claim.objects.get())
    kept = client.get(f"{link_of(Offer.objects.get())}calendar.ics").content.decode()
    assert "SUMMARY:Appointment: EHC" in kept, "it is shown on a screen that others see"
    assert not re.search("Elm (Oncology|Street Clinic)", kept)


def test_the_provider_is_named_where_the_location_does(scene: Scene, client: Client) -> None:
    Location.objects.update(names_providers=True)
    offer = pages.question(scene)
    assert f"With {scene.provider.name}" in text(client.get(link_of(offer)))


def test_a_move_up_says_which_appointment_a_yes_gives_up(scene: Scene, client: Client) -> None:
    person = factories.patient()
    later = factories.appointment(
        person, scene.provider, scene.location, scene.type, start=factories.in_days(0).replace(month=3, day=12, hour=14)
    )
    entry = factories.entry(person, scene.type, move_up=later)
    opening = scene.opening(hours=10)
    assert scene.look(opening) == 1
    scene.deliver()
    offer = Offer.objects.get(entry=entry)
    path = link_of(offer)
    kept = "Thursday, March 12 at 10:00 in the morning"
    assert (
        f"You keep {kept} unless we confirm this one. If we confirm this one, we cancel the other one for you."
        in text(client.get(path))
    )
    pages.say(offer, "yes")
    assert f"You keep {kept} unless we confirm this one." in text(client.get(path))
    scene.answer(Claim.objects.get())
    assert f"We are canceling {kept} for you." in text(client.get(path))


def test_the_pending_page_looks_again_by_itself_until_it_is_settled(scene: Scene, client: Client) -> None:
    offer = pages.received(scene)
    path = link_of(offer)
    reference = Claim.objects.get().appointment.reference
    page = client.get(path)
    assert page.headers["Refresh"] == "3"
    assert "Refresh" not in client.get(f"{path}?still=1").headers
    assert f"Reference {reference}" in text(page)
    assert "If you hear nothing by Tuesday, March 3 at 3:00 in the afternoon, call us." in text(page)
    scene.pass_time(minutes=5)
    assert client.get(path).headers["Refresh"] == "15"
    scene.pass_time(hours=5)
    late = client.get(path)
    assert "Refresh" not in late.headers
    assert "Look again" in text(late)
    scene.answer(Claim.objects.get())
    settled = client.get(path)
    assert "Refresh" not in settled.headers
    assert f"Reference {reference}" in text(settled)


@pytest.mark.parametrize("state", [pages.confirmed, pages.refused, pages.canceled, pages.released])
def test_a_page_that_tells_the_end_does_not_load_itself_again(
    scene: Scene, client: Client, state: Callable[[Scene], Offer]
) -> None:
    assert "Refresh" not in client.get(link_of(state(scene))).headers


def test_a_booking_that_takes_longer_than_we_said_is_a_reason_to_call_once_somebody_answers(
    scene: Scene, client: Client
) -> None:
    offer = scene.offered(1, hours=30)[0]
    scene.yes(offer)
    Claim.objects.update(chase_at=None)
    assert "It takes longer than we said. Please call us." in text(client.get(link_of(offer)))
    scene.pass_time(hours=17)  # three at night
    by_night = text(client.get(link_of(offer)))
    assert "If you hear nothing by Wednesday, March 4 at " in by_night
    assert "It takes longer than we said" not in by_night


def test_a_confirmed_appointment_comes_as_a_calendar_file(scene: Scene, client: Client) -> None:
    Location.objects.update(address="12 Elm Street; Springfield")
    offer = pages.confirmed(scene)
    path = link_of(offer)
    assert 'href="calendar.ics?lang=en"' in client.get(path).content.decode()
    answer = client.get(f"{path}calendar.ics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/calendar; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="appointment.ics"'
    seen = AccessRecord.objects.filter(action="view").latest("pk")
    assert (seen.subject_kind, seen.subject_id) == ("waitlist.offer", str(offer.pk))
    assert seen.location_id == scene.location.pk
    assert seen.detail == {"page": "calendar", "patient": offer.patient_id}
    lines = answer.content.decode().split("\r\n")
    assert "DTSTART:20260304T010000Z" in lines
    assert "DTEND:20260304T013000Z" in lines
    assert "SUMMARY:Appointment: Elm Street Clinic" in lines
    assert r"LOCATION:12 Elm Street\; Springfield" in lines
    reference = Claim.objects.get().appointment.reference
    assert f"UID:{reference}@appointments.invalid" in lines
    [event] = Calendar.from_ical(answer.content).walk("VEVENT")
    assert event["DESCRIPTION"] == (
        f"Tuesday, March 3 at 8:00 in the evening (Eastern time). Reference: {reference}. "
        "If you cannot come, call (212) 555-0101."
    )
    assert all(len(line.encode()) <= 75 for line in lines)
    # Opened again, it is the same event and no second one.
    [later] = Calendar.from_ical(client.get(f"{path}calendar.ics?lang=es").content).walk("VEVENT")
    assert (later["UID"], later.start) == (event["UID"], event.start)
    assert later["DESCRIPTION"].startswith("martes 3 de marzo, a las 8:00 de la noche (hora del Este). Referencia: ")


@pytest.mark.parametrize("state", [pages.question, pages.received, pages.refused, pages.canceled, pages.filled])
def test_without_a_confirmation_there_is_no_calendar_file(
    scene: Scene, client: Client, state: Callable[[Scene], Offer]
) -> None:
    answer = client.get(f"{link_of(state(scene))}calendar.ics")
    assert (answer.status_code, heading(answer)) == (404, "This link does not work")


def test_the_patients_language_is_the_first_and_the_link_changes_it(scene: Scene, client: Client) -> None:
    offer = scene.offered(1, patient_language="es-MX")[0]
    path = link_of(offer)
    page = client.get(path)
    body = page.content.decode()
    assert '<html lang="es">' in body
    assert heading(page) == "¿Quiere esta cita?"
    assert "martes 3 de marzo, a las 8:00 de la noche (hora del Este)" in body
    assert '<a class="language" href="?lang=en" lang="en" hreflang="en">English</a>' in body
    assert heading(client.get(path, {"lang": "en"})) == "Do you want this appointment?"
    assert heading(client.get(path, {"lang": "<script>"})) == "¿Quiere esta cita?"


def test_no_state_is_left_without_spanish(scene: Scene, client: Client) -> None:
    words = {"the", "you", "your", "time", "appointment", "please", "booked", "we"}
    path = link_of(pages.question(scene))
    found = set(text(client.get(path, {"lang": "es"})).lower().replace(".", "").split())
    assert found & words == set()


def test_a_test_installation_says_so_on_every_page(scene: Scene, client: Client, settings: object) -> None:
    path = link_of(pages.question(scene))
    said = "this page is for trying out. No appointment here is real."
    settings.INSTALLATION = "test"  # type: ignore[attr-defined]
    assert said in client.get(path).content.decode()
    assert said in client.get("/o/unknown/").content.decode()
    settings.INSTALLATION = "live"  # type: ignore[attr-defined]
    assert said not in client.get(path).content.decode()


@pytest.mark.parametrize("minutes", [30, 31])
def test_after_its_time_a_link_is_as_dead_as_one_that_never_was(scene: Scene, client: Client, minutes: int) -> None:
    path = link_of(pages.confirmed(scene))
    assert client.get(f"{path}request/").status_code == 200
    scene.pass_time(hours=10, minutes=minutes)
    for below in ("calendar.ics", "cancel/", "request/", "request/contact/"):
        assert client.get(f"{path}{below}").status_code == 404, below
    past, guessed = client.get(path), client.get("/o/" + "a" * 32 + "/")
    assert past.status_code == guessed.status_code == 404
    assert past.content == guessed.content


@pytest.mark.parametrize("tries", [1, 21])
def test_old_wrong_and_guessed_links_are_answered_alike_however_often_they_are_tried(
    scene: Scene, client: Client, tries: int
) -> None:
    path = link_of(pages.confirmed(scene))
    scene.pass_time(hours=10, minutes=31)
    answers = set()
    below = ("", "cancel/", "calendar.ics", "request/", "request/contact/")
    for tried in (*(f"{each}{page}" for each in (path, "/o/" + "a" * 32 + "/") for page in below), "/r/x/"):
        cache.clear()
        for _ in range(tries):
            page = client.get(tried)
        answers.add((page.status_code, page.content))
    [(status, body)] = answers
    assert status == (404 if tries == 1 else 429)
    assert NEWEST in body.decode()
    assert "(212) 555-0100" in body.decode()


@pytest.mark.parametrize(
    "state",
    [
        *(pages.refused, pages.canceled, pages.released, pages.first, pages.filled, pages.declined_and_gone),
        *(pages.expired, pages.withdrawn, pages.changed),
    ],
)
def test_who_holds_a_used_link_reads_what_is_true_and_the_same_friendly_sentence(
    scene: Scene, client: Client, state: Callable[[Scene], Offer]
) -> None:
    path = link_of(state(scene))
    page = client.get(path)
    assert (page.status_code, heading(page) == "This link does not work") == (200, False)
    assert NEWEST in text(page)
    assert "tel:+12125550101" in page.content.decode()
    assert "Abra el enlace del mensaje más reciente que le mandamos, o llámenos." in text(client.get(f"{path}?lang=es"))


def test_a_restricted_patient_is_asked_to_call(scene: Scene, client: Client) -> None:
    offer = pages.call(scene)
    page = client.get(link_of(offer))
    assert "We cannot take your answer on this page. Nothing is booked or changed. Call (212) 555-0101" in text(page)
    assert Patient.objects.get(pk=offer.patient_id).restricted


def test_a_reader_elsewhere_sees_the_time_on_their_own_clock_too(scene: Scene, client: Client) -> None:
    offer = pages.question(scene)
    Patient.objects.filter(pk=offer.patient_id).update(time_zone="America/Chicago")
    assert "On your clock: Tuesday, March 3 at 7:00 in the evening (Central time)" in text(client.get(link_of(offer)))
    # Another name for the same clock is no news.
    Patient.objects.filter(pk=offer.patient_id).update(time_zone="America/Detroit")
    assert "On your clock" not in text(client.get(link_of(offer)))


def test_who_lost_it_keeps_their_place_and_no_number_in_line_is_promised(scene: Scene, client: Client) -> None:
    page = client.get(link_of(pages.filled(scene)))
    assert "You keep your place on the list" in text(page)
    assert "We do not promise a number in line" in text(page)
