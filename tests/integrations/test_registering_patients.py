"""A patient of the list whom the EHR does not know is registered there once, after a search that finds nobody."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from django.db.models import Q
from django.utils import timezone

from integrations import demographics, outbox, patient_outcomes, registering
from integrations.ehr import load, mirroring, onward
from integrations.ehr.fhir.adapter import FhirGateway
from integrations.ehr.gateway import Rejected, connect
from integrations.models import Connection, InboundEvent
from scheduling import local_patients, registrations, reviews
from scheduling.matching import Reason
from scheduling.models import (
    Appointment,
    AppointmentType,
    ExternalId,
    Location,
    Patient,
    PatientReview,
    PatientWrite,
    Provider,
    Source,
    WorkItem,
    Writeback,
)
from scheduling.records import ContactRecord, PatientRecord
from tests import factories
from tests.fixtures import sandbox as ehr
from tests.fixtures.sandbox import Sandbox
from tests.integrations.conftest import Clinic
from waitlist import claims

pytestmark = [pytest.mark.django_db, pytest.mark.long]

SCOPES = "system/*.read system/Appointment.write system/Patient.write"
BORN = date(1971, 2, 3)
Status = PatientWrite.Status


class Desk:
    """An EHR that registers by machine, and somebody on the list whom it does not know."""

    def __init__(self, sandbox: Sandbox, by: str = "machine", **fields: Any) -> None:
        sandbox.small_clinic(1)
        self.sandbox = sandbox
        self.connection = sandbox.connect(scope=SCOPES, settle_seconds=0, **fields)
        load.load(self.connection.pk)
        Source.objects.filter(pk=self.connection.source_id).update(registers_patients=by)
        self.place, self.kind = Location.objects.get(), AppointmentType.objects.get(code="follow-up")
        record = PatientRecord(
            "",
            given_name="Noor",
            family_name="Listed",
            birth_date=BORN,
            language="es",
            identifiers=(local_patients.chart_number("M7777"),),
            contacts=(ContactRecord("phone", "+12125550188", "mobile"),),
        )
        [self.patient] = local_patients.create(local_patients.spreadsheet(), [record], [self.place])

    def asked(self) -> PatientWrite:
        return registrations.request(self.patient, self.connection.source)

    def work(self, row: PatientWrite, past: float = 0) -> str:
        """Work on the row once, so many seconds later; return its state."""
        row.refresh_from_db()
        sent = row.sent_at - timedelta(seconds=past) if row.sent_at else None
        PatientWrite.objects.filter(pk=row.pk).update(due_at=timezone.now(), sent_at=sent)
        Connection.objects.filter(quiet_until__isnull=False).update(quiet_until=timezone.now())
        demographics.process(row.pk)
        row.refresh_from_db()
        return row.status

    def load(self, external: str, **fields: Any) -> None:
        """Have somebody stand in the EHR who may be the patient."""
        name = [{"family": "Listed", "given": ["Noor"]}]
        self.sandbox.load({**ehr.patient(external, 9), "name": name, "birthDate": str(BORN), **fields})

    def creates(self) -> int:
        calls = self.sandbox.calls("Patient", "POST")
        return len([call for call in calls if "_search" not in call["path"]])

    def claim(self) -> Writeback:
        """The patient says yes to the first free slot."""
        provider = Provider.objects.get(name__contains="Ana")
        factories.bookable(provider, self.place, self.kind)
        slots = [{"id": "ana-0", "start": ehr.start_of(0).isoformat(), "end": ehr.start_of(1).isoformat()}]
        opening = factories.opening(
            provider, self.place, source=self.connection.source, start=ehr.start_of(0), slots=slots
        )
        offer = factories.offer(opening, factories.entry(self.patient, self.kind))
        assert claims.claim(opening, self.patient, offer=offer, channel="link").claim is not None
        return Writeback.objects.get()

    def book(self, row: Writeback) -> str:
        Writeback.objects.filter(pk=row.pk).update(due_at=timezone.now())
        outbox.process(row.pk)
        row.refresh_from_db()
        return row.status


@pytest.fixture
def desk(sandbox: Sandbox) -> Desk:
    return Desk(sandbox)


def test_a_booking_waits_until_its_patient_is_registered_and_then_goes_out(desk: Desk) -> None:
    booking = desk.claim()
    assert desk.book(booking) == Writeback.Status.WAITING
    assert booking.error_code == registering.UNREGISTERED
    assert desk.sandbox.appointments() == []
    [row] = PatientWrite.objects.all()
    assert desk.work(row) == Status.DONE
    assert booking.pk in outbox.due(), "its wait is over"
    assert desk.book(booking) == Writeback.Status.DONE
    assert Appointment.objects.get(pk=booking.appointment_id).patient == desk.patient
    assert desk.creates() == 1


def test_joining_the_list_registers_once_and_what_we_know_goes_with_it(desk: Desk) -> None:
    factories.entry(desk.patient, desk.kind)
    desk.asked()
    [row] = PatientWrite.objects.all()
    assert desk.work(row) == Status.DONE
    patient = Patient.objects.get(pk=desk.patient.pk)
    assert (patient.given_name, patient.birth_date, patient.language) == ("Noor", BORN, "es")
    assert [point.value for point in patient.contact_points.exclude(use="old")] == ["+12125550188"]
    assert not any("Listed" in call["path"] or "1971" in call["path"] for call in desk.sandbox.calls())
    assert not PatientReview.objects.exists()


@pytest.mark.parametrize("by", ["number", "name"])
def test_somebody_found_is_compared_by_a_person_and_never_merged_by_the_machine(desk: Desk, by: str) -> None:
    if by == "number":
        desk.load("other", identifier=[{"system": ehr.MRN_SYSTEM, "value": "M7777"}], birthDate="1999-01-01")
    else:
        desk.load("other")
    row = desk.asked()
    assert desk.work(row) == Status.CONFLICT
    assert desk.creates() == 0
    review = PatientReview.objects.get()
    assert {review.patient_id, review.other_id} >= {desk.patient.pk}
    assert WorkItem.objects.get(status="open").kind == reviews.WORK_KEY
    if by == "number":
        assert review.reasons == [str(Reason.NUMBER)]
        assert reviews.different(review)
        assert desk.work(row) == Status.DONE
        assert desk.creates() == 1
    else:
        booking = desk.claim()
        assert desk.book(booking) == Writeback.Status.WAITING
        assert reviews.same(review, keep=desk.patient) is not None
        assert desk.work(row) == Status.DONE
        assert desk.creates() == 0
        assert desk.book(booking) == Writeback.Status.DONE
        assert [each["participant"][0]["actor"]["reference"] for each in desk.sandbox.appointments()] == [
            "Patient/other"
        ]


def test_an_answer_that_was_lost_is_found_by_our_key_and_adopted(desk: Desk) -> None:
    desk.sandbox.fault("reset-after-commit", method="POST", path="Patient", count=1, skip=2)
    row = desk.asked()
    assert desk.work(row) == Status.UNKNOWN
    assert desk.work(row) == Status.DONE
    assert desk.creates() == 1


def test_what_never_arrived_is_sent_again_only_when_its_absence_is_proven(desk: Desk) -> None:
    desk.sandbox.fault("500", method="POST", path="Patient", count=1, skip=2)
    row = desk.asked()
    assert desk.work(row) == Status.UNKNOWN
    assert desk.work(row) == Status.UNKNOWN
    assert (desk.creates(), row.attempts) == (1, 1), "a look that comes too early is no try"
    assert desk.work(row, past=60) == Status.DONE
    assert desk.creates() == 2


def test_what_the_ehr_had_no_time_for_was_not_sent_and_nothing_is_looked_up(desk: Desk) -> None:
    desk.sandbox.fault("429", method="POST", path="Patient", count=1, skip=2)
    row = desk.asked()
    assert (desk.work(row), row.sent_at, row.attempts) == (Status.WAITING, None, 0)
    assert (desk.work(row), desk.creates()) == (Status.DONE, 2)


def before_the_answer(monkeypatch: pytest.MonkeyPatch, act: Callable[[str], None]) -> None:
    create = FhirGateway.create_patient

    def early(self: FhirGateway, *arguments: Any) -> Any:
        stored = create(self, *arguments)
        act(stored.external_id)
        return stored

    monkeypatch.setattr(FhirGateway, "create_patient", early)


@pytest.mark.parametrize("way", ["event", "load"])
def test_news_of_our_own_registration_make_no_second_patient(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    def hear(external_id: str) -> None:
        if way == "load":
            load.load(desk.connection.pk)
            return
        demographics.intake.remember(
            desk.connection, InboundEvent.Via.POLL, demographics.Notice("patient", external_id)
        )
        onward.process(InboundEvent.objects.latest("pk").pk)

    before_the_answer(monkeypatch, hear)
    count = Patient.objects.count()
    row = desk.asked()
    assert desk.work(row) == Status.DONE
    assert Patient.objects.count() == count
    assert ExternalId.objects.filter(kind="patient", object_id=desk.patient.pk).count() == 1


def test_a_duplicate_answer_is_looked_up_and_of_nothing_it_is_not_believed(desk: Desk) -> None:
    desk.sandbox.fault("duplicate-409", method="POST", path="Patient", count=1, skip=2)
    row = desk.asked()
    assert desk.work(row) == Status.UNKNOWN
    assert desk.work(row, past=60) == Status.DONE


def test_by_staff_it_is_a_work_item_and_giving_it_up_tells_the_truth_about_the_booking(sandbox: Sandbox) -> None:
    desk = Desk(sandbox, by="staff")
    booking = desk.claim()
    assert not PatientWrite.objects.exists(), "staff are asked when a booking needs it"
    desk.book(booking)
    [row] = PatientWrite.objects.all()
    assert desk.work(row) == Status.BY_HAND
    assert desk.work(row) == Status.BY_HAND
    item = WorkItem.objects.get(kind=patient_outcomes.REGISTER)
    assert (item.status, item.times_seen) == ("open", 1)
    assert desk.creates() == 0

    assert demographics.give_up(row)
    booking.refresh_from_db()
    assert (booking.status, booking.error_code) == (Writeback.Status.REFUSED, "not_registered")
    item.refresh_from_db()
    assert item.status == "done"


def test_what_staff_registered_ends_its_item_as_soon_as_somebody_says_that_it_is_the_patient(sandbox: Sandbox) -> None:
    """Not at its next look, minutes later, when somebody else may have gone to register them once more."""
    desk = Desk(sandbox, by="staff")
    booking = desk.claim()
    desk.book(booking)
    [row] = PatientWrite.objects.all()
    assert desk.work(row) == Status.BY_HAND
    desk.load("other")
    other = mirroring.fetch_and_apply(connect(desk.connection), desk.connection.source, "patient", "other")
    assert isinstance(other, Patient)
    assert demographics.due() == []
    assert reviews.same(PatientReview.objects.get(), keep=other) is not None
    assert demographics.due() == [row.pk]
    demographics.process(row.pk)
    row.refresh_from_db()
    assert (row.status, WorkItem.objects.filter(kind=patient_outcomes.REGISTER, status="open").count()) == ("done", 0)


def test_whoever_is_found_meanwhile_is_compared_and_nobody_is_asked_to_register_them(sandbox: Sandbox) -> None:
    desk = Desk(sandbox, by="staff")
    row = desk.asked()
    assert desk.work(row) == Status.BY_HAND
    desk.load("other")
    assert desk.work(row) == Status.CONFLICT
    assert [item.kind for item in WorkItem.objects.filter(status="open")] == [reviews.WORK_KEY]


@pytest.mark.parametrize("unknown", [{"birth_date": None}, {"family_name": ""}])
def test_of_whom_birth_date_or_family_name_is_not_known_staff_look_and_register(
    desk: Desk, unknown: dict[str, Any]
) -> None:
    row = desk.asked()
    Patient.objects.filter(pk=row.patient_id).update(**unknown)
    assert desk.work(row) == PatientWrite.Status.BY_HAND
    assert desk.creates() == 0


def test_in_shadow_nobody_is_registered(desk: Desk) -> None:
    Source.objects.filter(pk=desk.connection.source_id).update(shadow_since=timezone.now())
    assert desk.work(desk.asked()) == Status.WAITING
    assert desk.creates() == 0


def test_another_person_under_our_key_is_never_taken_for_the_patient(desk: Desk) -> None:
    row = desk.asked()
    PatientWrite.objects.filter(pk=row.pk).update(sent_at=timezone.now() - timedelta(minutes=1))
    key = [{"system": desk.connection.identifier_system, "value": str(row.key)}]
    desk.load("somebody", name=[{"family": "Other", "given": ["Noor"]}], identifier=key)
    assert desk.work(row) == Status.DEAD
    assert (row.error_code, desk.creates()) == ("mismatch", 0)
    assert not ExternalId.objects.filter(kind=ExternalId.Kind.PATIENT, object_id=desk.patient.pk).exists()
    item = WorkItem.objects.get(subject_id=row.pk, patient=desk.patient, status="open")
    assert item.title == "A patient of the waitlist could not be registered in the EHR"


def test_a_second_record_under_our_key_is_another_patient_whom_a_person_compares(desk: Desk) -> None:
    """Such as a copy the EHR's staff made: two records there are never one here by the machine."""
    row = desk.asked()
    assert desk.work(row) == Status.DONE
    key = [{"system": desk.connection.identifier_system, "value": str(row.key)}]
    desk.load("copied", identifier=key)
    load.load(desk.connection.pk)
    copied = ExternalId.objects.get(kind=ExternalId.Kind.PATIENT, value="copied").object_id
    assert copied != desk.patient.pk
    review = PatientReview.objects.get()
    assert {review.patient_id, review.other_id} == {desk.patient.pk, copied}


def test_of_several_records_under_our_key_none_is_taken_by_the_machine(desk: Desk) -> None:
    row = desk.asked()
    PatientWrite.objects.filter(pk=row.pk).update(sent_at=timezone.now() - timedelta(minutes=1))
    key = [{"system": desk.connection.identifier_system, "value": str(row.key)}]
    for external in ("one", "two"):
        desk.load(external, identifier=key)
    assert desk.work(row) == Status.DEAD
    assert (row.error_code, desk.creates()) == ("several_by_key", 0)
    assert not ExternalId.objects.filter(kind=ExternalId.Kind.PATIENT, object_id=desk.patient.pk).exists()


@pytest.mark.parametrize("why", ["not_writable", "not_able", "refused", "no_right"])
def test_where_the_machine_may_not_register_staff_do(desk: Desk, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    row = desk.asked()
    if why == "not_able":
        monkeypatch.setattr(FhirGateway, "known_better", {"creates_patients": False})
    elif why == "not_writable":
        Source.objects.filter(pk=desk.connection.source_id).update(writable=False)
    else:
        PatientWrite.objects.filter(pk=row.pk).update(error_code=Rejected.code if why == "refused" else why)
    assert (desk.work(row), desk.creates()) == (Status.BY_HAND, 0)


def test_without_the_right_to_create_patients_staff_register_and_the_connection_goes_on(desk: Desk) -> None:
    desk.sandbox.fault("403", method="POST", path="Patient", count=1, skip=2)
    row = desk.asked()
    assert desk.work(row) == Status.BY_HAND
    assert (row.error_code, row.sent_at) == ("no_right", None), "it was not created, so nothing of it is looked for"
    assert WorkItem.objects.get(status="open").kind == patient_outcomes.REGISTER
    assert Connection.objects.get(pk=desk.connection.pk).state == Connection.State.ACTIVE
    assert (desk.work(row), desk.creates()) == (Status.BY_HAND, 1)


def test_their_own_record_that_is_found_by_name_before_its_key_is_searchable_is_not_created_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = desk.asked()
    PatientWrite.objects.filter(pk=row.pk).update(sent_at=timezone.now() - timedelta(minutes=1))
    desk.load("ours", identifier=[{"system": desk.connection.identifier_system, "value": str(row.key)}])
    by_number = FhirGateway.find_patients

    def lagging(self: FhirGateway, system: str, number: str) -> list[PatientRecord]:
        return [] if number == str(row.key) else by_number(self, system, number)

    monkeypatch.setattr(FhirGateway, "find_patients", lagging)
    booking = desk.claim()
    assert desk.book(booking) == Writeback.Status.WAITING
    assert (desk.work(row), desk.creates()) == (Status.DONE, 0)
    assert registrations.name_at(desk.connection.source, desk.patient.pk) == "ours"
    assert not PatientReview.objects.exists(), "nobody is asked whether somebody is themselves"
    assert booking.pk in outbox.due()


def test_a_worker_whose_row_another_has_by_now_creates_nobody(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    find = FhirGateway.find_people

    def overtaken(self: FhirGateway, *arguments: Any) -> list[PatientRecord]:
        PatientWrite.objects.update(lease_until=timezone.now() + timedelta(hours=1))
        return find(self, *arguments)

    monkeypatch.setattr(FhirGateway, "find_people", overtaken)
    row = desk.asked()
    assert (desk.work(row), row.sent_at, desk.creates()) == (Status.SENDING, None, 0)


@pytest.mark.parametrize("answered", [0, 1])
def test_each_of_several_who_may_be_the_patient_must_be_somebody_else(desk: Desk, answered: int) -> None:
    for given in ("Kim", "Zoe"):
        desk.load(given.lower(), name=[{"family": "Listed", "given": [given]}])
    row = desk.asked()
    assert desk.work(row) == Status.CONFLICT
    pairs = list(PatientReview.objects.filter(Q(patient=desk.patient) | Q(other=desk.patient)).order_by("pk"))
    assert len(pairs) == 2
    assert reviews.different(pairs[answered])
    assert (desk.work(row), desk.creates()) == (Status.CONFLICT, 0)
    assert reviews.different(pairs[1 - answered])
    assert (desk.work(row), desk.creates()) == (Status.DONE, 1)


@pytest.mark.parametrize(
    ("given", "reason"), [("Nadia", Reason.BIRTH_DATE_AND_NAMES), ("Zoe", Reason.BIRTH_DATE_AND_FAMILY)]
)
def test_staff_read_how_far_a_record_that_was_here_before_is_like_the_patient(
    desk: Desk, given: str, reason: Reason
) -> None:
    desk.load("other", name=[{"family": "Listed", "given": [given]}])
    load.load(desk.connection.pk)
    PatientReview.objects.all().delete()  # as where the list came after it
    assert desk.work(desk.asked()) == Status.CONFLICT
    assert PatientReview.objects.get().reasons == [str(reason)]


def test_a_booking_whose_patient_is_never_registered_ends_at_its_time_and_says_why(sandbox: Sandbox) -> None:
    desk = Desk(sandbox, by="staff")
    booking = desk.claim()
    assert desk.book(booking) == Writeback.Status.WAITING
    Writeback.objects.update(deadline_at=timezone.now())
    assert desk.book(booking) == Writeback.Status.REFUSED
    assert (booking.error_code, booking.error_detail) == (
        "too_late",
        "The patient was not registered in the EHR before the appointment's time.",
    )


def test_a_booking_that_anything_else_kept_from_the_ehr_does_not_blame_the_registration() -> None:
    assert registering.why_too_late(Writeback(error_code="unavailable")) == registering.outcomes.TOO_LATE


@pytest.mark.parametrize("other", ["a cancellation", "of nobody", "of somebody known"])
def test_only_the_booking_of_somebody_whom_the_ehr_does_not_know_waits(clinic: Clinic, other: str) -> None:
    patient = clinic.patient() if other == "of somebody known" else factories.patient()
    visit = factories.appointment(patient, clinic.provider, clinic.location, source=clinic.connection.source)
    if other == "of nobody":
        visit.patient = None
    kind = Writeback.Kind.CANCEL if other == "a cancellation" else Writeback.Kind.CREATE
    assert not registering.waits(Writeback(kind=kind, appointment=visit, source=visit.source))
    assert not PatientWrite.objects.exists()


@pytest.fixture
def held_beside(clinic: Clinic) -> tuple[PatientWrite, dict[str, Writeback]]:
    """A registration, the booking that waits for it, and bookings that wait for something else."""
    source, now = clinic.connection.source, timezone.now()
    patient, other, elsewhere = factories.patient(), factories.patient(), factories.source("elsewhere")

    def booking(who: Patient, at: Source, status: str, error_code: str) -> Writeback:
        visit = factories.appointment(who, clinic.provider, clinic.location, source=at)
        fields = {"status": status, "error_code": error_code, "due_at": now + timedelta(hours=1)}
        opening = factories.opening(clinic.provider, clinic.location, source=at)
        return Writeback.objects.create(
            kind="create", appointment=visit, opening=opening, source=at, deadline_at=visit.start, **fields
        )

    waits, unregistered = Writeback.Status.WAITING, registering.UNREGISTERED
    rows = {
        "theirs": booking(patient, source, waits, unregistered),
        "of another patient": booking(other, source, waits, unregistered),
        "at another EHR": booking(patient, elsewhere, waits, unregistered),
        "held for another reason": booking(patient, source, waits, "unavailable"),
        "over": booking(patient, source, Writeback.Status.DONE, unregistered),
    }
    return registrations.request(patient, source), rows


def test_only_the_bookings_that_wait_for_this_registration_go_on_by_it(
    held_beside: tuple[PatientWrite, dict[str, Writeback]],
) -> None:
    row, bookings = held_beside
    registering.let_bookings_go_on(row)
    due = set(Writeback.objects.filter(due_at__lte=timezone.now()).values_list("pk", flat=True))
    assert [name for name, each in bookings.items() if each.pk in due] == ["theirs"]


def test_only_the_bookings_that_wait_for_this_registration_are_refused_with_it(
    held_beside: tuple[PatientWrite, dict[str, Writeback]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose booking is refused is told so."""
    row, bookings = held_beside
    refused: list[int] = []
    monkeypatch.setattr(registering.outcomes, "refused", lambda held, *said, **how: refused.append(held.pk))
    registering.refuse_bookings(row)
    assert refused == [bookings["theirs"].pk]
