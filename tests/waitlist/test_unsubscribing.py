"""One click ends e-mails to an address; opening the link, as machines do, ends nothing."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.test import Client

from config.logs import masked
from scheduling.models import Patient
from tests import factories
from tests.integrations.messaging.test_delivery_once import message_to
from tests.waitlist.pages import heading, nobody_has_guessed, rows
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
    mail.refresh_from_db()
    assert (mail.status, mail.error_code) == ("suppressed", "opted_out")
    phone = patient.contact_points.get(system="phone")
    assert consent.allowed(patient, phone, "sms"), "texts were not ended"


def test_the_pages_button_leads_back_to_what_is_true(client: Client, mail: Message, page: str) -> None:
    answer = client.post(page)
    assert (answer.status_code, answer["Location"]) == (303, page)
    assert heading(client.get(page, {"lang": "en"})) == "You get no more e-mails from us"


def test_a_winner_is_told_another_way(client: Client, patient: Patient, mail: Message, page: str) -> None:
    message_to(patient.contact_points.get(system="email"), kind="confirmed", dedupe_key="won")
    client.post(page, ONE_CLICK)
    sent_on = Message.objects.get(kind="confirmed", status="waiting")
    assert (sent_on.channel, sent_on.address) == ("sms", "+12015550199")


def test_every_wrong_link_gets_one_answer_and_changes_nothing(client: Client, mail: Message, page: str) -> None:
    token = page.split("/")[2]
    assert len(token) * 6 - unsubscribing._NUMBER_BYTES * 8 >= 128
    text = message_to(mail.patient.contact_points.get(system="phone"), dedupe_key="text")  # type: ignore[union-attr]
    other = message_to(mail.contact_point, kind="filled", dedupe_key="other", address_index="0" * 64)  # type: ignore[arg-type]
    ends = unsubscribing.token_of(other)[11:]
    before = rows()
    guesses = (token[:-1], token[::-1], "A" * 32, "_" * 32, token[:11] + ends, unsubscribing.token_of(text))
    answers = {(each.status_code, each.content) for each in (client.post(f"/u/{guess}/") for guess in guesses)}
    assert {status for status, _ in answers} == {404}
    assert len(answers) == 1
    assert rows() == before


def test_answers_and_texts_carry_no_such_link(patient: Patient, mail: Message) -> None:
    assert unsubscribing.address_for(mail)
    mail.initiated = False
    assert unsubscribing.address_for(mail) == ""
    assert unsubscribing.address_for(Message(pk=1, channel="sms", initiated=True)) == ""
