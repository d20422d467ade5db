"""Details of patients by the practice's own paths: they are followed, they are counted, and they do no harm."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from integrations import mapping_changes
from integrations.ehr.fhir.adapter import FhirGateway
from integrations.ehr.field_reading import follow
from integrations.ehr.transforms import Unfit, tidied
from integrations.field_health import EMPTY_AFTER, TOLD_AFTER, HealthBook, is_failing, said
from integrations.models import Connection, FieldHealth, FieldMapping
from scheduling.models import WorkItem
from scheduling.patients import apply_patient
from scheduling.records import ContactRecord, EmergencyContact, PatientRecord
from tests import factories

pytestmark = pytest.mark.django_db

PORTAL = "Patient.extension.where(url = 'urn:portal').valueCode"


@pytest.fixture
def connection() -> Connection:
    return factories.connection("elm")


def mapped(connection: Connection, field: str, path: str, transform: str = "trim") -> None:
    FieldMapping.objects.create(connection=connection, field=field, path=path, transform=transform)


def read(connection: Connection, **fields: Any) -> PatientRecord:
    resource = {
        "resourceType": "Patient",
        "id": "p-1",
        "name": [{"use": "official", "given": ["Roberta"], "family": "Sample"}, {"use": "usual", "given": ["Bo"]}],
        "birthDate": "1980-01-02",
        "telecom": [{"system": "phone", "value": "+12125550101", "rank": 2}],
        **fields,
    }
    found = FhirGateway(connection).read("patient", resource)
    assert isinstance(found, PatientRecord)
    return found


def health(connection: Connection, field: str) -> FieldHealth:
    return FieldHealth.objects.get(connection=connection, field=field)


def test_details_are_carried_by_declared_mappings(connection: Connection) -> None:
    mapped(connection, "preferred_name", "Patient.extension.where(url = 'urn:called').valueString", "title")
    mapped(connection, "language", "Patient.communication.language.coding.where(system = 'urn:lang').code", "language")
    mapped(connection, "phones", "Patient.telecom.where(use = 'mobile') | Patient.extension.valuePhone", "phone")
    mapped(connection, "emails", "Patient.extension.where(url = 'urn:mail').valueString", "lower")
    mapped(connection, "emergency_contact", "Patient.contact.where(relationship.text = 'ICE')")
    mapped(connection, "portal_active", PORTAL, "yes_no")

    told = read(
        connection,
        extension=[
            {"url": "urn:called", "valueString": " BOBBY "},
            {"url": "urn:mail", "valueString": "A@Example.org"},
            {"url": "urn:mail", "valueString": "b@example.org"},
            {"url": "urn:portal", "valueCode": "inactive"},
        ],
        communication=[{"language": {"coding": [{"system": "urn:lang", "code": "es_MX"}]}}],
        telecom=[
            {"system": "phone", "value": "(212) 555-0102", "use": "mobile", "rank": 1},
            {"system": "phone", "value": "(212) 555-0103", "use": "work"},
        ],
        contact=[{"relationship": [{"text": "ICE"}], "name": {"text": "Ana Ruiz"}}],
    )

    assert (told.given_name, told.family_name, told.preferred_name) == ("Roberta", "Sample", "Bobby")
    assert (told.language, told.portal_active) == ("es-MX", False)
    assert told.emergency_contact == EmergencyContact("Ana Ruiz", "ICE")
    assert told.contacts == (
        ContactRecord("email", "a@example.org", rank=1),
        ContactRecord("email", "b@example.org", rank=2),
        ContactRecord("phone", "+12125550102", "mobile", 1),
    )
    kept = dict(FieldHealth.objects.values_list("field", "last_good_value"))
    assert {name: kept[name] for name in ("emails", "phones", "portal_active", "emergency_contact")} == {
        "emails": "a@example.org",
        "phones": "+12125550102",
        "portal_active": "no",
        "emergency_contact": "Ana Ruiz",
    }


def test_what_cannot_be_read_is_counted_and_leaves_what_is_held(connection: Connection) -> None:
    kept = apply_patient(connection.source, read(connection), timezone.now())
    mapped(connection, "preferred_name", "Patient.name")
    mapped(connection, "phones", "Patient.telecom.value", "phone")

    told = read(connection, telecom=[{"system": "phone", "value": "ask the daughter"}], birthDate="1980")

    assert told.unread == {"preferred_name", "phones", "birth_date"}
    apply_patient(connection.source, told, timezone.now() + timedelta(seconds=1))
    kept.refresh_from_db()
    assert (kept.preferred_name, str(kept.birth_date), bool(kept.birth_date_index)) == ("Bo", "1980-01-02", True)
    assert [(row.value, row.use) for row in kept.contact_points.all()] == [("+12125550101", "")]
    row = health(connection, "preferred_name")
    assert (row.failures, row.last_good_value, row.last_good_external_id) == (1, "Bo", "p-1")
    assert row.failing_since is not None
    assert row.last_problem == "the path leads to a whole element, not to a value in it"
    of_usual_place = health(connection, "birth_date")
    assert (of_usual_place.failures, of_usual_place.last_problem) == (1, "it cannot be read")


def test_a_field_that_keeps_failing_becomes_work_and_stops_being_it_by_itself(connection: Connection) -> None:
    mapped(connection, "portal_active", PORTAL, "yes_no")
    bad, good = ([{"url": "urn:portal", "valueCode": word}] for word in ("perhaps", "active"))
    for _ in range(TOLD_AFTER - 1):
        read(connection, extension=bad)
    assert not WorkItem.objects.exists()
    read(connection, extension=bad)
    item = WorkItem.objects.get()
    assert (item.kind, item.status) == ("mapping.field", "open")
    since = health(connection, "portal_active").failing_since
    read(connection, extension=bad)
    assert health(connection, "portal_active").failing_since == since

    read(connection, extension=good)

    item.refresh_from_db()
    row = health(connection, "portal_active")
    assert (item.status, row.failures, row.failing_since, row.last_good_value) == ("done", 0, None, "yes")


def test_another_path_answers_what_was_asked_and_the_counting_begins_anew(connection: Connection) -> None:
    mapped(connection, "portal_active", PORTAL, "yes_no")
    bad, good = ([{"url": "urn:portal", "valueCode": word}] for word in ("perhaps", "active"))
    for _ in range(TOLD_AFTER):
        read(connection, extension=bad)
    item = WorkItem.objects.get()
    key = ("path", "portal_active", FieldMapping.PathKind.FHIRPATH)

    mapping_changes.change(connection, {key: {"path": f"({PORTAL})", "transform": "yes_no"}}, by="ira")

    item.refresh_from_db()
    row = health(connection, "portal_active")
    assert (item.status, item.done_by, row.failures, row.failing_since) == ("done", "ira", 0, None)
    read(connection, extension=good)
    assert health(connection, "portal_active").last_good_value == "yes"
    for _ in range(TOLD_AFTER):
        read(connection, extension=bad)
    assert WorkItem.objects.filter(status="open").count() == 1


def test_what_one_ehr_no_longer_tells_says_nothing_of_another(connection: Connection) -> None:
    other = factories.connection("oak")
    for each in (other, connection):
        mapped(each, "portal_active", PORTAL, "yes_no")
        read(each, extension=[{"url": "urn:portal", "valueCode": "active"}])
    for _ in range(TOLD_AFTER):
        read(connection, extension=[{"url": "urn:portal", "valueCode": "perhaps"}])
    counted = [health(each, "portal_active").failures for each in (connection, other)]
    assert counted == [TOLD_AFTER, 0]
    assert WorkItem.objects.get().subject_id == health(connection, "portal_active").pk
    read(other, extension=[{"url": "urn:portal", "valueCode": "active"}])
    key = ("path", "portal_active", FieldMapping.PathKind.FHIRPATH)
    mapping_changes.change(other, {key: {"path": f"({PORTAL})", "transform": "yes_no"}}, by="ira")
    assert (WorkItem.objects.get().status, health(connection, "portal_active").failures) == ("open", TOLD_AFTER)
    # Nor of another field of the same EHR, read as before.
    key = ("path", "language", FieldMapping.PathKind.FHIRPATH)
    mapping_changes.change(connection, {key: {"path": "Patient.language", "transform": "language"}}, by="ira")
    assert (WorkItem.objects.get().status, health(connection, "portal_active").failures) == ("open", TOLD_AFTER)


def test_a_field_that_moved_away_is_noticed_though_nothing_is_wrong_with_any_patient(connection: Connection) -> None:
    read(connection)
    FieldHealth.objects.filter(field__in=("phones", "preferred_name")).update(empty=EMPTY_AFTER - 1)
    read(connection, telecom=[], name=[{"use": "official", "given": ["Roberta"], "family": "Sample"}])
    # Few have a preferred name; nearly all have a telephone.
    assert [item.title for item in WorkItem.objects.all()] == [
        "A detail of patients no longer comes from the EHR: Telephone numbers"
    ]


def test_what_no_patient_ever_had_has_not_stopped_coming(connection: Connection) -> None:
    FieldHealth.objects.create(connection=connection, field="phones", empty=EMPTY_AFTER)
    read(connection, telecom=[])
    assert (is_failing(health(connection, "phones")), health(connection, "phones").empty) == (False, EMPTY_AFTER + 1)
    assert not WorkItem.objects.exists()


def test_a_path_of_the_practices_own_that_leads_nowhere_any_more_is_noticed(connection: Connection) -> None:
    mapped(connection, "preferred_name", "Patient.extension.where(url = 'urn:called').valueString")
    FieldHealth.objects.create(
        connection=connection, field="preferred_name", empty=EMPTY_AFTER - 1, last_good_at=timezone.now()
    )
    read(connection)
    assert WorkItem.objects.get().title == "A detail of patients no longer comes from the EHR: Preferred name"


def test_a_patient_without_what_every_patient_has_is_a_failure(connection: Connection) -> None:
    read(connection, birthDate=None)
    row = health(connection, "birth_date")
    assert (row.failures, row.last_problem, row.failing_since is not None) == (1, "there is none", True)


def test_of_what_messages_tell_fhir_counts_nothing(connection: Connection) -> None:
    connection.messages_tell = Connection.MessagesTell.FIELDS
    connection.save()
    kind = FieldMapping.PathKind.HL7V2
    FieldMapping.objects.create(connection=connection, field="phones", path="ZPI-2", path_kind=kind)
    assert "phones" in read(connection, telecom=[]).unread
    assert not FieldHealth.objects.filter(field="phones").exists()


def test_a_guardians_number_is_no_number_of_the_patient() -> None:
    of_guardian, own = ContactRecord("phone", "+12125550101", guardian=True), ContactRecord("phone", "+12125550102")
    assert said(PatientRecord("p", contacts=(of_guardian, own)), "phones") == "+12125550102"
    assert said(PatientRecord("p", contacts=(of_guardian,)), "phones") == ""


def test_an_own_path_makes_good_what_the_usual_place_does_not_tell(connection: Connection) -> None:
    mapped(connection, "birth_date", "Patient.extension.valueString", "date")
    mapped(factories.connection("oak"), "birth_date", "Patient.name", "date")
    told = read(connection, birthDate="1980", extension=[{"url": "urn:born", "valueString": "19800102"}])
    assert (told.birth_date, told.unread) == (date(1980, 1, 2), frozenset())


@pytest.mark.parametrize(
    ("field", "path", "transform", "kept"),
    [
        ("address", "Patient.address", "trim", "1 Elm St, Apt 2, Troy NY 12180"),
        ("address", "Patient.address.line", "trim", "1 Elm St, Apt 2"),
        ("address", "Patient.photo.url", "trim", ""),
        ("emergency_contact", "Patient.contact.name.text", "title", EmergencyContact("Ana Ruiz")),
        ("emergency_contact", "Patient.photo.url", "trim", None),
        ("portal_active", "Patient.active", "yes_no", True),
        ("portal_active", "Patient.photo.url", "yes_no", None),
        ("birth_date", "Patient.photo.url", "date", None),
        ("preferred_name", "Patient.photo.url", "trim", ""),
    ],
)
def test_a_path_may_lead_to_the_whole_or_to_words_or_to_nothing(
    field: str, path: str, transform: str, kept: Any
) -> None:
    home = {"line": ["1 Elm St", "Apt 2"], "city": "Troy", "state": "NY", "postalCode": "12180"}
    resource = {
        "resourceType": "Patient",
        "active": True,
        "address": [home],
        "contact": [{"name": {"text": "ANA RUIZ"}}],
    }
    assert getattr(follow(field, path, transform, resource, PatientRecord("p-1")), field) == kept


def test_a_guardians_number_stays_beside_what_an_own_path_tells() -> None:
    guardian = ContactRecord("phone", "+12125550109", guardian=True)
    record = PatientRecord("p-1", contacts=(guardian, ContactRecord("phone", "+12125550108")))
    resource = {"resourceType": "Patient", "id": "p-1", "telecom": [{"system": "phone", "value": "+12125550101"}]}
    told = follow("phones", "Patient.telecom.value", "phone", resource, record)
    assert [each.value for each in told.contacts] == ["+12125550101", "+12125550109"]


@pytest.mark.parametrize(
    ("value", "how", "kept"),
    [
        ("McDONALD Jr", "title", "McDONALD Jr"),
        ("MCDONALD", "title", "Mcdonald"),
        ("es_MX", "language", "es-MX"),
        ("Spanish, mostly", "language", None),
        ("19800102", "date", date(1980, 1, 2)),
        ("1980-01", "date", None),
        ("Y", "yes_no", True),
        ("perhaps", "yes_no", None),
        ("ask the daughter", "phone", None),
    ],
)
def test_what_is_tidied_is_kept_or_refused_in_words(value: str, how: str, kept: Any) -> None:
    if kept is None:
        with pytest.raises(Unfit) as refused:
            tidied(value, how)
        assert value not in str(refused.value)
    else:
        assert tidied(value, how) == kept


def test_one_strange_resource_never_ends_a_page(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    mapped(connection, "language", "Patient.name.family + 1", "language")
    assert "language" in read(connection, name=[{"family": "A"}, {"family": "B"}]).unread


def test_while_all_is_well_a_page_of_patients_costs_one_query(
    connection: Connection, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    gateway = FhirGateway(connection)
    phone = {"system": "phone", "value": "1"}
    resource = {
        "resourceType": "Patient",
        "id": "p-1",
        "name": [{"family": "A"}],
        "birthDate": "1980-01-02",
        "telecom": phone,
    }
    gateway.read("patient", resource)
    with django_assert_num_queries(1):
        gateway.read("patient", resource)
    # When a value last came is true to the minute.
    FieldHealth.objects.update(last_good_at=timezone.now() - timedelta(minutes=2))
    gateway.read("patient", {**resource, "birthDate": "1980-01-03"})
    row = health(connection, "birth_date")
    assert row.last_good_at is not None
    assert row.last_good_at > timezone.now() - timedelta(minutes=1)
    assert row.last_good_value == "1980-01-03"


def test_what_fails_after_the_last_good_one_of_a_page_is_counted(connection: Connection) -> None:
    book = HealthBook(connection)
    good = PatientRecord("p", family_name="A", contacts=(ContactRecord("phone", "+12125550102"),))
    for bad in (0, 3, 0):
        book.note(good, set())
        for _ in range(bad):
            book.note(PatientRecord("p"), set())
        book.flush()
        assert (health(connection, "family_name").failures, health(connection, "phones").empty) == (bad, bad)
