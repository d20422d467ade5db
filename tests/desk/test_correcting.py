"""Staff correct how a patient is reached; what the EHR contradicts they see side by side, and decide once."""

from __future__ import annotations

import re

from django.test import Client

from integrations import patient_outcomes
from integrations.models import InboundEvent
from scheduling.models import ExternalId, Patient, PatientWrite
from scheduling.worklist import ask_staff
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import said, text_of
from tests.desk.rows import rows_at

NEW = "+12125550188"


def page(practice: Practice) -> str:
    return f"/admin/patients/{practice.patient.pk}/correct/"


def form_of(dana: Client, practice: Practice) -> dict[str, str]:
    """What the page holds when it is opened."""
    form = dana.get(page(practice)).context["form"]
    return {name: str(form[name].value() or "") for name in form.fields}


def test_a_corrected_number_is_kept_and_on_its_way_and_the_patients_page_says_so(
    dana: Client, practice: Practice
) -> None:
    factories.external_id(practice.source, ExternalId.Kind.PATIENT, practice.patient, "p-1")
    phone = practice.patient.contact_points.get(system="phone")
    told = form_of(dana, practice) | {f"phone_{phone.pk}": "(212) 555-0188"}
    assert said(dana, dana.post(page(practice), told)).startswith("Kept, and on its way to")
    row = PatientWrite.objects.get()
    assert [(each["old"], each["new"]) for each in row.wanted] == [(phone.value, NEW)]
    words = text_of(dana.get(f"/admin/scheduling/patient/{practice.patient.pk}/change/"))
    assert NEW in words
    assert "waiting to send Phone number for" in words


def test_what_the_ehr_says_is_not_what_was_corrected_here(dana: Client, practice: Practice) -> None:
    """Until the EHR has it, its own word stands under its name, with ours beside it and where that is."""
    was, ours, theirs = "2 Oak St, Troy NY 12180", "3 Elm St, Troy NY 12180", "9 Ash St, Troy NY 12180"
    factories.external_id(practice.source, ExternalId.Kind.PATIENT, practice.patient, "p-1")
    Patient.objects.filter(pk=practice.patient.pk).update(address=was)
    told = form_of(dana, practice) | {"line": "3 Elm St", "city": "Troy", "state": "NY", "postal_code": "12180"}
    assert said(dana, dana.post(page(practice), told)).startswith("Kept, and on its way to")
    patient, row = Patient.objects.get(pk=practice.patient.pk), PatientWrite.objects.get()
    assert patient.address == ours

    def shown() -> str:
        words = text_of(dana.get(f"/admin/scheduling/patient/{patient.pk}/change/"))
        words = words[words.index("What the EHR says") :]
        return words[words.index("Address:") : words.index("Emergency contact")].strip()

    assert shown() == f"Address: {was} corrected here: {ours} waiting to send"
    for fields, expected in (
        ({"status": "conflict", "conflicts": {"address": [theirs]}}, f"{theirs} corrected here: {ours} staff decide"),
        (
            {"status": "waiting", "conflicts": {}, "overrules": {"address": [theirs]}},
            f"{theirs} corrected here: {ours} waiting to send",
        ),
        ({"status": "dead", "overrules": {}}, f"{was} corrected here: {ours} dead letter"),
        ({"status": "done"}, ours),
    ):
        for name, value in fields.items():
            setattr(row, name, value)
        row.save()
        assert shown() == f"Address: {expected}"

    row.status = "dead"
    row.save()
    Patient.objects.filter(pk=patient.pk).update(address=theirs)  # the EHR's own news
    assert shown() == f"Address: {theirs}"
    Patient.objects.filter(pk=patient.pk).update(address=None)
    row.status, row.wanted = "waiting", [{**row.wanted[0], "new": ""}]
    row.save()
    assert shown() == f"Address: {was} taken away here waiting to send"


def test_nothing_is_said_by_an_ehr_that_does_not_know_the_patient(dana: Client, practice: Practice) -> None:
    person = factories.patient(locations=[practice.riverside])
    words = text_of(dana.get(f"/admin/scheduling/patient/{person.pk}/change/"))
    assert ("What is known here" in words, "What the EHR says" in words) == (True, False)


def test_a_number_and_the_address_are_removed_by_a_tick_and_by_nothing_else(dana: Client, practice: Practice) -> None:
    factories.external_id(practice.source, ExternalId.Kind.PATIENT, practice.patient, "p-1")
    Patient.objects.filter(pk=practice.patient.pk).update(address="2 Oak St, Troy NY 12180")
    phone = practice.patient.contact_points.get(system="phone")
    before = form_of(dana, practice)
    for told, why in (
        ({f"phone_{phone.pk}": ""}, "Nothing is written here. To take it away, tick “Remove”."),
        ({f"phone_{phone.pk}": "(212) 555-0188", f"remove_phone_{phone.pk}": "on"}, "Correct it, or remove it"),
        ({"line": "3 Elm", "city": "Troy", "postal_code": "12180", "remove_address": "on"}, "not both"),
    ):
        assert why in text_of(dana.post(page(practice), before | told))
    assert not PatientWrite.objects.exists()
    told = before | {f"remove_phone_{phone.pk}": "on", "remove_address": "on"}
    assert said(dana, dana.post(page(practice), told)).startswith("Kept, and on its way to")
    phone.refresh_from_db()
    practice.patient.refresh_from_db()
    assert (phone.use, practice.patient.address) == ("old", None)
    row = PatientWrite.objects.get()
    assert [(each["detail"], each["old"], each["new"]) for each in row.wanted] == [
        ("phone", phone.value, ""),
        ("address", "2 Oak St, Troy NY 12180", ""),
    ]
    assert "removed" in text_of(dana.get(f"/admin/scheduling/patientwrite/{row.pk}/change/"))


def test_what_is_wrong_is_said_on_the_page_and_nothing_changes(dana: Client, practice: Practice) -> None:
    before = form_of(dana, practice)
    for told, why in (
        ({}, "Nothing differs from what is on file."),
        ({"new_phone": "555"}, "This is no complete phone number."),
        ({"line": "2 Oak St"}, "A new address needs street, city and ZIP code."),
    ):
        assert why in text_of(dana.post(page(practice), before | told))
    wrong = {"new_phone": "555", "new_email": "robin", "line": "2 Oak St"}
    errors = dana.post(page(practice), before | wrong).context["form"].errors
    assert set(errors) == set(wrong)  # all at once, each at its field
    assert form_of(dana, practice) == before
    assert "None is on file. Leave all four empty if you have none." in text_of(dana.get(page(practice)))
    assert "Legal name and birth date They are not changed here" in text_of(dana.get(page(practice)))


def test_a_conflict_stands_side_by_side_and_is_decided_once(dana: Client, practice: Practice) -> None:
    row = rows_at(practice, practice.riverside, practice.patient)[PatientWrite]
    factories.external_id(practice.source, ExternalId.Kind.PATIENT, practice.patient, "p-1")
    own = f"/admin/scheduling/patientwrite/{row.pk}/"
    item = ask_staff(patient_outcomes.CONFLICT, "Two say two things", dedupe_key="patient.write:1", subject=row)
    assert f'<a href="{own}change/"' in dana.get(f"/admin/scheduling/workitem/{item.pk}/change/").content.decode()
    words = text_of(dana.get(own + "change/"))
    assert "+12125550188" in words
    assert "differs +12125550199" in words
    assert dana.get(own + "do/theirs/").status_code == 405
    assert said(dana, dana.post(own + "do/theirs/", seen(dana, own))).startswith("The EHR’s is taken")
    assert InboundEvent.objects.get(subject_key="Patient/p-1").status == "received"
    assert said(dana, dana.post(own + "do/ours/")).startswith("Nothing changed")


def test_what_is_for_the_ehr_of_a_patient_without_a_visit_is_as_visible_as_the_patient(
    dana: Client, practice: Practice
) -> None:
    """Who never had an appointment belongs to no location: everybody sees them, and the work about them."""
    person = factories.patient(address="2 Oak St, Troy NY 12180")
    factories.external_id(practice.source, ExternalId.Kind.PATIENT, person, "p-9")
    form = dana.get(f"/admin/patients/{person.pk}/correct/").context["form"]
    told = {name: str(form[name].value() or "") for name in form.fields}
    answer = dana.post(f"/admin/patients/{person.pk}/correct/", told | {"new_phone": "(212) 555-0188"})
    assert said(dana, answer).startswith("Kept, and on its way to")
    row = PatientWrite.objects.get()
    assert NEW in text_of(dana.get(f"/admin/scheduling/patientwrite/{row.pk}/change/"))
    row.status, row.conflicts = "conflict", {"phone:": ["+12125550177"]}
    row.save()
    own = f"/admin/scheduling/patientwrite/{row.pk}/"
    assert said(dana, dana.post(own + "do/ours/", seen(dana, own))).startswith("Ours is on its way")


def seen(client: Client, own: str) -> dict[str, str]:
    """What the page's buttons send along: a mark of the two sides that it shows."""
    [(name, value)] = set(re.findall(r'name="(mark)" value="(\w+)"', client.get(own + "change/").content.decode()))
    return {name: value}


def test_what_the_ehr_changed_again_since_the_page_was_opened_is_not_decided_about(
    dana: Client, practice: Practice
) -> None:
    """The row follows the EHR's news while somebody looks at it: they decide about what they saw, and nothing else."""
    row = rows_at(practice, practice.riverside, practice.patient)[PatientWrite]
    factories.external_id(practice.source, ExternalId.Kind.PATIENT, practice.patient, "p-1")
    own = f"/admin/scheduling/patientwrite/{row.pk}/"
    before = seen(dana, own)
    row.conflicts = {key: ["+12125550177"] for key in row.conflicts}
    row.save()
    for step in ("ours", "theirs"):
        answer = dana.post(f"{own}do/{step}/", before)
        assert said(dana, answer).startswith("Nothing changed: the EHR has changed it again since you opened the page.")
    row.refresh_from_db()
    assert (row.status, row.overrules, len(row.wanted)) == ("conflict", {}, 1)
    assert "differs +12125550177" in text_of(dana.get(own + "change/"))
    assert said(dana, dana.post(own + "do/ours/", seen(dana, own))).startswith("Ours is on its way")
    row.refresh_from_db()
    assert (row.status, list(row.overrules.values())) == ("waiting", [["+12125550177"]])


def test_whoever_may_not_change_patients_corrects_none(ira: Client, practice: Practice) -> None:
    assert ira.get(page(practice)).status_code == 403
    row = rows_at(practice, practice.riverside, practice.patient)[PatientWrite]
    assert ira.post(f"/admin/scheduling/patientwrite/{row.pk}/do/ours/").status_code == 404
    row.refresh_from_db()
    assert row.status == "conflict"


def test_a_patient_of_another_location_is_not_found(dana: Client, practice: Practice) -> None:
    assert dana.get(f"/admin/patients/{practice.their_patient.pk}/correct/").status_code == 404
