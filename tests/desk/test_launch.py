"""Before going live: every number leads to whom it counts, and what a person states holds for the number it was of."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from scheduling.models import ContactPoint, Patient
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import plain, records, said, text_of
from waitlist import launch, reach
from waitlist.models import ConsentRecord, LaunchStatement

SENDER = "+12125550147"


@pytest.fixture
def texting(settings: object) -> None:
    settings.SMS_CHANNEL, settings.SMS_FROM = "twilio", SENDER  # type: ignore[attr-defined]


def line(client: Client, title: str) -> str:
    page = client.get("/admin/launch/").content.decode()
    return next(plain(each) for each in page.split("<li>") if f'<span class="name">{title}</span>' in each)


def waiting(practice: Practice, **fields: object) -> Patient:
    patient = factories.patient(locations=[practice.riverside], **fields)
    practice.entry(patient)
    return patient


def test_each_count_leads_to_whom_it_counts(dana: Client, practice: Practice) -> None:
    practice.entry(practice.their_patient)  # at Lakeview, where Dana is not
    texted, mail_only, opted_out, dead, nobody = (waiting(practice) for _ in range(5))
    phones = {each.pk: each.contact_points.filter(system="phone") for each in (mail_only, opted_out, dead, nobody)}
    phones[mail_only.pk].update(can_text=False)
    opted_out.contact_points.filter(system="email").delete()
    factories.consents(phones[opted_out.pk][0], ConsentRecord.Action.REVOKED)
    dead.contact_points.filter(system="email").delete()
    phones[dead.pk].update(state=ContactPoint.State.INVALID)
    nobody.contact_points.all().delete()
    found = reach.survey(reach.waiting(_user("dana")), timezone.localdate())
    assert {pk: (str(each.way), str(each.barrier or "")) for pk, each in found.items()} == {
        texted.pk: ("text", ""),
        mail_only.pk: ("email", "landline"),
        opted_out.pk: ("call", "opted_out"),
        dead.pk: ("nobody", "dead_number"),
        nobody.pk: ("nobody", "no_number"),
    }
    assert "1 of 5 who wait can be texted, 20 %" in text_of(dana.get("/admin/launch/"))
    listed = dana.get("/admin/launch/list/landline/")
    assert [person.pk for person, _ in listed.context["rows"]] == [mail_only.pk]
    assert records("list") == [("scheduling.patient", str(mail_only.pk))]
    assert dana.get("/admin/launch/list/unheard-of/").status_code == 404


def _user(name: str) -> User:
    return User.objects.get(username=name)


@pytest.mark.usefixtures("texting")
def test_what_is_stated_of_one_number_does_not_hold_for_the_next(
    maria: Client, practice: Practice, settings: object
) -> None:
    assert "not registered" in line(maria, "Sender")
    given = {"answer": "10dlc", "reference": "C-1", "done_on": "2026-01-05"}
    assert said(maria, maria.post("/admin/launch/state/sender/", given)) == "Recorded, with your name and the day."
    assert "10DLC campaign C-1 of Jan 5, 2026, stated by maria" in line(maria, "Sender")
    maria.post("/admin/launch/state/calls/", {"answer": "reached", "done_on": "2026-01-06"})
    assert "They reach you: tested Jan 6, 2026 by maria" in line(maria, "Calls to the sender")
    maria.post("/admin/launch/state/calls/", {"answer": "not_yet", "done_on": "2026-01-07"})
    assert "not tested" in line(maria, "Calls to the sender")
    settings.SMS_FROM = "+12125550148"  # type: ignore[attr-defined]
    assert "not registered" in line(maria, "Sender")
    # A registration that was given up again is none, however it stood before.
    settings.SMS_FROM = SENDER  # type: ignore[attr-defined]
    assert "10DLC campaign C-1" in line(maria, "Sender")
    maria.post("/admin/launch/state/sender/", {"answer": "not_yet", "done_on": "2026-01-08"})
    assert "not registered" in line(maria, "Sender")


@pytest.mark.parametrize(
    ("answer", "sender", "reference", "day", "why"),
    [
        ("10dlc", SENDER, "", 0, "registration's id"),
        ("10dlc", SENDER, "C-1", 1, "lies ahead"),
        ("reached", SENDER, "C-1", 0, "Choose one"),
        ("toll_free", SENDER, "C-1", 0, "needs a 10DLC campaign"),
        ("10dlc", "+18885550100", "C-1", 0, "toll-free number, which is verified"),
    ],
)
def test_what_cannot_be_true_is_not_recorded(
    db: None, answer: str, sender: str, reference: str, day: int, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        launch.state("sender", answer, sender, reference=reference, done_on=_in(day), by="maria")
    assert not LaunchStatement.objects.exists()


@pytest.mark.parametrize(
    ("answer", "sender", "reference", "day"),
    [
        ("toll_free", "+18885550100", " V-1 ", 0),
        ("10dlc", SENDER, "C-1", -1),
        ("toll_free", "MG0a1b2c3d4e5f", "V-1", 0),  # a pool of numbers says nothing of its own kind
        ("not_yet", SENDER, "", 0),
    ],
)
def test_what_can_be_true_is_recorded_of_its_number(
    db: None, answer: str, sender: str, reference: str, day: int
) -> None:
    row = launch.state("sender", answer, sender, reference=reference, done_on=_in(day), by="maria")
    assert (launch.newest("sender", sender), launch.newest("calls", sender)) == (row, None)
    assert (row.reference, row.stated_by, launch.holds(row)) == (reference.strip(), "maria", answer != "not_yet")


def _in(days: int) -> date:
    return timezone.localdate() + timedelta(days=days)


def test_today_leads_there_until_the_installation_is_live(dana: Client, practice: Practice, settings: object) -> None:
    assert django_settings.INSTALLATION == "test"
    assert "Before you go live" in text_of(dana.get("/admin/"))
    assert "Messages that leave the building reach" in line(dana, "Installation")
    settings.INSTALLATION = "live"  # type: ignore[attr-defined]
    assert "Before you go live" not in text_of(dana.get("/admin/"))


@pytest.mark.usefixtures("texting")
def test_the_front_desk_states_nothing(dana: Client, practice: Practice) -> None:
    assert dana.post("/admin/launch/state/calls/", {"answer": "reached", "done_on": "2026-01-06"}).status_code == 403
    assert not LaunchStatement.objects.exists()


@pytest.mark.parametrize(
    ("carrier", "word"), [("console", "none"), ("twilio", "not registered"), ("carrier_of_next_year", "not registered")]
)
def test_every_carrier_that_sends_has_a_sender_to_be_stated(
    dana: Client, practice: Practice, settings: Any, carrier: str, word: str
) -> None:
    settings.SMS_CHANNEL, settings.SMS_FROM = carrier, SENDER
    assert f"Sender {word} " in line(dana, "Sender")


@pytest.mark.parametrize(
    ("fields", "said_of_it"),
    [
        ({}, "EHR connected 1 connection at work."),
        ({"failing_since": True}, "EHR does not answer The EHR: No answer for "),
        ({"state": "stopped"}, "EHR stopped The EHR: The EHR refused our login."),
        ({"state": "paused"}, "EHR paused The EHR: A person paused it"),
        ({"loaded_at": None}, "EHR missing No EHR is connected and loaded."),
    ],
)
def test_an_ehr_that_is_not_well_is_not_called_connected(
    dana: Client, practice: Practice, fields: dict[str, Any], said_of_it: str
) -> None:
    for name, value in fields.items():
        setattr(practice.connection, name, timezone.now() if value is True else value)
    practice.connection.save()
    assert line(dana, "EHR").startswith(said_of_it)
    # One that is not begun yet is no trouble of another that works.
    factories.connection(loaded_at=timezone.now(), state="paused")
    if not fields:
        assert line(dana, "EHR").startswith(said_of_it)


def test_an_ehr_in_shadow_says_so(dana: Client, practice: Practice) -> None:
    practice.source.shadow_since = timezone.now()
    practice.source.save()
    assert line(dana, "EHR").startswith("EHR in shadow The EHR: everything is computed, nothing is sent or written.")
