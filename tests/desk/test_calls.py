"""The page of a call that offers a time: how long there is, and what to say, in the patient's language first."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from auditlog.models import LogEntry
from django.test import Client
from django.utils import timezone

from scheduling.models import Opening, Patient, WorkItem
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import text_of
from waitlist import claims, house_words, offering
from waitlist.models import Message
from waitlist.times import say, say_phone
from waitlist.wording import Words


def test_a_call_has_a_timer_and_the_words_in_the_patients_language_first(dana: Client, practice: Practice) -> None:
    stranger = factories.patient(given_name="Zoe", locations=[practice.riverside])
    elsewhen = practice.opening(status="offering", start=timezone.now() + timedelta(days=3))
    factories.offer(elsewhen, practice.entry(stranger))
    Patient.objects.filter(pk=practice.patient.pk).update(language="es-MX")
    opening = practice.opening(status="offering", waves_sent=1)
    offer = factories.offer(opening, practice.entry(), expires_at=timezone.now() + timedelta(minutes=41, seconds=50))
    item = offering.ask_for_call(offer, offering.NO_WAY)
    page = f"/admin/scheduling/workitem/{item.pk}/change/"
    said = text_of(dana.get(page))
    assert "Time left: in 42 min" in said
    number = practice.patient.contact_points.get(system="phone").value
    dial = f'Call <a href="tel:{number}">{say_phone(number)}</a>'
    html = dana.get(page).content.decode()
    assert html.index("Time left") < html.index(dial) < html.index("¿Hablo con")
    spanish, english = said.index("¿Hablo con Robin Alvarez?"), said.index("Am I speaking with Robin Alvarez?")
    assert spanish < english
    assert "with Dr. Mei Chen" in said
    assert "Zoe" not in said
    until = say(offer.expires_at.astimezone(practice.riverside.zone), "en")
    assert f"until {until}. The first person to say yes" in said
    assert practice.followup.name not in said[spanish:english]
    for label in ("They said yes", "They said no", "Not reached"):
        assert label in said
    house_words.save("es", "call", "voice", Words("", "{practice}, {patient}: {time}. Hola."), by="maria")
    assert "Hola." in text_of(dana.get(page))
    assert "Alvarez" not in text_of(dana.get("/admin/words/es/call/voice/"))
    assert not Message.objects.exists()
    WorkItem.objects.filter(pk=item.pk).update(due_at=timezone.now() - timedelta(minutes=5))
    assert "The time for this is over: 5 min ago" in text_of(dana.get(page))
    factories.contact(practice.patient, "+12125550166", use="old")
    factories.contact(practice.patient, "+12125550167", valid_until=date(2020, 1, 1))
    html = dana.get(page).content.decode()
    assert number in html
    assert "5550166" not in html
    assert "5550167" not in html
    Patient.objects.filter(pk=practice.patient.pk).update(restricted=True)
    assert "tel:" not in dana.get(page).content.decode()


def test_whoever_is_to_call_is_told_to_wait_while_somebody_elses_yes_is_being_booked(
    dana: Client, practice: Practice
) -> None:
    opening = practice.opening(status="offering", waves_sent=1)
    offer = factories.offer(opening, practice.entry(), expires_at=timezone.now() + timedelta(minutes=41))
    page = f"/admin/scheduling/workitem/{offering.ask_for_call(offer, offering.NO_WAY).pk}/change/"
    assert "Do not call yet" not in text_of(dana.get(page))
    Opening.objects.filter(pk=opening.pk).update(status="claimed")
    said = text_of(dana.get(page))
    assert said.index("Somebody has said yes to this time") < said.index("What to say")
    Opening.objects.filter(pk=opening.pk).update(status="offering")
    assert "Do not call yet" not in text_of(dana.get(page))


@pytest.mark.parametrize(
    ("button", "said"),
    [
        ("yes", "Received: the booking is on its way to the EHR."),
        ("no", "Noted: the patient does not want this time."),
        ("missed", "Noted: not reached. The patient keeps their place on the list."),
    ],
)
def test_a_call_is_finished_by_whoever_made_it(dana: Client, practice: Practice, button: str, said: str) -> None:
    opening = practice.opening(status="offering", waves_sent=1)
    offer = factories.offer(opening, practice.entry(), expires_at=timezone.now() + timedelta(minutes=41))
    item = offering.ask_for_call(offer, offering.NO_WAY)
    dana.post(f"/admin/scheduling/workitem/{item.pk}/do/{button}/")
    item.refresh_from_db()
    assert (item.status, item.done_by) == ("done", "dana")
    assert item.resolution.startswith(said)
    changes = LogEntry.objects.get_for_object(item).values_list("actor__username", "changes__done_by")
    assert ("dana", ["system", "dana"]) in changes


def test_a_call_that_was_finished_before_is_not_signed_anew(dana: Client, practice: Practice) -> None:
    opening = practice.opening(status="offering", waves_sent=1)
    offer = factories.offer(opening, practice.entry(), expires_at=timezone.now() + timedelta(minutes=41))
    item = offering.ask_for_call(offer, offering.NO_WAY)
    assert claims.take_back(offer, "staff") == 1
    dana.post(f"/admin/scheduling/workitem/{item.pk}/do/missed/")
    item.refresh_from_db()
    assert (item.done_by, item.resolution) == ("system", "The time is no longer offered.")
