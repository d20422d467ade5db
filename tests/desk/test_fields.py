"""The page of patients' fields and the mappings' file: who may do what, what is recorded, what is refused in words."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from integrations import mapping, mapping_state
from integrations.ehr import gateway
from integrations.field_health import EMPTY_AFTER
from integrations.field_mapping import owner_of
from integrations.models import CodeMapping, Connection, FieldHealth, FieldMapping, InboundEvent, MappingChange
from scheduling.models import ExternalId, LocationAccess, PatientIdentifier
from scheduling.patients import identifier_index
from tests import factories, fakes
from tests.desk.conftest import Practice
from tests.desk.pages import records, said, text_of

PORTAL = "Patient.extension.where(url = 'urn:portal').valueCode"


def field_page(practice: Practice, field: str) -> str:
    return f"/admin/connections/{practice.connection.pk}/fields/{field}/"


def asked(**fields: str) -> dict[str, str]:
    usual = {"fhirpath": "", "fhirpath_transform": "trim", "hl7v2": "", "hl7v2_transform": "trim", "owner": "ehr"}
    return usual | fields


def test_a_field_is_changed_on_record_and_the_change_is_undone(ira: Client, practice: Practice) -> None:
    page = field_page(practice, "preferred_name")
    answer = ira.post(page, asked(fhirpath="Patient.name.where(use = 'nickname').given", owner="practice"))
    assert said(ira, answer).startswith("Changed. All patients are read again")
    assert FieldMapping.objects.get().path == "Patient.name.where(use = 'nickname').given"
    assert owner_of(practice.connection, "preferred_name") == "practice"
    assert said(ira, ira.post(page, asked(fhirpath=FieldMapping.objects.get().path, owner="practice"))) == (
        "Nothing was changed: it is so already."
    )
    change = MappingChange.objects.get()
    assert (change.by, change.how) == ("ira", "edit")
    undo = f"/admin/connections/{practice.connection.pk}/mappings/{change.pk}/undo/"
    assert said(ira, ira.post(undo)) == "Undone: 2 values as before."
    assert said(ira, ira.post(undo)) == "It was undone already; nothing was changed."
    assert not FieldMapping.objects.exists()
    assert owner_of(practice.connection, "preferred_name") == "ehr"


def test_a_field_goes_back_to_its_usual_place_and_nothing_else_does(ira: Client, practice: Practice) -> None:
    ours, name = practice.connection, "preferred_name"
    others = {
        FieldMapping.objects.create(connection=connection, field=field, path_kind=kind, path=path)
        for connection, field, kind, path in (
            (factories.connection("oak"), name, "fhirpath", "Patient.name.text"),
            (ours, "address", "fhirpath", "Patient.address.text"),
            (ours, name, "hl7v2", "ZPI-2"),
        )
    }
    for transform in ("title", "trim"):
        ira.post(field_page(practice, name), asked(hl7v2="ZPI-2", fhirpath_transform=transform))
        found = FieldMapping.objects.filter(connection=ours, field=name, path_kind="fhirpath")
        assert [row.transform for row in found] == ([transform] if transform == "title" else [])
    assert set(FieldMapping.objects.all()) == others


def test_a_path_that_is_none_is_refused_beside_its_field(ira: Client, practice: Practice) -> None:
    page = text_of(ira.post(field_page(practice, "language"), asked(fhirpath="Patient.name(", hl7v2="PID.5")))
    assert "It cannot be read from character" in page
    assert "An HL7 v2 path is segment, field, component" in page
    assert not MappingChange.objects.exists()


def test_the_legal_name_offers_no_owner_and_takes_none(ira: Client, practice: Practice) -> None:
    page = text_of(ira.get(field_page(practice, "family_name")))
    assert "Owner: the EHR, always. The EHR’s legal name and birth date always win" in page
    ira.post(field_page(practice, "family_name"), asked(owner="practice"))
    assert owner_of(practice.connection, "family_name") == "ehr"


def test_a_value_is_shown_to_those_who_may_see_the_patient_and_the_look_is_recorded(
    maria: Client, dana: Client, ira: Client, practice: Practice
) -> None:
    FieldHealth.objects.create(
        connection=practice.connection, field="preferred_name", last_good_value="Bobby",
        last_good_at=timezone.now(), last_good_external_id=f"pat-{practice.patient.pk}",
    )  # fmt: skip
    page = field_page(practice, "preferred_name")
    assert "Bobby" not in text_of(ira.get(page))
    for path in (page, f"/admin/connections/{practice.connection.pk}/fields/"):
        assert dana.get(path).status_code == 403
    # Nor is it for somebody of the place who may not see patients.
    clerk = User.objects.create_user("clerk", is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="view_fieldmapping"))
    LocationAccess.objects.create(user=clerk, location=practice.riverside)
    of_clerk = Client()
    of_clerk.force_login(clerk, backend="django.contrib.auth.backends.ModelBackend")
    assert "Bobby" not in text_of(of_clerk.get(page))
    assert of_clerk.post(page, asked(owner="practice")).status_code == 403
    assert owner_of(practice.connection, "preferred_name") == "ehr"
    assert records("view") == []
    assert "Bobby" in text_of(maria.get(page))
    assert records("view") == [("scheduling.patient", str(practice.patient.pk))]


def test_where_no_event_holds_a_patient_the_ehr_is_asked_for_one(
    maria: Client, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(gateway.ADAPTERS, "fhir", "tests.fakes.open_gateway")
    ehr = fakes.stand_in(practice.connection, fakes.FakeEhr())
    wanted: dict[str, Any] = {"try": "fhirpath", "fhirpath": "Patient.name.given", "fhirpath_transform": "trim"}
    page = field_page(practice, "preferred_name")
    nobody = "Not tried: No patient came with an event lately, and the EHR showed none when it was asked."
    assert nobody in text_of(maria.post(page, asked(**wanted)))
    for number, person in enumerate((practice.their_patient, practice.patient)):
        name = f"pat-{person.pk}"
        ehr.patients[name] = {
            "resourceType": "Patient",
            "id": name,
            "name": [{"family": "A", "given": [f"Bo{number}"]}],
        }
    ExternalId.objects.filter(kind="patient", object_id=practice.their_patient.pk).update(seen_at=timezone.now())
    elsewhere = factories.external_id(factories.source("elsewhere"), "patient", practice.patient, "not-here")
    ExternalId.objects.filter(pk=elsewhere.pk).update(seen_at=timezone.now())
    tried = "Tried on a patient read from the EHR just now: It gives a value."
    assert f"{tried} It is: Bo0 Nothing was changed." in text_of(maria.post(page, asked(**wanted)))
    # Whoever had it when it last came is the best to try it on.
    FieldHealth.objects.create(
        connection=practice.connection, field="preferred_name", last_good_external_id=f"pat-{practice.patient.pk}"
    )
    assert f"{tried} It is: Bo1 Nothing was changed." in text_of(maria.post(page, asked(**wanted)))
    assert records("view")[-1] == ("scheduling.patient", str(practice.patient.pk))
    Connection.objects.update(state="paused")
    assert "there is nothing to try it on" in text_of(maria.post(page, asked(**wanted)))
    assert ehr.calls == ["read_patient"] * 3
    assert not FieldMapping.objects.exists()


def test_a_path_is_tried_on_the_patient_who_came_last_and_changes_nothing(
    maria: Client, ira: Client, practice: Practice
) -> None:
    portal: dict[str, Any] = {"try": "1", "fhirpath": PORTAL, "fhirpath_transform": "yes_no"}
    page = field_page(practice, "portal_active")
    resource = {
        "resourceType": "Patient",
        "id": f"pat-{practice.patient.pk}",
        "name": [{"family": "A"}],
        "extension": [{"url": "urn:portal", "valueCode": "inactive"}],
    }
    InboundEvent.objects.create(
        connection=practice.connection, via="webhook", dedupe_key="p", subject_key="Patient/1", due_at=timezone.now(),
        received_at=timezone.now(), body=json.dumps(resource).encode(),
    )  # fmt: skip
    # What came since then of something else, from another EHR or beside it, is not whom it is tried on.
    theirs = {**resource, "extension": [{"url": "urn:portal", "valueCode": "active"}]}
    bundle = {
        "resourceType": "Bundle",
        "entry": [{"resource": each} for each in (None, {"resourceType": "Group"}, resource)],
    }
    for connection, subject, body in (
        (practice.connection, "Patient/1", bundle),
        (practice.connection, "Appointment/1", theirs),
        (factories.connection("oak"), "Patient/1", theirs),
    ):
        InboundEvent.objects.create(
            connection=connection, via="webhook", dedupe_key=f"{connection.pk}{subject}", subject_key=subject,
            due_at=timezone.now(), received_at=timezone.now(), body=json.dumps(body).encode(),
        )  # fmt: skip
    assert "It gives a value. Nothing was changed." in text_of(ira.post(page, asked(**portal)))
    assert records("view") == []
    assert "It gives a value. It is: no Nothing was changed." in text_of(maria.post(page, asked(**portal)))
    assert records("view") == [("scheduling.patient", str(practice.patient.pk))]
    assert "the path leads to a whole element" in text_of(
        ira.post(page, asked(**portal | {"fhirpath": "Patient.extension"}))
    )
    assert not FieldMapping.objects.exists()


def test_an_hl7_v2_path_is_tried_on_the_last_message_and_changes_nothing(
    maria: Client, ira: Client, practice: Practice
) -> None:
    page = field_page(practice, "preferred_name")
    wanted: dict[str, Any] = {"try": "hl7v2", "hl7v2": "ZPI-2", "hl7v2_transform": "title"}
    assert "No HL7 v2 message about a patient came lately" in text_of(ira.post(page, asked(**wanted)))
    system, number, oak = practice.connection.mrn_system, "M-77", factories.connection("oak")
    PatientIdentifier.objects.create(
        patient=practice.patient, source=practice.connection.source, system=system, value=number,
        value_index=identifier_index(system, number),
    )  # fmt: skip
    for minute, called in enumerate(("", '""', "BOBBY")):
        body = f"MSH|^~\\&|A|B|||2026||ADT^A08|{minute}|P|2.5\rPID|1||M-77^^^X^MR\rZPI|1|{called}"
        InboundEvent.objects.create(
            connection=practice.connection, via="webhook", dedupe_key=called, subject_key="Patient#1",
            due_at=timezone.now(), received_at=timezone.now(), body=body.encode(),
            content_type="x-application/hl7-v2+er7",
        )  # fmt: skip
        InboundEvent.objects.create(
            connection=oak, via="webhook", dedupe_key=called, subject_key="Patient#1", due_at=timezone.now(),
            received_at=timezone.now(), body=f"{body.rpartition('|')[0]}|ELSEWHERE".encode(),
            content_type="x-application/hl7-v2+er7",
        )  # fmt: skip
        words = text_of(maria.post(page, asked(**wanted)))
        expected = {
            "": "The message says nothing there: what we have stays. Nothing was changed.",
            '""': "It says that there is none any more. Nothing was changed.",
            "BOBBY": "It gives a value. It is: Bobby Nothing was changed.",
        }
        assert expected[called] in words
    assert records("view") == [("scheduling.patient", str(practice.patient.pk))]
    assert "Bobby" not in text_of(ira.post(page, asked(**wanted)))
    assert not FieldMapping.objects.exists()


def test_the_page_says_whether_an_hl7_v2_path_is_read(ira: Client, practice: Practice) -> None:
    page = field_page(practice, "language")
    assert "messages only bring news" in text_of(ira.get(page))
    Connection.objects.filter(pk=practice.connection.pk).update(messages_tell="fields")
    assert "followed in each ADT message" in text_of(ira.get(page))


def test_the_list_names_the_place_that_is_read(ira: Client, practice: Practice) -> None:
    connections, own = Connection.objects.filter(pk=practice.connection.pk), {"hl7v2": "ZPI-7", "fhirpath": ""}
    ira.post(field_page(practice, "language"), asked(**own, fhirpath_transform="language", hl7v2_transform="language"))

    def places() -> dict[str, tuple[str, bool]]:
        rows = ira.get(f"/admin/connections/{practice.connection.pk}/fields/").context["rows"]
        return {row.field.key: (row.path, row.is_own) for row in rows}

    assert places()["language"][0].startswith("Patient.communication")
    connections.update(messages_tell="fields")
    assert places()["language"] == ("ZPI-7", True)
    assert places()["birth_date"] == ("Patient.birthDate", False)
    connections.update(kind="hl7v2", loaded_at=None)
    assert places()["birth_date"] == ("PID-7", False)
    answer = ira.post(field_page(practice, "language"), asked(hl7v2="ZPI-8", hl7v2_transform="language"))
    assert said(ira, answer) == "Changed. It holds for messages from now on; it can be undone under “As a file”."


def test_the_list_says_what_stopped_and_since_when(ira: Client, practice: Practice) -> None:
    FieldHealth.objects.create(
        connection=practice.connection, field="language", failures=12, last_problem="it is no language code",
        failing_since=timezone.now(),
    )  # fmt: skip
    page = text_of(ira.get(f"/admin/connections/{practice.connection.pk}/fields/"))
    assert "12 failed in a row Last: it is no language code." in page
    assert page.count("just now") == 1
    assert "No EHR tells it in a usual place: give its path." in page
    assert "Preferred name the EHR none so far No patient read so far had it." in page
    Connection.objects.update(loaded_at=None)
    page = text_of(ira.get(f"/admin/connections/{practice.connection.pk}/fields/"))
    assert "Preferred name the EHR not read yet" in page


def test_a_file_is_exported_and_imported_only_by_those_who_may(ira: Client, dana: Client, practice: Practice) -> None:
    mapping.map_code(practice.connection, "reason", "", "x-9", "rebookable")
    start = f"/admin/connections/{practice.connection.pk}/mappings/"
    for path in ("", "export/"):
        assert dana.get(start + path).status_code == 403
    answer = ira.get(f"{start}export/")
    assert answer["Content-Disposition"] == 'attachment; filename="mappings-sandbox.yaml"'
    assert records("export") == [("integrations.connection", str(practice.connection.pk))]
    body = answer.content.replace(b"means: rebookable", b"means: ask_staff")
    for path, data in (("import/", {"file": upload(body)}), ("apply/", {"body": body.decode()}), ("1/undo/", {})):
        assert dana.post(start + path, data).status_code == 403
    assert ira.get(f"{start}apply/").status_code == 405

    several = body.replace(b"missing_reason: offer", b"missing_reason: staff").replace(
        b"owner: ehr", b"owner: practice"
    )
    shown = ira.post(f"{start}import/", {"file": upload(several.replace(b"  location: []\n", b""))}).context["lines"]
    numbers = [number for _, number in shown]
    assert (len(numbers) > 2, numbers) == (True, sorted(numbers))
    page = text_of(ira.post(f"{start}import/", {"file": upload(body)}))
    assert "1 changed Nothing is changed yet." in page
    # Without the fingerprint of what was looked at nothing is applied.
    assert "somebody changed the mappings" in text_of(ira.post(f"{start}apply/", {"body": body.decode()}))
    assert CodeMapping.objects.get(code="x-9").target == "rebookable"


def upload(body: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile("m.yaml", body)


def test_a_bad_file_or_none_changes_and_loses_nothing(ira: Client, practice: Practice) -> None:
    mapping.map_code(practice.connection, "reason", "", "x-9", "rebookable")
    start = f"/admin/connections/{practice.connection.pk}/mappings/"
    body, before = ira.get(f"{start}export/").content, mapping_state.current(practice.connection)
    assert "No file was chosen" in text_of(ira.post(f"{start}import/"))
    wrong = body.replace(b"means: rebookable", b"means: rebook")
    seen = mapping_state.fingerprint(before)
    for path, data in (("import/", {"file": upload(wrong)}), ("apply/", {"body": wrong.decode(), "seen": seen})):
        page = text_of(ira.post(start + path, data))
        assert "Nothing was imported and nothing was changed." in page
        assert "“rebook” is nothing that a code of this kind can mean. It can mean ask_staff, not_reb" in page
    assert mapping_state.current(practice.connection) == before
    assert (MappingChange.objects.count(), records("import")) == (0, [])
    good = {"body": body.replace(b"means: rebookable", b"means: ask_staff").decode(), "seen": seen}
    assert said(ira, ira.post(f"{start}apply/", good)) == "Imported: 1 value changed. It can be undone below."
    assert records("import") == [("integrations.connection", str(practice.connection.pk))]
    again = good | {"seen": mapping_state.fingerprint(mapping_state.current(practice.connection))}
    assert "the mappings are already as in the file" in said(ira, ira.post(f"{start}apply/", again))


def test_a_field_that_merely_stopped_coming_did_so_when_it_came_last(ira: Client, practice: Practice) -> None:
    long_ago = timezone.now() - timedelta(days=3)
    FieldHealth.objects.create(connection=practice.connection, field="phones", empty=EMPTY_AFTER, last_good_at=long_ago)
    FieldHealth.objects.create(connection=practice.connection, field="emails", empty=1, last_good_at=long_ago)
    rows = {row.field.key: row for row in ira.get(field_page(practice, "")[:-1]).context["rows"]}
    assert (rows["phones"].state[:2], rows["phones"].since) == (("stopped coming", "danger"), long_ago)
    assert rows["phones"].state[2] == "The last 200 patients had nothing there."
    assert (rows["emails"].state, rows["emails"].since) == (("comes", "ok", "The last patient had none."), None)
