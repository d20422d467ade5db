"""*Try it*: what a stored event becomes, field by field, as codes are mapped now and as they would be.

Only reads: nothing is written, counted or asked of the EHR.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from integrations.codebook import CodeBook
from integrations.ehr import zones
from integrations.ehr.fhir import people
from integrations.ehr.fhir.calendar import Reader
from integrations.ehr.fhir.elements import FREE_TEXT, Unreadable
from integrations.ehr.hl7v2 import appointments as hl7v2_appointments
from integrations.ehr.hl7v2 import messages
from integrations.ehr.hl7v2 import people as hl7v2_people
from integrations.meanings import Domain, Key, Meanings, with_type
from integrations.models import InboundEvent
from integrations.safe_json import NotJson, read_json
from scheduling.models import (
    Appointment,
    AppointmentType,
    CancellationNote,
    Coverage,
    ExternalId,
    Location,
    Patient,
    Plan,
    Provider,
)
from scheduling.records import AppointmentRecord, ReasonVerdict
from waitlist.facts import Cover
from waitlist.plans import plan_on

_VERDICTS: dict[ReasonVerdict, str] = {
    "rebookable": "offered, after a fresh look at the EHR",
    "missing": "offered, after a fresh look at the EHR: there is no reason, and the connection says so",
    "not_rebookable": "not offered",
    "ask_staff": "kept for staff to decide",
    "unmapped": "kept for staff: the reason is not mapped",
    "unmapped_type": "kept for staff: the kind of visit is not mapped",
}


@dataclass(frozen=True, slots=True)
class Change:
    """A change to be tried: the code, the place it holds at (None: everywhere) and its new meaning, empty for none."""

    key: Key
    location_id: int | None
    target: str


@dataclass(frozen=True, slots=True)
class Field:
    """One field: what the EHR says, what it becomes now, and what it would become."""

    name: str
    says: str
    before: str
    after: str

    @property
    def differs(self) -> bool:
        """Whether the change makes a difference here."""
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class Trial:
    """What an event becomes. ``patient`` is whom it is about, where known; ``note`` says where the values are from."""

    fields: tuple[Field, ...]
    note: str = ""
    patient: Patient | None = None


@dataclass(frozen=True, slots=True)
class _Told:
    """An appointment's codes as received, from the event or from the mirror."""

    status: str
    type: tuple[str, str, str]
    reason: tuple[str, str]
    has_words: bool
    provider: tuple[str, int | None]
    location: tuple[str, int | None]
    patient_id: int | None


def try_event(event: InboundEvent, change: Change | None) -> Trial:
    """Say what the event becomes; an event that only names its subject is filled in with what we hold of it."""
    now = Meanings.of(event.connection)
    then = now.changed(change.key, change.location_id, change.target) if change else now
    try:
        payload = _payload(event)
        if payload.get("resourceType") == "Patient" and len(payload) > 2:
            return _try_patient(event, payload, now, then)
        if payload.get("resourceType") == "Appointment" and payload.get("status"):
            return _try_appointment(_from_event(event, payload, now), now, then, change, "")
    except Unreadable as problem:
        return Trial((), f"It cannot be read: {problem.detail}.")
    kind, _, value = event.subject_key.partition("/")
    if kind == "Patient" and (found := _try_insurance(event, value, now, then)):
        note = "The event only names the patient. Their insurance is shown as we last read it."
        return Trial(found, note, Patient.objects.get(pk=_row(event, ExternalId.Kind.PATIENT, value) or 0))
    held = _mirrored(event, value) if kind == "Appointment" else None
    if held is None:
        return Trial((), "This event holds nothing that codes speak of, and we hold nothing by the name it gives.")
    note = "The event only names the appointment. What the EHR says of it is shown as we last read it."
    return _try_appointment(held, now, then, change, note)


def _payload(event: InboundEvent) -> dict[str, Any]:
    if messages.is_message(bytes(event.body), event.content_type):
        return _message_payload(event)
    try:
        payload = read_json(bytes(event.body)) if bytes(event.body).strip() else {}
    except NotJson:
        return {}
    return payload if isinstance(payload, dict) else {}


def _message_payload(event: InboundEvent) -> dict[str, Any]:
    """Return what an HL7 v2 message says as FHIR, where it is read itself; else it only names its subject."""
    connection = event.connection
    reading = messages.Reading.of(connection)
    message = messages.parsed(bytes(event.body), reading)
    if not connection.only_sends:
        return {}
    if message.kind == "SIU":
        return hl7v2_appointments.as_fhir(connection, message, hl7v2_appointments.named_patient(connection, message))[0]
    number = messages.news(message, reading).numbers[0]
    return hl7v2_people.as_fhir(connection, message, number)


def _from_event(event: InboundEvent, payload: dict[str, Any], now: Meanings) -> _Told:
    connection = event.connection
    reader = Reader(connection.base_url, CodeBook(connection, now), lambda place: zones.mirrored(connection, place))
    record = reader.appointment(payload)
    return _Told(
        record.status_code,
        (record.type_system, record.type_code, record.type_display),
        _reason_as_received(reader, payload, record),
        bool(record.reason_text),
        (record.provider_id, _row(event, ExternalId.Kind.PROVIDER, record.provider_id)),
        (record.location_id, _row(event, ExternalId.Kind.LOCATION, record.location_id)),
        _row(event, ExternalId.Kind.PATIENT, record.patient_id),
    )


def _reason_as_received(reader: Reader, payload: dict[str, Any], record: AppointmentRecord) -> tuple[str, str]:
    """Return the reason whatever the status means now: under the change it may be a cancellation."""
    if not record.reason_code:
        record = reader.appointment({**payload, "status": Appointment.Status.CANCELLED.value})
    return record.reason_system, record.reason_code


def _mirrored(event: InboundEvent, value: str) -> _Told | None:
    pk = _row(event, ExternalId.Kind.APPOINTMENT, value)
    row = Appointment.objects.filter(pk=pk).first() if pk else None
    if row is None:
        return None
    return _Told(
        row.status_code or row.status,
        (row.type_system, row.type_code, row.type_display),
        (row.reason_system, row.reason_code),
        CancellationNote.objects.filter(appointment=row).exists(),
        (_name(event, ExternalId.Kind.PROVIDER, row.provider_id), row.provider_id),
        (_name(event, ExternalId.Kind.LOCATION, row.location_id), row.location_id),
        row.patient_id,
    )


def _row(event: InboundEvent, kind: str, value: str) -> int | None:
    if not value:
        return None
    names = ExternalId.objects.filter(source_id=event.connection.source_id, kind=kind, value=value)
    return names.values_list("object_id", flat=True).first()


def _name(event: InboundEvent, kind: str, pk: int | None) -> str:
    """Return the EHR's id of a row of ours; empty where it has several, of which nobody can tell which one came."""
    names = ExternalId.objects.filter(source_id=event.connection.source_id, kind=kind, object_id=pk or 0)
    found = list(names.values_list("value", flat=True)[:2])
    return found[0] if len(found) == 1 else ""


def _try_appointment(told: _Told, now: Meanings, then: Meanings, change: Change | None, note: str) -> Trial:
    types = dict(AppointmentType.objects.values_list("code", "name"))
    both = (now, then)
    place = told.location[1]

    def kind(meanings: Meanings) -> str:
        target = meanings.type_target(told.type[0], told.type[1], place)
        return "not mapped" if target is None else types.get(target, target or "none")

    statuses = [_status(each.status(told.status, place)) for each in both]
    people_ = [_named(Provider, Domain.PROVIDER, told.provider, change if each is then else None) for each in both]
    places = [_named(Location, Domain.LOCATION, told.location, change if each is then else None) for each in both]
    fields = (
        Field("Status", told.status, *statuses),
        Field("Kind of visit", " ".join(filter(None, told.type[1:])), *map(kind, both)),
        Field("Cancellation reason", told.reason[1], *(_reason(told, each) for each in both)),
        Field("Clinician", told.provider[0], *people_),
        Field("Location", told.location[0], *places),
        Field("Its time", "", *(_time(told, each) for each in both)),
    )
    return Trial(fields, note, Patient.objects.filter(pk=told.patient_id).first() if told.patient_id else None)


def _status(status: str) -> str:
    return "not mapped" if status == Appointment.Status.UNKNOWN else str(Appointment.Status(status).label)


def _named(model: Any, domain: Domain, named: tuple[str, int | None], change: Change | None) -> str:
    value, pk = named
    if change and value and change.key == Key(domain, "", value) and change.target:
        pk = int(change.target)
    row = model.objects.filter(pk=pk).first() if pk else None
    return row.name if row else "not known yet: the EHR is asked" if value else "none"


def _verdict(told: _Told, meanings: Meanings) -> ReasonVerdict:
    place = told.location[1]
    if told.has_words or told.reason[1] == FREE_TEXT:
        return "ask_staff"
    verdict = meanings.reason(*told.reason, place)
    return with_type(verdict, meanings.type_target(told.type[0], told.type[1], place))


def _reason(told: _Told, meanings: Meanings) -> str:
    if not told.reason[1]:
        return "none"
    if told.reason[1] == FREE_TEXT:
        return "words, for a person to read"
    return {
        "rebookable": "the time may be offered",
        "not_rebookable": "the time is not offered",
        "ask_staff": "staff decide each time",
    }.get(meanings.reason(*told.reason, told.location[1]), "not mapped")


def _time(told: _Told, meanings: Meanings) -> str:
    status = meanings.status(told.status, told.location[1])
    if status in Appointment.FREEING:
        return _VERDICTS[_verdict(told, meanings)]
    if status in Appointment.OCCUPYING:
        return "taken"
    if status == Appointment.Status.BUMPED:
        return "not offered; staff are asked to put the patient on the list"
    return "frees nothing: the status is not mapped" if status == Appointment.Status.UNKNOWN else "frees nothing"


def _try_patient(event: InboundEvent, payload: dict[str, Any], now: Meanings, then: Meanings) -> Trial:
    record = people.patient_record(payload, event.connection.base_url, event.connection.mrn_system)
    both = [each.language(record.language) for each in (now, then)]
    words = ["not mapped: English" if each is None else each or "none: English" for each in both]
    pk = _row(event, ExternalId.Kind.PATIENT, record.external_id)
    patient = Patient.objects.filter(pk=pk).first() if pk else None
    insurance = _try_insurance(event, record.external_id, now, then)
    return Trial((Field("Language", record.language, *words), *insurance), "", patient)


def _try_insurance(event: InboundEvent, external_id: str, now: Meanings, then: Meanings) -> tuple[Field, ...]:
    """Return what pays for the patient's visits today, as it was last read; an event does not tell that itself."""
    pk = _row(event, ExternalId.Kind.PATIENT, external_id)
    rows = list(
        Coverage.objects.filter(patient_id=pk or 0, source_id=event.connection.source_id).order_by("position", "pk")
    )
    if not rows:
        return ()
    ours = {plan.code: plan for plan in Plan.objects.all()}
    names = {plan.pk: plan.name for plan in ours.values()}
    today = timezone.localdate()

    def means(meanings: Meanings) -> str:
        targets = [meanings.target(Key(Domain.PLAN, row.system, row.code)) if row.code else None for row in rows]
        covers = tuple(
            Cover(ours[target].pk if target in ours else None, row.position, row.valid_from, row.valid_until)
            for row, target in zip(rows, targets, strict=True)
        )
        return names.get(plan_on(None, covers, today) or 0, "not known: a person decides")

    says = "; ".join(row.display or row.code or "no plan named" for row in rows)
    return (Field("Insurance plan", says, means(now), means(then)),)
