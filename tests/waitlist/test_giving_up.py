"""A patient gives up an appointment on the page that confirmed it; what follows is told as it becomes true."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from audit.models import AccessRecord
from scheduling import writebacks
from scheduling.models import Appointment, Patient, TimelineEntry, WorkItem, Writeback
from tests import factories
from tests.waitlist import pages
from tests.waitlist.conftest import Scene
from tests.waitlist.pages import heading, link_of, nobody_has_guessed, text  # noqa: F401
from waitlist import from_calendar, given_up, messages
from waitlist.cancellations import Outcome, cancel_by_patient
from waitlist.models import Claim, Message, Offer, WaitlistEntry

pytestmark = pytest.mark.django_db
WAITS = "You are on the list for another time."


def press(offer: Offer, then: str = "", channel: str = "sms", **fields: str) -> Any:
    """Give the appointment up, in a browser without cookies that checks forgery protection."""
    return Client(enforce_csrf_checks=True).post(f"{link_of(offer, channel)}cancel/", {"then": then, **fields})


def cancels() -> int:
    return Writeback.objects.filter(kind="cancel").count()


@pytest.fixture
def offer(scene: Scene) -> Offer:
    return pages.booked(scene)


def test_it_is_asked_first_and_looking_changes_nothing(offer: Offer, client: Client) -> None:
    page = client.get(link_of(offer))
    assert 'href="cancel/?lang=en"' in page.content.decode()
    before = pages.rows()
    asked = client.get(f"{link_of(offer)}cancel/")
    assert (heading(asked), "There is a problem" in text(asked)) == ("Cancel this appointment?", False)
    seen = AccessRecord.objects.filter(action="view").latest("pk")
    assert (seen.subject_id, seen.location_id) == (str(offer.pk), offer.opening.location_id)
    assert seen.detail == {"page": "cancel", "patient": offer.patient_id}
    assert client.head(f"{link_of(offer)}cancel/").status_code == 200
    assert "Choose one of the answers." in text(press(offer))
    assert pages.rows() == before


@pytest.mark.parametrize(("then", "status"), [("another", "waiting"), ("nothing", "booked")])
def test_it_goes_to_the_ehr_and_the_page_says_that_it_is_not_done_yet(
    offer: Offer, client: Client, then: str, status: str
) -> None:
    answer = press(offer, then)
    assert (answer.status_code, answer.headers["Location"]) == (303, link_of(offer))
    page = client.get(link_of(offer))
    assert heading(page) == "You asked us to cancel. It is not canceled yet."
    assert page.headers["Refresh"] == "3"
    assert cancels() == 1
    assert WaitlistEntry.objects.get(pk=offer.entry_id).status == status
    # Pressed again, on another device or by the back button: nothing more.
    assert press(offer, then).status_code == 303
    assert cancels() == 1
    Appointment.objects.filter(origin="waitlist").update(status="cancelled")
    assert heading(client.get(link_of(offer))) == "You do not have this appointment any more", "the EHR shows it"
    Writeback.objects.filter(kind="cancel").update(status="done")
    assert heading(client.get(link_of(offer))) == "You do not have this appointment any more"


def test_what_the_ehr_did_not_cancel_is_an_appointment_still(offer: Offer, client: Client) -> None:
    press(offer, "nothing")
    Writeback.objects.filter(kind="cancel").update(status="refused")
    assert heading(client.get(link_of(offer))) == "You have this appointment"


@pytest.mark.parametrize(("then", "status"), [("another", "waiting"), ("nothing", "left")])
def test_a_yes_that_is_not_written_yet_is_taken_back_at_once(
    scene: Scene, client: Client, then: str, status: str
) -> None:
    elsewhere = scene.offered(1, hours=30)[0]
    scene.yes(elsewhere)
    offer = pages.received(scene)
    press(offer, then)
    assert heading(client.get(link_of(offer))) == "You do not have this appointment any more"
    assert WaitlistEntry.objects.get(pk=offer.entry_id).status == status
    assert cancels() == 0
    assert (WAITS in Message.objects.get(kind="cancelled", channel="sms").body) == (then == "another")
    assert Claim.objects.get(patient=elsewhere.patient).state == "pending", "another patient's stands"


@pytest.mark.parametrize("then", ["another", "nothing"])
def test_what_the_patient_hears_of_the_end_says_whether_they_wait(scene: Scene, offer: Offer, then: str) -> None:
    press(offer, then)
    Appointment.objects.filter(origin="waitlist").update(status="cancelled")
    given_up.settle(Writeback.objects.get(kind="cancel"), writebacks.Outcome("done"))
    said = Message.objects.get(kind="cancelled", channel="sms").body
    assert (WAITS in said, "For a new time, call" in said) == ((True, False) if then == "another" else (False, True))


@pytest.mark.parametrize(("then", "status"), [("another", "waiting"), ("nothing", "left")])
def test_a_yes_on_its_way_to_the_ehr_is_cancelled_by_staff_and_the_page_says_so(
    scene: Scene, client: Client, then: str, status: str
) -> None:
    """Whether the EHR has it by now is not known, so that nothing can be taken back by the machine."""
    offer = pages.received(scene)
    Writeback.objects.update(status="unknown", sent_at=timezone.now())
    claim = Claim.objects.get()
    press(offer, then)
    for _ in ("not known yet", "confirmed by the EHR"):
        page = client.get(link_of(offer))
        assert heading(page) == "You asked us to cancel. It is not canceled yet."
        assert "Our front desk cancels it for you. You do not need to do anything more. Look again" in text(page)
        assert "Refresh" not in page.headers
        assert client.get(f"{link_of(offer)}cancel/").status_code == 303  # asked for once
        scene.answer(claim)
    assert claim.state == "confirmed"
    # Who wants another time has not got it by a booking that they gave up.
    assert WaitlistEntry.objects.get(pk=offer.entry_id).status == status
    Appointment.objects.filter(origin="waitlist").update(status="cancelled")
    assert heading(client.get(link_of(offer))) == "You do not have this appointment any more"


@pytest.mark.parametrize(("origin", "after"), [("booking", "staff"), ("ehr", "ehr")])
def test_who_was_moved_up_and_wants_another_time_waits_as_one_who_has_none(
    scene: Scene, origin: str, after: str
) -> None:
    """The later appointment is gone: an entry that still named it would be offered nothing, or end with it."""
    person = factories.patient()
    later = scene.booked(person, hours=480)
    entry = factories.entry(person, scene.type, move_up=later, origin=origin)
    assert scene.look(scene.opening(hours=10)) == 1
    scene.deliver()
    offer = Offer.objects.select_related("opening", "patient", "entry", "appointment_type").get(entry=entry)
    scene.yes(offer)
    scene.answer(Claim.objects.get())
    Appointment.objects.filter(claim__offer=offer).update(status="booked")
    Writeback.objects.filter(kind="create").update(status="done")
    press(offer, "another")
    Appointment.objects.update(status="cancelled")
    from_calendar.follow()
    entry.refresh_from_db()
    assert (entry.status, entry.move_up_id, entry.origin) == ("waiting", None, after)
    assert scene.look(scene.opening(hours=20)) == 1


def test_a_question_that_is_being_read_does_not_load_itself_again(scene: Scene, client: Client) -> None:
    """The page it came from does, as the booking is pending; here it would take back what was just chosen."""
    offer = pages.received(scene)
    assert "Refresh" in client.get(link_of(offer)).headers
    page = client.get(f"{link_of(offer)}cancel/")
    assert (heading(page), "Refresh" in page.headers) == ("Cancel this appointment?", False)


def test_where_no_birth_year_can_be_asked_an_e_mails_link_leads_to_the_phone(offer: Offer, client: Client) -> None:
    Patient.objects.update(birth_date=None)
    by_mail, by_text = (client.get(f"{link_of(offer, channel)}cancel/") for channel in ("email", "sms"))
    assert "We cannot take your answer on this page. Nothing is booked or changed." in text(by_mail)
    assert "<form" not in by_mail.content.decode()
    assert press(offer, "nothing", "email", birth_year="1980").status_code == 200
    assert cancels() == 0
    assert "<form" in by_text.content.decode()
    press(offer, "nothing")
    assert cancels() == 1


def test_from_an_e_mail_the_birth_year_is_asked(offer: Offer, client: Client) -> None:
    for channel in ("email", "sms"):
        asked = client.get(f"{link_of(offer, channel)}cancel/").content.decode()
        assert ('name="birth_year"' in asked) == (channel == "email")
    assert "Write the year with four digits" in text(press(offer, "nothing", "email"))
    wrong = press(offer, "nothing", "email", birth_year="1899")
    assert "not the year of birth that we know" in text(wrong)
    assert 'name="then" value="nothing" checked' in wrong.content.decode()
    assert cancels() == 0
    born = offer.patient.birth_date
    assert born is not None
    assert press(offer, "nothing", "email", birth_year=str(born.year)).status_code == 303
    assert cancels() == 1


@pytest.mark.parametrize(("kind", "way"), [("cancelled", "email"), ("not_cancelled", "call")])
def test_who_says_stop_before_it_left_hears_it_another_way(scene: Scene, kind: str, way: str) -> None:
    """A wish to cancel is owed its end, like a yes."""
    person = factories.patient(email="robin@example.org" if way == "email" else None)
    row = writebacks.request_cancel(scene.booked(person, hours=30), by_patient=True)
    phone = person.contact_points.get(system="phone")
    messages.queue(
        kind,
        messages.Address.of(phone),
        given_up.subject_of(row.appointment),
        given_up.describe(row),
        dedupe_key=f"cancel:{row.pk}:{kind}:sms:{phone.address_index[:24]}",
        initiated=False,
    )
    scene.text(person, "STOP")
    assert Message.objects.get(kind=kind, channel="sms").status == "suppressed"
    calls = list(WorkItem.objects.filter(kind="claim.tell").values_list("urgency", "patient"))
    sent = list(Message.objects.filter(kind=kind).exclude(channel="sms").values_list("channel", flat=True))
    assert (calls, sent) == (([], ["email"]) if way == "email" else ([(WorkItem.Urgency.RED, person.pk)], []))


def test_the_zone_is_named_where_it_differs_at_the_time_of_the_visit(scene: Scene) -> None:
    """Told in March, when Denver and Phoenix have one time, of a visit in July, when they do not."""
    scene.location.time_zone = "America/Denver"
    scene.location.save()
    person = factories.patient(email=None, time_zone="America/Phoenix")
    said = []
    for hours in (24 * 2, 24 * 120):
        appointment = scene.booked(person, hours=hours)
        given_up.say(writebacks.request_cancel(appointment, by_patient=True), "cancelled")
        said.append(Message.objects.order_by("-pk")[0].body)
    assert [" AM MT is" in body for body in said] == [False, True]


def test_what_has_begun_or_was_never_had_cannot_be_given_up(scene: Scene, client: Client) -> None:
    offer = pages.booked(scene)
    other = scene.offered(1, hours=30)[0]
    assert client.get(f"{link_of(other)}cancel/").status_code == 303
    scene.clock.move_to(offer.start)
    assert "cancel/" not in client.get(link_of(offer)).content.decode()
    for answer in (press(offer, "nothing"), client.get(f"{link_of(offer)}cancel/")):
        assert (answer.status_code, answer.headers["Location"]) == (303, link_of(offer))
    Appointment.objects.update(start=None, end=None)
    assert client.get(f"{link_of(offer)}cancel/").headers["Location"] == link_of(offer), "nobody knows when it is"
    scene.clock.move_to(offer.start - timedelta(hours=1))
    assert "cancel/" not in client.get(link_of(offer)).content.decode()
    assert cancels() == 0
    assert client.get("/o/" + "a" * 22 + "/cancel/").status_code == 404


def test_what_it_came_to_is_decided_by_what_is_true_now(scene: Scene, offer: Offer) -> None:
    appointment = Appointment.objects.get(claim__offer=offer)
    stale = Appointment.objects.get(pk=appointment.pk)
    Appointment.objects.update(status="cancelled")
    assert cancel_by_patient(stale, wants_another=False) == Outcome.GONE
    Appointment.objects.update(status="fulfilled")
    assert cancel_by_patient(appointment, wants_another=False) == Outcome.TOO_LATE
    Appointment.objects.update(status="booked")
    assert cancel_by_patient(appointment, wants_another=False, now=offer.start) == Outcome.TOO_LATE
    Appointment.objects.update(start=None, end=None)
    assert cancel_by_patient(appointment, wants_another=False) == Outcome.TOO_LATE
    Appointment.objects.update(start=offer.start, end=offer.end, status="pending")
    Claim.objects.all().delete()
    assert cancel_by_patient(appointment, wants_another=False) == Outcome.GONE
    assert cancels() == 0


def test_an_appointment_of_the_ehrs_own_is_given_up_and_nobody_elses_place_is_touched(
    scene: Scene, offer: Offer
) -> None:
    """The claims that there are belong to others."""
    entry = WaitlistEntry.objects.get(offers=offer)
    theirs = scene.booked(factories.patient(), hours=90)
    assert cancel_by_patient(theirs, wants_another=True) == Outcome.REQUESTED
    entry.refresh_from_db()
    assert entry.status == "booked"
    assert not TimelineEntry.objects.filter(kind="cancel.requested").exists()
    ours = Appointment.objects.get(claim__offer=offer)
    cancel_by_patient(ours, wants_another=True)
    entry.refresh_from_db()
    assert entry.status == "waiting"
    step = TimelineEntry.objects.get(kind="cancel.requested")
    assert (step.opening, step.data) == (offer.opening, {"writeback_id": ours.writebacks.get(kind="cancel").pk})
    assert cancel_by_patient(ours, wants_another=True) == Outcome.UNDER_WAY
    assert cancels() == 2
