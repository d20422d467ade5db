"""Consent that is asked for: the page behind a printed form tells nothing, and a call takes two keys."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import time_machine
from django.conf import settings
from django.test import Client
from django.urls import resolve
from django.utils import timezone

from audit.context import Actor, acting_as
from scheduling.models import Patient, WorkItem
from tests import factories
from tests.waitlist.pages import heading, nobody_has_guessed, text
from waitlist import consent, consent_forms
from waitlist.models import ConsentLink, ConsentRecord

__all__ = ["nobody_has_guessed"]
RIGHT = {"birth_year": "1980", "phone": "(201) 555-0199"}


@pytest.fixture
def patient(db: None) -> Patient:
    factories.practice(name="Elm Street Clinic")
    return factories.patient(phone="+12015550199", consent=(), family_name="Quillfeather", language="es")


@pytest.fixture
def page(patient: Patient) -> str:
    return consent_forms.make_link(patient)[1].removeprefix(settings.PUBLIC_BASE_URL.rstrip("/"))


def may_be_texted(patient: Patient) -> list[str]:
    return [way.value for way in consent.ways(patient, timezone.localdate())]


def test_birth_year_and_number_as_on_record_give_consent(client: Client, patient: Patient, page: str) -> None:
    somebody_elses, _ = consent_forms.make_link(factories.patient(consent=()))
    assert client.post(page, RIGHT).status_code == 303
    assert may_be_texted(patient) == ["+12015550199"]
    line = ConsentRecord.objects.get()
    assert (line.source, line.wording_version) == ("form", consent_forms.version("en"))
    assert line.recorded_by == f"patient {patient.pk}"
    assert line.statement == f"Page behind printed form {ConsentLink.objects.get(patient=patient).pk}"
    thanks = client.get(page)
    assert (heading(thanks), "We have your answer." in text(thanks)) == ("Thank you", True)
    assert heading(client.get(f"{page}?lang=es")) == "Gracias"
    assert not WorkItem.objects.exists()
    somebody_elses.refresh_from_db()
    assert somebody_elses.answered_at is None


def test_a_number_that_takes_no_texts_is_for_staff(client: Client, patient: Patient, page: str) -> None:
    patient.contact_points.filter(system="phone").update(can_text=False)
    assert client.post(page, RIGHT).status_code == 303
    assert not ConsentRecord.objects.exists()
    assert WorkItem.objects.get().kind == "consent.check"


@pytest.mark.parametrize(
    "told", [{"birth_year": "1981", "phone": "2015550199"}, {"birth_year": "1980", "phone": "2015550111"}]
)
def test_anything_else_goes_to_staff_and_looks_the_same(
    client: Client, patient: Patient, page: str, told: dict[str, str]
) -> None:
    assert client.post(page, told).status_code == 303
    seen = client.get(page).content
    right = consent_forms.make_link(factories.patient(consent=(), phone="+12015550199"))[1]
    right = right.removeprefix(settings.PUBLIC_BASE_URL.rstrip("/"))
    assert client.post(right, RIGHT).status_code == 303
    assert client.get(right).content == seen.replace(page.encode(), right.encode())
    assert may_be_texted(patient) == []
    assert WorkItem.objects.get(patient=patient).kind == "consent.check"


def test_a_form_is_answered_once(client: Client, patient: Patient, page: str) -> None:
    stale = ConsentLink.objects.get()
    client.post(page, {"birth_year": "1981", "phone": "2015550199"})
    client.post(page, RIGHT)
    consent_forms.answer(stale, RIGHT["birth_year"], RIGHT["phone"], "en")  # sent in the same moment
    assert may_be_texted(patient) == []


def test_a_number_that_said_stop_is_not_opened_by_a_form(client: Client, patient: Patient, page: str) -> None:
    (contact,) = patient.contact_points.filter(system="phone")
    consent.revoke_address("sms", contact.address_index, source="reply")
    client.post(page, RIGHT)
    assert may_be_texted(patient) == []
    assert WorkItem.objects.get().kind == "consent.check"


def test_the_page_names_nobody_speaks_both_languages_and_a_get_changes_nothing(
    client: Client, patient: Patient, page: str
) -> None:
    english, spanish = client.get(page), client.get(f"{page}?lang=es")
    for response in (english, spanish):
        for secret in ("Quillfeather", "Robin", "0199", "1980-", patient.contact_points.all()[1].value):
            assert secret not in response.content.decode()
        assert 'class="problem"' not in response.content.decode(), "nothing was written yet"
    assert heading(english) == "May we text you about earlier appointments?"
    assert heading(spanish) == "¿Podemos avisarle por mensaje de texto si se libera una cita antes?"
    assert "Elm Street Clinic may text you when an earlier appointment opens up" in text(english)
    assert "Elm Street Clinic puede mandarle mensajes de texto" in text(spanish)
    assert english["Content-Language"] == "en"  # not the patient's: even that would tell something
    assert ConsentLink.objects.filter(answered_at=None).count() == 1
    assert not ConsentRecord.objects.exists()


def test_an_old_or_guessed_link_leads_nowhere(client: Client, page: str) -> None:
    assert client.get(page[:-2] + "/").status_code == 404
    ConsentLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert client.post(page, RIGHT).status_code == 404
    assert not ConsentRecord.objects.exists()
    assert resolve(page).url_name == "consent"


def test_what_is_missing_is_asked_for_without_using_the_form_up(client: Client, patient: Patient, page: str) -> None:
    assert "Write the year with four digits" in client.post(page, {**RIGHT, "birth_year": "80"}).content.decode()
    assert "Write your phone number with ten digits." in text(client.post(page, {**RIGHT, "phone": "555-0199"}))
    both = text(client.post(page))
    assert both.count("Write the year with four digits, for example 1980.") == 2  # on top and at the field
    assert both.count("Write your phone number with ten digits.") == 2
    client.post(page, {"birth_year": " 1980 ", "phone": " 201 555 0199 "})
    assert may_be_texted(patient) == ["+12015550199"]


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        *(("birth_year", each) for each in ("abcd", "١٩٨٠", "198O", "19800")),
        *(("phone", each) for each in ("555-019", "201 555 019", "2015550199" * 2 + "0")),
    ],
)
def test_what_is_no_year_and_no_number_is_asked_again_and_the_rest_stays_typed(
    client: Client, page: str, field: str, typed: str
) -> None:
    told = {"birth_year": "1980", "phone": "201-555-0199", field: typed}
    again = client.post(page, told)
    assert (again.status_code, "There is a problem" in text(again)) == (200, True)
    for name, value in told.items():
        assert re.search(rf'<input[^>]* name="{name}"[^>]* value="{re.escape(value)}"', again.content.decode()), name
    assert not ConsentLink.objects.filter(answered_at__isnull=False).exists()
    assert not WorkItem.objects.exists()


def test_a_number_written_with_its_country_and_an_extension_is_an_answer(client: Client, page: str) -> None:
    assert client.post(page, {**RIGHT, "phone": "001 (201) 555-0199 ext. 1234"}).status_code == 303
    assert WorkItem.objects.get().kind == "consent.check"


def test_spoken_consent_needs_both_keys_of_one_person(patient: Patient) -> None:
    (contact,) = patient.contact_points.filter(system="phone")
    with acting_as(Actor.for_service("dana")):
        proof = consent_forms.first_key(contact, "es")
        assert consent_forms.second_key(proof + "x", patient) is None
        assert consent_forms.second_key(proof, factories.patient()) is None
    with acting_as(Actor.for_service("maria")):
        assert consent_forms.second_key(proof, patient) is None
    with acting_as(Actor.for_service("dana")):
        with time_machine.travel(timezone.now() + timedelta(minutes=16)):
            assert consent_forms.second_key(proof, patient) is None, "too long ago"
        patient.contact_points.update(state="frozen")
        assert consent_forms.second_key(proof, patient) is None, "it reaches somebody else"
        patient.contact_points.update(state="usable")
    assert may_be_texted(patient) == []
    with acting_as(Actor.for_service("dana")):
        line = consent_forms.second_key(proof, patient)
    assert line is not None
    assert (line.source, line.wording_version) == ("spoken", consent_forms.version("es"))
    assert line.statement == "Read out during a call, confirmed by a second key"
    assert may_be_texted(patient) == ["+12015550199"]


def test_the_second_key_comes_too_late_after_a_while_and_for_a_number_that_is_out_of_use(patient: Patient) -> None:
    (contact,) = patient.contact_points.filter(system="phone")
    with acting_as(Actor.for_service("dana")):
        with time_machine.travel(timezone.now() - timedelta(minutes=16)):
            proof = consent_forms.first_key(contact, "es")
        assert consent_forms.second_key(proof, patient) is None
        proof = consent_forms.first_key(contact, "es")
        patient.contact_points.filter(pk=contact.pk).update(state="invalid")
        assert consent_forms.second_key(proof, patient) is None
    assert not ConsentRecord.objects.exists()
