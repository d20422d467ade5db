"""Patients: found by what one has in hand, never by a name in an address; consent recorded; every look on record."""

from __future__ import annotations

from datetime import date, timedelta
from unittest.mock import Mock

import pytest
import segno
import time_machine
from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.utils import timezone

from config.desk.groups import FRONT_DESK
from integrations.models import InboundEvent
from scheduling import own_details
from scheduling.admin import search
from scheduling.models import ExternalId, Patient, PatientMerge, PatientWrite, Source, Writeback
from scheduling.patients import find_patients
from tests import factories
from tests.desk.conftest import Practice, can_be_found
from tests.desk.pages import records, said, text_of
from waitlist import consent
from waitlist.models import ConsentLink, ConsentRecord
from waitlist.times import say_phone

LIST = "/admin/scheduling/patient/"
NO_ROWS = {
    f"{prefix}-{name}": 0 for prefix in ("contact_points", "identifiers") for name in ("TOTAL_FORMS", "INITIAL_FORMS")
}


@pytest.mark.parametrize(
    "query",
    [
        "rob",
        "ROB ALV",
        "alvarez robin",
        "+12015550147",
        "(201) 555-0147",
        "Robin.A@Example.org",
        "3/14/1979",
        "1979-03-14",
    ],
)
def test_a_patient_is_found_by_what_one_has_in_hand(dana: Client, practice: Practice, query: str) -> None:
    person = factories.patient(
        given_name="Robin",
        family_name="Alvarez",
        birth_date=date(1979, 3, 14),
        phone="+12015550147",
        email="robin.a@example.org",
        locations=[practice.riverside],
    )
    can_be_found(person)
    answer = dana.post(LIST + "search/", {"query": query})
    assert answer.status_code == 302
    assert answer.url.startswith(LIST + "?q=gAAAA")  # type: ignore[attr-defined]
    shown = dana.get(answer.url).context["cl"].result_list  # type: ignore[attr-defined]
    assert person in shown
    assert practice.their_patient not in shown


def test_the_sealed_query_reads_back_and_nothing_else_does() -> None:
    assert search.unseal(search.seal("  Ñandú ")) == "Ñandú"
    for text in ("", "x", "gAAAA", "ñ", "'; DROP TABLE"):
        assert search.unseal(text) == ""


def test_a_made_up_sealed_query_shows_the_whole_list(dana: Client, practice: Practice) -> None:
    assert list(dana.get(LIST + "?q=gAAAAnonsense").context["cl"].result_list) == [practice.patient]


def test_the_search_keeps_the_filters(dana: Client, practice: Practice) -> None:
    answer = dana.post(LIST + "search/?active__exact=1&q=old", {"query": "rob"})
    assert answer.url.startswith(LIST + "?active__exact=1&q=gAAAA")  # type: ignore[attr-defined]
    answer = dana.post(LIST + "search/?active__exact=1", {"query": ""})
    assert answer.url == LIST + "?active__exact=1"  # type: ignore[attr-defined]


def test_the_page_shows_what_the_ehr_says_and_is_on_record(dana: Client, practice: Practice) -> None:
    words = text_of(dana.get(f"{LIST}{practice.patient.pk}/change/"))
    assert "Name: Robin Alvarez Born: Jan 1, 1980" in words
    assert "May be offered times: yes" in words
    assert "Legal name: Robin Alvarez" in words
    assert practice.patient.contact_points.all()[0].value in words
    assert records("view") == [("scheduling.patient", str(practice.patient.pk))]


def test_the_practice_restricts_a_patient_and_the_ehrs_part_stays(dana: Client, practice: Practice) -> None:
    forms = {
        "restricted": "on",
        "established": "on",
        "family_name": "Forged",
        "active": "",
        **NO_ROWS,
    }
    dana.post(f"{LIST}{practice.patient.pk}/change/", forms)
    row = Patient.objects.get(pk=practice.patient.pk)
    assert (row.restricted, row.family_name, row.active) == (True, "Alvarez", True)
    assert row.attention_due_at is not None  # what is out to them is looked at at once
    assert "no: restricted" in text_of(dana.get(f"{LIST}{row.pk}/change/"))


def test_consent_is_recorded_and_taken_back(dana: Client, practice: Practice) -> None:
    person = factories.patient(consent=(), email=None, locations=[practice.riverside])
    contact = person.contact_points.get()
    path = f"/admin/waitlist/consentrecord/add/?patient={person.pk}"
    assert say_phone(contact.value) in text_of(dana.get(path))
    form = {"contact_point": contact.pk, "action": "granted", "source": "spoken", "wording_version": "script 2"}
    assert said(dana, dana.post(path, form)) == "Recorded. It counts from now on."
    row = ConsentRecord.objects.get(patient=person)
    assert (row.action, row.source, row.recorded_by, row.wording_version) == ("granted", "spoken", "dana", "script 2")
    assert consent.allowed(person, contact, "sms")
    dana.post(path, {**form, "action": "revoked"})
    assert not consent.allowed(person, contact, "sms")


def test_consent_is_not_recorded_for_another_patients_address(dana: Client, practice: Practice) -> None:
    before = ConsentRecord.objects.count()
    other = factories.patient(locations=[practice.riverside], consent=()).contact_points.all()[0]
    form = {"contact_point": other.pk, "action": "granted", "source": "spoken"}
    path = f"/admin/waitlist/consentrecord/add/?patient={practice.patient.pk}"
    assert "Select a valid choice." in text_of(dana.post(path, form))
    assert ConsentRecord.objects.count() == before


def test_the_ledger_itself_never_changes(maria: Client, practice: Practice) -> None:
    row = ConsentRecord.objects.first()
    assert row is not None
    page = f"/admin/waitlist/consentrecord/{row.pk}/"
    assert maria.post(page + "change/", {"action": "revoked"}).status_code == 403
    assert maria.post(page + "delete/", {"post": "yes"}).status_code == 403
    assert maria.get("/admin/waitlist/consentrecord/add/").status_code == 403
    row.refresh_from_db()
    assert row.action == "granted"


def test_consent_said_on_the_phone_is_recorded_by_two_keys(dana: Client, practice: Practice) -> None:
    patient = factories.patient(consent=(), locations=[practice.riverside])
    page = f"/admin/waitlist/consentrecord/add/?patient={patient.pk}"
    number = patient.contact_points.get(system="phone")
    spoken = f"/admin/waitlist/consentrecord/spoken/{patient.pk}/"
    assert "Read this out: Harbor Family Practice may text you" in text_of(dana.get(page))
    assert dana.get(spoken).status_code == 403
    second = dana.post(spoken, {"number": str(number.pk)})
    assert f"texts to {say_phone(number.value)}, spoken" in text_of(second)
    assert not ConsentRecord.objects.filter(patient=patient).exists()
    answer = dana.post(spoken, {"proof": second.context["proof"]})
    assert said(dana, answer).startswith("Recorded: the patient agreed to texts")
    assert ConsentRecord.objects.get(patient=patient).recorded_by == "dana"
    assert dana.post(f"/admin/waitlist/consentrecord/spoken/{practice.their_patient.pk}/").status_code == 404


def test_a_form_to_print_has_both_languages_a_code_that_leads_to_its_page_and_no_name(
    dana: Client, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = Mock(wraps=segno.make)
    monkeypatch.setattr(segno, "make", drawn)
    paper = f"/admin/waitlist/consentrecord/paper/{practice.patient.pk}/"
    assert dana.get(paper).status_code == 403
    assert dana.post(f"/admin/waitlist/consentrecord/paper/{practice.their_patient.pk}/").status_code == 404
    page = dana.post(paper).content.decode()
    for words in ("Harbor Family Practice may text you", "Harbor Family Practice puede mandarle", "<svg"):
        assert words in page
    for secret in ("Alvarez", "Robin", "1980"):
        assert secret not in page
    assert " style=" not in page
    (address,) = drawn.call_args.args
    base = settings.PUBLIC_BASE_URL.rstrip("/")
    assert address.startswith(base)
    told = {"birth_year": "1980", "phone": practice.patient.contact_points.get(system="phone").value}
    assert Client().post(address.removeprefix(base), told).status_code == 303
    link = ConsentLink.objects.get()
    assert (link.patient, link.answered_at is None, link.made_by) == (practice.patient, False, "dana")


def test_what_the_practice_owns_is_entered_on_the_patients_page(dana: Client, practice: Practice) -> None:
    page = f"{LIST}{practice.patient.pk}/change/"
    assert 'name="preferred_name"' not in dana.get(page).content.decode()
    Source.objects.update(practice_owns=["preferred_name", "address", "emergency_contact"])
    told = {
        "established": "on",
        "preferred_name": "Bobbie",
        "address": "1 Elm St",
        "emergency_name": "Ana",
        "emergency_phone": "+12125550109",
        "language": "es",
        "family_name": "Other",
        **NO_ROWS,
    }

    assert dana.post(page, told).status_code == 302

    row = Patient.objects.get(pk=practice.patient.pk)
    assert (row.preferred_name, row.address) == ("Bobbie", "1 Elm St")
    assert row.emergency_contact == {"name": "Ana", "relation": "", "phone": "+12125550109"}
    # What the EHR owns is not taken, whoever asks.
    assert (row.language, row.family_name) == ("", "Alvarez")
    assert list(find_patients("bobbie", Patient.objects.all())) == [row]
    with pytest.raises(ValueError, match="the EHR owns it"):
        own_details.enter(row, {"language": "es"})


def test_a_patients_page_says_when_it_was_read_what_waits_and_what_failed(dana: Client, practice: Practice) -> None:
    page = f"{LIST}{practice.patient.pk}/change/"
    words = text_of(dana.get(page))
    assert "Last read from The EHR" in words
    assert "Waiting nothing Failed nothing" in words
    at = timezone.now()
    ExternalId.objects.filter(kind="patient", object_id=practice.patient.pk).update(seen_at=at)
    visit = factories.appointment(
        practice.patient, practice.chen, practice.riverside, source=practice.source, external="v1"
    )
    told = [("Appointment/v1", "received"), (f"Patient/pat-{practice.patient.pk}", "dead"), ("Patient/x", "dead")]
    for subject, status in told:
        InboundEvent.objects.create(
            connection=practice.connection, via="webhook", dedupe_key=subject, subject_key=subject, status=status,
            body=b"{}", due_at=at, received_at=at,
        )  # fmt: skip
    Writeback.objects.create(
        kind="create", appointment=visit, source=practice.source, status="dead", due_at=at, deadline_at=at
    )

    words = text_of(dana.get(page))

    assert (
        "Waiting waiting 1 message of the EHR to be read Failed failed 1 message of the EHR could not be read" in words
    )
    assert "1 could not be written and waits for a person" in words


def test_a_patients_page_counts_corrections_that_wait_failed_or_are_to_be_decided(
    dana: Client, practice: Practice
) -> None:
    for status in ("waiting", "by_hand", "dead", "conflict", "done"):
        PatientWrite.objects.create(
            patient=practice.patient, source=practice.source, status=status, wanted=[], due_at=timezone.now()
        )
    visit = factories.appointment(practice.patient, practice.chen, practice.riverside, source=practice.source)
    at = timezone.now()
    Writeback.objects.create(
        kind="cancel", appointment=visit, source=practice.source, status="waiting", due_at=at, deadline_at=at
    )

    words = text_of(dana.get(f"{LIST}{practice.patient.pk}/change/"))

    assert "1 booking or cancellation to be written 2 corrections above To be decided" in words
    assert "1 correction above, as the EHR says something else" in words
    assert "1 correction above waits for a person under Needs you" in words


def test_a_number_that_is_used_no_more_does_not_look_usable(dana: Client, practice: Practice) -> None:
    page = f"/admin/scheduling/patient/{practice.patient.pk}/change/"
    assert "no longer used" not in text_of(dana.get(page))
    practice.patient.contact_points.update(use="old")
    assert "no longer used" in text_of(dana.get(page))


def test_when_entries_were_taken_over_is_shown_as_words(admin_client: Client, practice: Practice) -> None:
    double = factories.patient()
    double.locations.set(practice.patient.locations.all())
    now = timezone.now()
    merge = PatientMerge.objects.create(
        retired=double, kept=practice.patient, told_by="link", at=now, moved=[{"entry": 1}], taken_over_at=now
    )
    page = admin_client.get(f"/admin/scheduling/patientmerge/{merge.pk}/change/")
    assert "1 entry, " in text_of(page)
    assert "&lt;span" not in page.content.decode()


def test_spoken_consent_needs_a_number_and_both_keys_in_one_call(dana: Client, practice: Practice) -> None:
    patient = factories.patient(consent=(), locations=[practice.riverside])
    spoken = f"/admin/waitlist/consentrecord/spoken/{patient.pk}/"
    wrong: tuple[dict[str, str], ...] = ({}, {"number": str(practice.patient.contact_points.get(system="phone").pk)})
    for chosen in wrong:
        answer = dana.post(spoken, chosen)
        assert answer.headers["Location"] == f"/admin/waitlist/consentrecord/add/?patient={patient.pk}"
        assert said(dana, answer) == "Nothing was recorded: choose the number they agreed to."
    proof = dana.post(spoken, {"number": str(patient.contact_points.get(system="phone").pk)}).context["proof"]
    with time_machine.travel(timezone.now() + timedelta(hours=1)):
        late = dana.post(spoken, {"proof": proof})
    assert late.headers["Location"] == f"/admin/waitlist/consentrecord/add/?patient={patient.pk}"
    assert "Nothing was recorded: too much time has passed." in said(dana, late)
    assert not ConsentRecord.objects.filter(patient=patient).exists()


def test_consent_is_asked_for_usable_addresses_a_childs_guardian_first(dana: Client, practice: Practice) -> None:
    path = "/admin/waitlist/consentrecord/add/?patient={}"
    child = factories.patient(birth_date=date(2020, 1, 5), locations=[practice.riverside])
    factories.contact(child, "+12125550166", guardian=True, rank=9)
    factories.contact(child, "+12125550167", state="frozen")
    shown = dana.get(path.format(child.pk))
    labels = [label for _, label in shown.context["form"].fields["contact_point"].choices]
    assert labels[0] == "phone (212) 555-0166 (guardian)"
    assert not any("0167" in label or "guardian" in label for label in labels[1:])
    grown = factories.patient(birth_date=date(1970, 1, 5), locations=[practice.riverside])
    factories.contact(grown, "+12125550168", guardian=True, rank=0)
    shown = dana.get(path.format(grown.pk))
    assert "(guardian)" in [label for _, label in shown.context["form"].fields["contact_point"].choices][-1]


def test_only_those_with_the_right_record_consent(dana: Client, practice: Practice) -> None:
    Group.objects.get(name=FRONT_DESK).permissions.remove(Permission.objects.get(codename="add_consentrecord"))
    for path in ("add/?patient={}", "spoken/{}/", "paper/{}/"):
        assert dana.post(f"/admin/waitlist/consentrecord/{path.format(practice.patient.pk)}").status_code == 403
    assert dana.get("/admin/waitlist/consentrecord/").status_code == 200
    assert not ConsentLink.objects.exists()


def test_who_asks_for_consent_has_the_words_of_each_way_and_leaves_a_record_of_the_look(
    dana: Client, practice: Practice
) -> None:
    path = f"/admin/waitlist/consentrecord/{{}}?patient={practice.patient.pk}"
    words = text_of(dana.get(path.format("add/")))
    assert "may text you when an earlier appointment opens up" in words
    assert "may e-mail you when an earlier appointment opens up" in words
    seen = ("scheduling.patient", str(practice.patient.pk))
    assert records("view") == [seen]
    dana.post(f"/admin/waitlist/consentrecord/paper/{practice.patient.pk}/")
    assert records("view") == [seen, seen]


def test_the_ledger_says_when_whose_and_which_consent(dana: Client, practice: Practice) -> None:
    ConsentRecord.objects.exclude(patient=practice.patient).delete()
    words = text_of(dana.get("/admin/waitlist/consentrecord/"))
    row = ConsentRecord.objects.latest("pk")
    assert str(practice.patient.full_name) in words
    assert words.count(row.get_action_display()) > 1, "in the list and in its filter"
    assert "ago" in words or "just now" in words


@pytest.mark.parametrize(("source", "version"), [("spoken", "words"), ("form", "")])
def test_only_spoken_consent_is_noted_with_the_words_that_were_read_out(
    dana: Client, practice: Practice, source: str, version: str
) -> None:
    person = factories.patient(consent=(), email=None, locations=[practice.riverside])
    form = {"contact_point": person.contact_points.get().pk, "action": "granted", "source": source}
    dana.post(f"/admin/waitlist/consentrecord/add/?patient={person.pk}", form)
    row = ConsentRecord.objects.get(patient=person)
    assert bool(row.wording_version) == bool(version)
