"""Entering a guardian's contact: what holds for the patient's age, the contact, and then the guardian's consent."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from scheduling.models import Patient
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import records, text_of
from waitlist import consent
from waitlist.models import ConsentRecord
from waitlist.times import say_phone


@pytest.mark.parametrize(
    ("years", "says"),
    [(9, "messages go to a guardian’s contact only"), (15, "nothing is sent by itself"), (30, "of age here")],
)
def test_the_page_says_what_holds_at_that_age(dana: Client, practice: Practice, years: int, says: str) -> None:
    practice.patient.birth_date = date(timezone.localdate().year - years, 1, 1)
    practice.patient.save()
    page = text_of(dana.get(f"/admin/patients/{practice.patient.pk}/guardian/"))
    assert says in page
    assert "No parent’s or guardian’s contact is on file." in page


def test_who_looked_is_recorded(dana: Client, practice: Practice) -> None:
    dana.get(f"/admin/patients/{practice.patient.pk}/guardian/")
    assert ("scheduling.patient", str(practice.patient.pk)) in records("view")


def test_a_contact_is_kept_asks_for_consent_and_is_used_no_more(dana: Client, practice: Practice) -> None:
    page = f"/admin/patients/{practice.patient.pk}/guardian/"
    assert page in dana.get(f"/admin/scheduling/patient/{practice.patient.pk}/change/").content.decode()
    assert "write a whole phone number" in text_of(dana.post(page, {"value": "12"}))
    shown = text_of(dana.post(page, {"value": "212 555 0199"}, follow=True))
    assert "before the guardian's own consent is recorded" in shown
    assert "(212) 555-0199 (guardian)" in shown
    row = practice.patient.contact_points.get(guardian=True)
    assert row.entered_by == "dana"
    assert _number_chosen(dana, practice) != row.pk, "they are of age"
    Patient.objects.filter(pk=practice.patient.pk).update(birth_date=timezone.localdate() - timedelta(days=5 * 366))
    assert _number_chosen(dana, practice) == row.pk, "nothing is ever sent to a child's own number"
    assert "It is used no more." in text_of(dana.post(page, {"remove": row.pk}, follow=True))
    row.refresh_from_db()
    assert row.use == "old"


def test_the_patients_own_contact_is_not_taken_off_here_and_the_right_is_asked(
    dana: Client, practice: Practice
) -> None:
    page = f"/admin/patients/{practice.patient.pk}/guardian/"
    own = practice.patient.contact_points.filter(guardian=False)[0]
    assert dana.post(page, {"remove": own.pk}).status_code == 404
    for group in Group.objects.filter(user__username="dana"):
        group.permissions.remove(*group.permissions.filter(codename="change_patient"))
    assert dana.get(page).status_code == 403
    assert dana.post(page, {"value": "212 555 0199"}).status_code == 403
    assert not practice.patient.contact_points.filter(guardian=True).exists()
    own.refresh_from_db()
    assert own.use != "old"


def _number_chosen(client: Client, practice: Practice) -> int:
    """The number that is chosen already on the page of consent, the same in both forms."""
    page = client.get(f"/admin/waitlist/consentrecord/add/?patient={practice.patient.pk}").content.decode()
    (spoken,) = re.findall(r'name="number" value="(\d+)" checked', page)
    assert re.findall(r'<select name="contact_point".*?<option value="(\d+)"', page, re.DOTALL) == [spoken]
    return int(spoken)


def test_another_locations_patient_gets_none(dana: Client, practice: Practice) -> None:
    page = f"/admin/patients/{practice.their_patient.pk}/guardian/"
    assert dana.post(page, {"value": "212 555 0199"}).status_code == 404
    own = f"/admin/patients/{practice.patient.pk}/guardian/"
    assert dana.post(own, {"remove": practice.their_patient.contact_points.all()[0].pk}).status_code == 404


def test_the_consent_page_tells_the_ledger_in_words_with_the_version_of_the_words(
    dana: Client, practice: Practice
) -> None:
    phone = practice.patient.contact_points.get(system="phone")
    ConsentRecord.objects.all().delete()
    consent.grant(practice.patient, phone, source="spoken", wording_version="sms en v0 3f9a1c")
    consent.revoke_address("sms", phone.address_index, source="reply")
    factories.patient(phone=phone.value, email=None)
    shown = dana.get(f"/admin/waitlist/consentrecord/add/?patient={practice.patient.pk}")
    words = text_of(shown)
    assert f"{say_phone(phone.value)} not agreed" in words
    assert "The patient agreed to messages: spoken, to staff" in words
    assert "Somebody at this address took consent back: by a message from there." in words
    assert 'href="/admin/words/en/consent/sms/">sms en v0 3f9a1c</a>' in shown.content.decode()
    assert words.count("agreed to messages") == 1, "another patient's consent is theirs"
