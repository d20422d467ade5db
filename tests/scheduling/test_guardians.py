"""A guardian's contact that staff enter stands beside what the EHR tells, whatever the EHR tells next."""

from __future__ import annotations

import pytest

from audit.context import service
from scheduling import guardians
from scheduling.models import ContactPoint, Patient
from scheduling.patients import _keep_contacts
from scheduling.records import ContactRecord, PatientRecord
from tests import factories, race

pytestmark = pytest.mark.django_db


def told(patient: Patient, *numbers: str) -> None:
    contacts = tuple(ContactRecord("phone", number, "mobile") for number in numbers)
    _keep_contacts(patient, PatientRecord("pat-1", contacts=contacts))


def whose(patient: Patient) -> dict[str, tuple[bool, str, str]]:
    return {row.value: (row.guardian, row.entered_by, row.use) for row in patient.contact_points.all()}


def test_it_outlives_the_ehrs_next_word_and_a_number_of_the_patients_becomes_the_guardians() -> None:
    child, sibling = factories.patient(phone=None, email=None), factories.patient()
    told(child, "+12125550101", "+12125550102")
    with service("dana"):
        guardians.enter(child, "(212) 555-0102")
        guardians.enter(child, "Mother@example.org")
    told(child, "+12125550101", "+12125550102")
    assert whose(child) == {
        "+12125550101": (False, "", "mobile"),
        "+12125550102": (True, "dana", "mobile"),
        "mother@example.org": (True, "dana", ""),
    }
    child.refresh_from_db()
    assert child.attention_due_at is not None
    sibling.refresh_from_db()
    assert sibling.attention_due_at is None


def test_whose_a_number_is_follows_the_ehr_where_staff_did_not_say() -> None:
    child = factories.patient(phone=None, email=None)
    told(child, "+12125550101")
    for guardian in (True, False):
        _keep_contacts(
            child, PatientRecord("pat-1", contacts=(ContactRecord("phone", "+12125550101", guardian=guardian),))
        )
        assert child.contact_points.get().guardian is guardian


def test_what_is_no_address_is_refused_and_what_the_ehr_told_is_not_removed() -> None:
    child = factories.patient(phone=None, email=None)
    with pytest.raises(guardians.NotUsable, match="whole phone number"):
        guardians.enter(child, "555")
    own = guardians.enter(child, "+12125550102")
    ehrs = factories.contact(child, "+12125550103", guardian=True)
    Patient.objects.update(attention_due_at=None)
    assert not guardians.remove(ehrs)
    assert not Patient.objects.exclude(attention_due_at=None).exists()
    assert guardians.remove(own)
    assert Patient.objects.exclude(attention_due_at=None).get() == child, "what is out to that contact is looked at"
    assert [ContactPoint.objects.get(pk=row.pk).use for row in (own, ehrs)] == ["old", "mobile"]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_pressed_twice_at_once_it_is_kept_once() -> None:
    child = factories.patient(phone=None, email=None)
    kept = race.together(8, lambda _: guardians.enter(child, "(212) 555-0102").pk)
    assert set(kept) == {ContactPoint.objects.get().pk}
