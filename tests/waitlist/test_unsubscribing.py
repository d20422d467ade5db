"""One click ends e-mails to an address; opening the link, as machines do, ends nothing."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from config.logs import masked
from scheduling.models import Patient
from tests import factories
from tests.integrations.messaging.test_delivery_once import message_to
from tests.waitlist.pages import heading, nobody_has_guessed, rows, text
from waitlist import consent, unsubscribing
from waitlist.models import ConsentRecord, Message

__all__ = ["nobody_has_guessed"]
pytestmark = pytest.mark.django_db
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def patient() -> Patient:
    factories.practice(name="Elm Street Clinic")
    return factories.patient(phone="+12015550199", email="robin@example.org", family_name="Quillfeather", language="es")


@pytest.fixture
def mail(patient: Patient) -> Message:
    """An e-mail that we started."""
    return message_to(patient.contact_points.get(system="email"), kind="filled", initiated=True, language="es")


@pytest.fixture
def page(mail: Message) -> str:
    return unsubscribing.address_for(mail).removeprefix(settings.PUBLIC_BASE_URL.rstrip("/"))


def test_opening_the_link_changes_nothing_and_names_nobody(client: Client, page: str) -> None:
    before = rows()
    assert client.head(page).status_code == 200
    seen = client.get(page)
    assert rows() == before
    assert heading(seen) == "¿Dejar de recibir correos sobre citas más tempranas?"
    assert "Quillfeather" not in seen.content.decode()
    assert "robin" not in seen.content.decode()
    assert page not in masked(f"GET {page} 200")


def test_one_click_of_a_mailbox_ends_e_mails_without_a_redirect(
    client: Client, patient: Patient, mail: Message, page: str
) -> None:
    assert [client.post(page, ONE_CLICK).status_code for _ in range(2)] == [200, 200]
    line = ConsentRecord.objects.filter(action="revoked").get()
    assert (line.channel, line.address_index, line.source, line.statement, line.recorded_by) == (
        "email",
        mail.address_index,
        "reply",
        unsubscribing.STATEMENT,
        f"patient {patient.pk}",
    )
    assert line.patient == patient
    mail.refresh_from_db()
    assert (mail.status, mail.error_code) == ("suppressed", "opted_out")
    phone = patient.contact_points.get(system="phone")
    assert consent.allowed(patient, phone, "sms"), "texts were not ended"


def test_the_pages_button_leads_back_to_what_is_true(client: Client, mail: Message, page: str) -> None:
    asked = client.get(page, {"lang": "en"})
    assert ("End e-mails" in text(asked), "<form" in asked.content.decode()) == (True, True)
    answer = client.post(page)
    assert (answer.status_code, answer["Location"]) == (303, page)
    done = client.get(page, {"lang": "en"})
    assert heading(done) == "You get no more e-mails from us"
    assert text(done).endswith("To get e-mails again, please call us.")
    assert "<form" not in done.content.decode(), "nothing is left to press"


def test_a_link_ends_e_mails_to_the_address_it_went_to_and_to_no_other(client: Client, mail: Message) -> None:
    other = factories.patient(email="ana@example.org")
    theirs = message_to(other.contact_points.get(system="email"), kind="filled", initiated=True)
    client.post(f"/u/{unsubscribing.token_of(theirs)}/", ONE_CLICK)
    assert ConsentRecord.objects.get(action="revoked").address_index == theirs.address_index
    assert not unsubscribing.is_ended(mail)


def test_who_is_no_patient_of_ours_ends_them_too_and_the_record_says_by_what(
    client: Client, mail: Message, page: str
) -> None:
    Message.objects.update(patient=None)
    assert client.post(page, ONE_CLICK).status_code == 200
    line = ConsentRecord.objects.get(action="revoked")
    assert (line.recorded_by, line.patient) == ("link in an e-mail", None)


def test_the_link_of_an_e_mail_that_was_sent_long_ago_still_works(settings: Any) -> None:
    """It is kept nowhere: were it made otherwise one day, every e-mail in a mailbox would lead nowhere."""
    settings.SECRET_KEY = "of the day it was sent"
    settings.PUBLIC_BASE_URL = "https://visits.example.org/"
    sent = Message(pk=4711, channel="email", initiated=True, address_index="0" * 64)
    assert unsubscribing.address_for(sent) == "https://visits.example.org/u/AAAAAAAAEmdZYt80lQwANrMZd9xzBpDB/"


def test_a_winner_is_told_another_way(client: Client, patient: Patient, mail: Message, page: str) -> None:
    message_to(patient.contact_points.get(system="email"), kind="confirmed", dedupe_key="won")
    client.post(page, ONE_CLICK)
    sent_on = Message.objects.get(kind="confirmed", status="waiting")
    assert (sent_on.channel, sent_on.address) == ("sms", "+12015550199")


def test_every_wrong_link_gets_one_answer_and_changes_nothing(client: Client, mail: Message, page: str) -> None:
    token = page.split("/")[2]
    assert len(token) * 6 - unsubscribing._NUMBER_BYTES * 8 >= 128
    sms = message_to(mail.patient.contact_points.get(system="phone"), dedupe_key="text")  # type: ignore[union-attr]
    other = message_to(mail.contact_point, kind="filled", dedupe_key="other", address_index="0" * 64)  # type: ignore[arg-type]
    ends = unsubscribing.token_of(other)[11:]
    before = rows()
    guesses = (token[:-1], token[::-1], "A" * 32, "_" * 32, token[:11] + ends, unsubscribing.token_of(sms))
    answers = {(each.status_code, each.content) for each in (client.post(f"/u/{guess}/") for guess in guesses)}
    assert {status for status, _ in answers} == {404}
    assert len(answers) == 1
    assert rows() == before


def test_answers_and_texts_carry_no_such_link(patient: Patient, mail: Message) -> None:
    assert unsubscribing.address_for(mail)
    mail.initiated = False
    assert unsubscribing.address_for(mail) == ""
    assert unsubscribing.address_for(Message(pk=1, channel="sms", initiated=True)) == ""
