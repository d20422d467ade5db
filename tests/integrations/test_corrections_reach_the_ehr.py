"""What is corrected here reaches the EHR: by version, merged where it changed, never over what it says otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations import demographics, patient_outcomes, sweep
from integrations.admin.patient_writes import lines
from integrations.ehr import load, onward
from integrations.ehr.fhir.adapter import FhirGateway
from integrations.ehr.gateway import connect
from integrations.models import Connection, InboundEvent
from scheduling import corrections, patient_writes, patients, practice
from scheduling.corrections import Correction, Detail
from scheduling.models import ContactPoint, ExternalId, Patient, PatientWrite, Source, WorkItem
from scheduling.patient_writes import CorrectionRefused
from scheduling.records import ContactRecord, PatientRecord
from tests import factories
from tests.fixtures import sandbox as ehr
from tests.fixtures.sandbox import Sandbox
from waitlist import contact_codes
from waitlist.contact_codes import Answer, Written
from waitlist.models import Message
from waitlist.own_contacts import Change

pytestmark = [pytest.mark.django_db, pytest.mark.long]

SCOPES = "system/*.read system/Appointment.write system/Patient.write"
OLD, NEW, THEIRS = factories.made_up_phone(1), "+12125550188", "+12125550199"
EXTENSION = [{"url": "https://example.org/fhir/odd", "valueString": "kept"}]


class Elm:
    """A patient of the sandbox, mirrored here, whose record there holds things we know nothing of."""

    def __init__(self, sandbox: Sandbox, **fields: Any) -> None:
        self.sandbox = sandbox
        self.raw: dict[str, Any] = {
            **ehr.patient("patient-1", 1),
            "extension": EXTENSION,
            "maritalStatus": {"text": "not ours"},
            "communication": [{"language": {"coding": [{"code": "en"}]}, "preferred": True, "extension": EXTENSION}],
        }
        self.raw["telecom"][0]["extension"] = EXTENSION
        self.raw["telecom"].append({"system": "fax", "value": "odd"})
        sandbox.load(self.raw)
        self.connection = sandbox.connect(scope=SCOPES, **fields)
        load.load(self.connection.pk)
        self.patient = Patient.objects.get()

    def correct(self, detail: Detail = Detail.PHONE, new: str = NEW, old: str = OLD, **fields: Any) -> PatientWrite:
        [row] = patient_writes.correct(self.patient, [Correction(detail, new, old, **fields)])
        return row

    def work(self, row: PatientWrite) -> str:
        """Work on the row once, now; return its state."""
        PatientWrite.objects.filter(pk=row.pk).update(due_at=timezone.now())
        Connection.objects.filter(quiet_until__isnull=False).update(quiet_until=timezone.now())
        demographics.process(row.pk)
        row.refresh_from_db()
        return row.status

    @property
    def there(self) -> dict[str, Any]:
        """The patient as the EHR has them."""
        return connect(self.connection).read_patient("patient-1").raw

    @property
    def phones(self) -> list[str]:
        """The patient's numbers here."""
        points = ContactPoint.objects.filter(patient=self.patient, system="phone").exclude(use="old")
        return [row.value for row in points]

    def change_there(self, **fields: Any) -> None:
        self.sandbox.change({**self.there, **fields})

    def phone_there(self, value: str) -> list[dict[str, Any]]:
        return [{**self.raw["telecom"][0], "value": value}, self.raw["telecom"][1]]

    def writes(self) -> list[dict[str, Any]]:
        return [call for call in self.sandbox.calls("Patient") if call["method"] in ("PATCH", "PUT")]


@pytest.fixture
def elm(sandbox: Sandbox) -> Elm:
    return Elm(sandbox)


def just_before_the_write(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Have somebody act in the EHR between our look and our first call."""
    write, acts = FhirGateway.correct_patient, [act]

    def late(self: FhirGateway, *arguments: Any) -> None:
        while acts:
            acts.pop()()
        write(self, *arguments)

    monkeypatch.setattr(FhirGateway, "correct_patient", late)


def test_a_corrected_number_counts_here_at_once_and_reaches_the_ehr_with_nothing_else_touched(elm: Elm) -> None:
    row = elm.correct()
    assert elm.phones == [NEW]
    assert "writebacks" in sweep.sweep()
    before = elm.there
    assert elm.work(row) == PatientWrite.Status.DONE
    after = elm.there
    assert after["telecom"][0] == {**before["telecom"][0], "value": NEW}
    assert {k: v for k, v in after.items() if k not in ("meta", "telecom")} == {
        k: v for k, v in before.items() if k not in ("meta", "telecom")
    }
    assert [call["method"] for call in elm.writes()] == ["PATCH"]
    assert ExternalId.objects.get(kind="patient").version == after["meta"]["versionId"]
    assert elm.phones == [NEW]


@pytest.mark.parametrize("by", ["patch", "put"])
def test_every_detail_is_written_in_its_place(elm: Elm, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    monkeypatch.setattr(FhirGateway, "known_better", {"corrects_patients": by})
    parts = {"line": "2 Oak St", "city": "Troy", "state": "NY", "postal_code": "12180"}
    [row] = patient_writes.correct(
        elm.patient,
        [
            Correction(Detail.EMAIL, "Robin@Example.org"),
            Correction(Detail.ADDRESS, "2 Oak St, Troy NY 12180", parts=parts),
            Correction(Detail.LANGUAGE, "es"),
            Correction(Detail.PREFERRED_NAME, "Bo"),
        ],
    )
    assert elm.work(row) == PatientWrite.Status.DONE
    there = elm.there
    assert there["telecom"] == [*elm.raw["telecom"], {"system": "email", "value": "robin@example.org"}]
    assert there["address"] == [
        {"use": "home", "line": ["2 Oak St"], "city": "Troy", "state": "NY", "postalCode": "12180"}
    ]
    assert there["name"] == [*elm.raw["name"], {"use": "nickname", "given": ["Bo"]}]
    assert [each["preferred"] for each in there["communication"]] == [False, True]
    assert there["communication"][0]["extension"] == there["extension"] == EXTENSION
    elm.patient.refresh_from_db()
    assert (elm.patient.language, elm.patient.preferred_name) == ("es", "Bo")
    assert [call["method"] for call in elm.writes()] == [by.upper()]


def test_a_version_that_went_stale_is_merged_and_sent_again(elm: Elm, monkeypatch: pytest.MonkeyPatch) -> None:
    row = elm.correct()
    just_before_the_write(monkeypatch, lambda: elm.change_there(maritalStatus={"text": "changed meanwhile"}))
    assert elm.work(row) == PatientWrite.Status.DONE
    assert [call["status"] for call in elm.writes()] == [412, 200]
    assert elm.there["maritalStatus"] == {"text": "changed meanwhile"}
    assert elm.there["telecom"][0]["value"] == NEW


def test_an_ehr_that_says_409_of_a_stale_version_is_read_and_asked_again(elm: Elm) -> None:
    elm.sandbox.fault("stale-409", method="PATCH", path="Patient", count=1)
    row = elm.correct()
    assert elm.work(row) == PatientWrite.Status.DONE
    assert [call["status"] for call in elm.writes()] == [409, 200]
    assert elm.there["telecom"][0]["value"] == NEW


@pytest.mark.parametrize("choice", ["theirs", "ours"])
def test_a_number_that_the_ehr_changed_otherwise_is_for_staff(
    elm: Elm, monkeypatch: pytest.MonkeyPatch, choice: str
) -> None:
    row = elm.correct()
    just_before_the_write(monkeypatch, lambda: elm.change_there(telecom=elm.phone_there(THEIRS)))
    assert elm.work(row) == PatientWrite.Status.CONFLICT
    assert elm.there["telecom"][0]["value"] == THEIRS
    assert row.conflicts == {f"phone:{OLD}": [THEIRS]}
    item = WorkItem.objects.get(status="open")
    assert (item.kind, item.subject_id, item.patient) == (patient_outcomes.CONFLICT, row.pk, elm.patient)

    if choice == "ours":
        assert patient_writes.send_ours(row)
        assert elm.work(row) == PatientWrite.Status.DONE
        assert [each["value"] for each in elm.there["telecom"]] == [NEW, "odd"]
        assert elm.phones == [NEW]
    else:
        assert demographics.take_theirs(row)
        [event] = InboundEvent.objects.filter(subject_key="Patient/patient-1", status="received")
        onward.process(event.pk)
        assert row.status == PatientWrite.Status.DROPPED
        assert elm.there["telecom"][0]["value"] == THEIRS
        assert elm.phones == [THEIRS]
    assert not WorkItem.objects.filter(status="open").exists()
    assert not patient_writes.send_ours(row)


def test_staff_overrule_what_they_saw_and_nothing_that_came_later(elm: Elm) -> None:
    row = elm.correct()
    elm.change_there(telecom=elm.phone_there(THEIRS))
    elm.work(row)
    elm.change_there(telecom=elm.phone_there("+12125550177"))
    assert patient_writes.send_ours(row)
    assert elm.work(row) == PatientWrite.Status.CONFLICT
    assert row.conflicts == {f"phone:{OLD}": ["+12125550177"]}
    assert elm.writes() == []


@pytest.mark.parametrize("fault", ["reset-after-commit", "html-200"])
def test_an_answer_that_was_lost_is_looked_up_and_not_sent_again(elm: Elm, fault: str) -> None:
    elm.sandbox.fault(fault, method="PATCH", count=1, processed=True)
    row = elm.correct()
    if fault == "reset-after-commit":
        assert elm.work(row) == PatientWrite.Status.UNKNOWN
    assert elm.work(row) == PatientWrite.Status.DONE
    assert len(elm.writes()) == 1
    assert elm.phones == [NEW]


def test_a_worker_that_died_leaves_a_row_that_is_looked_up(elm: Elm) -> None:
    row = elm.correct()
    leased = patient_writes.lease(row.pk)
    assert leased is not None
    assert patient_writes.keep(leased, sent=True)
    assert patient_writes.due() == []
    assert not demographics.process(row.pk), "the lease holds"
    lapsed = timezone.now() - timedelta(seconds=1)
    PatientWrite.objects.update(lease_until=lapsed)
    assert patient_writes.lease(row.pk) is not None
    assert not patient_writes.keep(leased), "the one that died no longer has it"
    assert not patient_writes.end(leased, PatientWrite.Status.DEAD)
    PatientWrite.objects.update(lease_until=lapsed)
    assert demographics.process(row.pk)
    row.refresh_from_db()
    assert row.status == PatientWrite.Status.DONE


def test_an_outage_is_no_rejection_and_paused_or_in_shadow_nothing_is_sent(elm: Elm) -> None:
    row = elm.correct()
    elm.sandbox.fault("down", count=None)
    for _ in range(4):
        assert elm.work(row) == PatientWrite.Status.WAITING
    assert row.attempts == 0
    elm.sandbox.heal()

    practice.pause("Maria")
    PatientWrite.objects.update(due_at=timezone.now())
    assert demographics.due() == []
    assert elm.work(row) == PatientWrite.Status.WAITING
    practice.resume("Maria")
    Source.objects.filter(pk=elm.connection.source_id).update(shadow_since=timezone.now())
    assert elm.work(row) == PatientWrite.Status.WAITING
    assert elm.writes() == []
    Source.objects.update(shadow_since=None)
    assert elm.work(row) == PatientWrite.Status.DONE


def test_while_everything_is_paused_a_lost_answer_waits_and_is_looked_up_afterwards(elm: Elm) -> None:
    elm.sandbox.fault("reset-after-commit", method="PATCH", count=1, processed=True)
    row = elm.correct()
    assert elm.work(row) == PatientWrite.Status.UNKNOWN
    practice.pause("Maria")
    PatientWrite.objects.update(due_at=timezone.now())
    assert (demographics.due(), demographics.is_due()) == ([], False)
    practice.resume("Maria")
    assert (demographics.due(), demographics.is_due()) == ([row.pk], True)
    assert (elm.work(row), len(elm.writes())) == (PatientWrite.Status.DONE, 1)


def test_news_of_the_ehr_do_not_bring_back_what_was_corrected(elm: Elm) -> None:
    row = elm.correct()
    elm.change_there(birthDate="1980-02-02")
    event_of(elm)
    elm.patient.refresh_from_db()
    assert (str(elm.patient.birth_date), elm.phones) == ("1980-02-02", [NEW])
    assert elm.work(row) == PatientWrite.Status.DONE
    event_of(elm)  # our own echo
    assert elm.phones == [NEW]
    assert PatientWrite.objects.count() == 1


def event_of(elm: Elm) -> None:
    demographics.read_again(PatientWrite.objects.latest("pk"))
    onward.process(InboundEvent.objects.latest("pk").pk)


@pytest.mark.parametrize("sandbox", ["oracle"], indirect=True)
def test_where_we_may_change_no_patient_staff_enter_it_and_it_closes_when_the_ehr_shows_it(sandbox: Sandbox) -> None:
    elm = Elm(sandbox, kind="oracle")
    row = elm.correct()
    assert elm.work(row) == PatientWrite.Status.BY_HAND
    assert elm.work(row) == PatientWrite.Status.BY_HAND
    item = WorkItem.objects.get()
    assert (item.kind, item.times_seen, item.status) == (patient_outcomes.BY_HAND, 1, "open")
    elm.change_there(telecom=elm.phone_there(NEW))
    event_of(elm)
    assert demographics.due() == [row.pk], "its news shorten the wait"
    assert elm.work(row) == PatientWrite.Status.DONE
    item.refresh_from_db()
    assert item.status == "done"
    assert elm.writes() == []


def test_without_the_right_to_write_patients_it_is_for_staff_and_the_connection_goes_on(elm: Elm) -> None:
    elm.sandbox.fault("403", method="PATCH", count=None)
    row = elm.correct()
    assert elm.work(row) == PatientWrite.Status.BY_HAND
    elm.connection.refresh_from_db()
    assert elm.connection.state == Connection.State.ACTIVE


def test_where_nothing_may_be_written_staff_enter_it(elm: Elm) -> None:
    Source.objects.update(writable=False)
    assert elm.work(elm.correct()) == PatientWrite.Status.BY_HAND
    assert elm.writes() == []


def test_nothing_counts_as_written_before_the_ehr_shows_it(elm: Elm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FhirGateway, "correct_patient", lambda self, read, wanted: None)
    row = elm.correct()
    assert elm.work(row) == PatientWrite.Status.UNKNOWN
    assert WorkItem.objects.count() == 0


def test_a_second_number_that_was_known_contradicts_nothing() -> None:
    record = PatientRecord("p-1", contacts=(ContactRecord("phone", THEIRS),))
    wanted = [Correction(Detail.PHONE, NEW, OLD, base=(OLD, THEIRS))]
    assert corrections.merge(record, wanted).conflicts == {}
    assert corrections.merge(record, [replace(wanted[0], base=(OLD,))]).conflicts == {f"phone:{OLD}": (THEIRS,)}


def test_each_of_two_ehrs_is_told_and_one_that_is_down_does_not_hold_up_the_other(elm: Elm) -> None:
    other = factories.connection("oak")
    factories.external_id(other.source, ExternalId.Kind.PATIENT, elm.patient, "pat-9")
    rows = patient_writes.correct(elm.patient, [Correction(Detail.PHONE, NEW, OLD)])
    assert {row.source for row in rows} == {elm.connection.source, other.source}
    states = {row.source.key: elm.work(row) for row in rows}
    assert states == {elm.connection.source.key: "done", "oak": "waiting"}


def test_what_the_practice_owns_stays_here(elm: Elm) -> None:
    Source.objects.filter(pk=elm.connection.source_id).update(practice_owns=["preferred_name"])
    assert patient_writes.correct(elm.patient, [Correction(Detail.PREFERRED_NAME, "Bo")]) == []
    elm.patient.refresh_from_db()
    assert elm.patient.preferred_name == "Bo"


def test_a_later_correction_takes_the_place_of_one_that_still_waits(elm: Elm) -> None:
    first = elm.correct()
    second = elm.correct(new=THEIRS, old=NEW)
    first.refresh_from_db()
    assert first.status == PatientWrite.Status.DROPPED
    assert elm.work(second) == PatientWrite.Status.DONE
    assert [each["value"] for each in elm.there["telecom"]] == [THEIRS, "odd"]
    assert elm.phones == [THEIRS]


SECOND, MAIL, HOME = "+12125550166", "robin@example.org", "2 Oak St, Troy NY 12180"


def with_more(sandbox: Sandbox) -> Elm:
    """A patient who has a second number, an e-mail address and a postal address in the EHR, too."""
    resource = ehr.patient("patient-1", 1)
    resource["telecom"] += [
        {"system": "phone", "value": SECOND, "extension": EXTENSION},
        {"system": "sms", "value": SECOND},
        {"system": "email", "value": MAIL},
    ]
    resource["address"] = [{"use": "home", "line": ["2 Oak St"], "city": "Troy", "state": "NY", "postalCode": "12180"}]
    sandbox.load(resource)
    elm = object.__new__(Elm)
    elm.sandbox, elm.raw, elm.connection = sandbox, resource, sandbox.connect(scope=SCOPES)
    load.load(elm.connection.pk)
    elm.patient = Patient.objects.get()
    return elm


@pytest.mark.parametrize("choice", ["theirs", "ours"])
def test_of_two_numbers_corrected_at_once_only_the_one_that_the_ehr_changed_too_is_for_staff(
    sandbox: Sandbox, choice: str
) -> None:
    elm = with_more(sandbox)
    other = "+12125550144"
    [row] = patient_writes.correct(
        elm.patient, [Correction(Detail.PHONE, NEW, OLD), Correction(Detail.PHONE, other, SECOND)]
    )
    elm.change_there(telecom=[{**elm.raw["telecom"][0], "value": THEIRS}, *elm.raw["telecom"][1:]])
    assert elm.work(row) == PatientWrite.Status.CONFLICT
    assert row.conflicts == {f"phone:{OLD}": [THEIRS]}
    assert [(line.ours, line.theirs) for line in lines(row)] == [(NEW, THEIRS), (other, "")]
    assert demographics.take_theirs(row) if choice == "theirs" else patient_writes.send_ours(row)
    assert elm.work(row) == PatientWrite.Status.DONE
    stands = THEIRS if choice == "theirs" else NEW
    assert [each["value"] for each in elm.there["telecom"] if each["system"] == "phone"] == [stands, other]
    event_of(elm)
    assert sorted(elm.phones) == sorted([stands, other])


def test_a_number_that_stands_there_twice_is_corrected_in_each_place(sandbox: Sandbox) -> None:
    """One that was left would come back by the next news, and be written to."""
    elm = with_more(sandbox)
    row = elm.correct(Detail.PHONE, NEW, SECOND)
    assert elm.work(row) == PatientWrite.Status.DONE
    before, after = elm.raw["telecom"], elm.there["telecom"]
    assert after == [{**each, "value": NEW} if each["value"] == SECOND else each for each in before]
    event_of(elm)
    assert sorted(elm.phones) == sorted([OLD, NEW])


def taken_away(detail: Detail, old: str) -> Correction:
    return Correction(detail, "", old)


@pytest.mark.parametrize("choice", [demographics.take_theirs, demographics.give_up])
def test_ours_is_not_shown_as_the_ehrs_before_the_ehr_was_read_again(
    sandbox: Sandbox, choice: Callable[[PatientWrite], bool]
) -> None:
    elm = with_more(sandbox)
    row = elm.correct(Detail.ADDRESS, "9 Elm Rd, Troy NY 12180", HOME)
    elm.change_there(address=[{"use": "home", "line": ["4 Ash Ln"], "city": "Troy", "state": "NY"}])
    assert elm.work(row) == PatientWrite.Status.CONFLICT
    assert choice(row)
    elm.patient.refresh_from_db()
    assert elm.patient.address == "9 Elm Rd, Troy NY 12180"
    assert patient_writes.standing(elm.patient, Detail.ADDRESS) == (row, "4 Ash Ln Troy NY")
    onward.process(InboundEvent.objects.get(subject_key="Patient/patient-1", status="received").pk)
    elm.patient.refresh_from_db()
    assert elm.patient.address == "4 Ash Ln, Troy NY"
    assert patient_writes.standing(elm.patient, Detail.ADDRESS) is None


@pytest.mark.parametrize("by", ["patch", "put"])
def test_what_is_removed_goes_from_the_ehr_with_nothing_else_touched(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.setattr(FhirGateway, "known_better", {"corrects_patients": by})
    elm = with_more(sandbox)
    before = elm.there
    [row] = patient_writes.correct(
        elm.patient,
        [taken_away(Detail.PHONE, SECOND), taken_away(Detail.ADDRESS, HOME), Correction(Detail.PHONE, NEW, OLD)],
    )
    assert elm.phones == [NEW]
    assert elm.work(row) == PatientWrite.Status.DONE
    after = elm.there
    assert after["telecom"] == [{**before["telecom"][0], "value": NEW}, before["telecom"][-1]]
    assert "address" not in after
    same = {name: before[name] for name in before if name not in ("meta", "telecom", "address")}
    assert {name: after[name] for name in after if name not in ("meta", "telecom")} == same
    assert [call["method"] for call in elm.writes()] == [by.upper()]
    assert (elm.phones, Patient.objects.get().address) == ([NEW], None)


def test_the_last_one_can_be_removed_and_nothing_brings_it_back_meanwhile(elm: Elm) -> None:
    elm.change_there(telecom=elm.raw["telecom"][:1])
    [row] = patient_writes.correct(elm.patient, [taken_away(Detail.PHONE, OLD)])
    elm.change_there(birthDate="1980-02-02")
    event_of(elm)  # the EHR still names it
    assert elm.phones == []
    assert elm.work(row) == PatientWrite.Status.DONE
    assert "telecom" not in elm.there
    event_of(elm)
    assert elm.phones == []


def test_what_the_ehr_has_instead_by_now_is_news_and_stays(elm: Elm, monkeypatch: pytest.MonkeyPatch) -> None:
    [row] = patient_writes.correct(elm.patient, [taken_away(Detail.PHONE, OLD)])
    just_before_the_write(monkeypatch, lambda: elm.change_there(telecom=elm.phone_there(THEIRS)))
    assert elm.work(row) == PatientWrite.Status.DONE
    assert [each["value"] for each in elm.there["telecom"]] == [THEIRS, "odd"]
    assert [call["status"] for call in elm.writes()] == [412]
    assert elm.phones == [THEIRS]
    assert not WorkItem.objects.exists()


def test_what_was_added_or_corrected_and_is_removed_before_it_was_sent_leaves_nothing(elm: Elm) -> None:
    patient_writes.correct(elm.patient, [Correction(Detail.PHONE, SECOND)])
    elm.correct()
    patient_writes.correct(elm.patient, [taken_away(Detail.PHONE, SECOND)])
    [row] = patient_writes.correct(elm.patient, [taken_away(Detail.PHONE, NEW), Correction(Detail.EMAIL, MAIL)])
    assert PatientWrite.objects.exclude(pk=row.pk).filter(status="dropped").count() == 3
    assert elm.phones == []
    assert elm.work(row) == PatientWrite.Status.DONE
    assert [each["value"] for each in elm.there["telecom"]] == ["odd", MAIL]


def test_what_was_removed_may_be_added_again_before_it_was_sent(elm: Elm) -> None:
    patient_writes.correct(elm.patient, [taken_away(Detail.PHONE, OLD)])
    [row] = patient_writes.correct(elm.patient, [Correction(Detail.PHONE, OLD), Correction(Detail.PHONE, NEW)])
    assert elm.phones == [OLD, NEW]
    assert elm.work(row) == PatientWrite.Status.DONE
    assert [each["value"] for each in elm.there["telecom"]] == [OLD, "odd", NEW]


@pytest.mark.parametrize(
    ("detail", "old"), [(Detail.PHONE, SECOND), (Detail.ADDRESS, HOME), (Detail.LANGUAGE, "en"), (Detail.PHONE, "")]
)
def test_what_is_not_on_file_or_must_be_there_is_not_removed(elm: Elm, detail: Detail, old: str) -> None:
    with pytest.raises(CorrectionRefused):
        patient_writes.correct(elm.patient, [taken_away(detail, old)])
    assert elm.phones == [OLD]
    assert not PatientWrite.objects.exists()


def test_what_a_patient_changes_on_their_own_page_travels_the_same_way(elm: Elm) -> None:
    change = Change(elm.patient, None, timezone.now())
    held = ContactPoint.objects.get(system="phone")
    assert contact_codes.ask(change, Written("phone", NEW, held, "en"))
    assert not PatientWrite.objects.exists()
    code = re.search(r"\d{6}", Message.objects.get(kind="contact_code").body)
    asked = contact_codes.waiting(change)
    assert code
    assert asked
    assert contact_codes.confirm(change, asked, code[0]) == Answer.TAKEN
    assert elm.work(PatientWrite.objects.get()) == PatientWrite.Status.DONE
    assert [each["value"] for each in elm.there["telecom"]] == [NEW, "odd"]


def test_a_guardians_number_is_not_made_the_patients(elm: Elm) -> None:
    [held] = ContactPoint.objects.filter(system="phone")
    index = patients.address_index("phone", NEW)
    ContactPoint.objects.create(
        patient=elm.patient, system="phone", value=NEW, address_index=index, guardian=True, entered_by="dana"
    )
    with pytest.raises(CorrectionRefused, match="guardian"):
        elm.correct(old=held.value)


@pytest.mark.parametrize("new", ["555", "", OLD, "+1 212 555 0188 x12"])
def test_what_is_no_number_or_on_file_is_refused_and_changes_nothing(elm: Elm, new: str) -> None:
    with pytest.raises(CorrectionRefused):
        elm.correct(new=new, old="")
    assert elm.phones == [OLD]
    assert not PatientWrite.objects.exists()
