"""All ready rows become entries in one transaction, and can be taken back while nobody was offered anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone

from audit.log import record
from audit.models import AccessRecord
from scheduling import local_patients
from scheduling.models import AppointmentType, ContactPoint, Patient, Practice
from scheduling.records import ContactRecord, PatientRecord
from scheduling.transitions import move
from waitlist import consent, entries
from waitlist.consent import Statement
from waitlist.entry_drafts import Draft
from waitlist.importing.parsing import Wish, Words, parse
from waitlist.importing.people import Person
from waitlist.models import ImportBatch, ImportRow, Offer, WaitlistEntry

_S, _V = ImportBatch.Status, ImportRow.Verdict


class Overtaken(Exception):
    """Something changed since the preview; nothing was added, and the rows must be looked at again."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """A row that can be added, and who waits for what by it."""

    row: ImportRow
    wish: Wish
    person: Person
    kind: AppointmentType

    @classmethod
    def of(cls, row: ImportRow, wish: Wish) -> _Ready:
        """Raise Overtaken for a row that cannot be taken any more: a clinician or a kind of visit ended meanwhile."""
        gone = row.patient is not None and not row.patient.may_be_offered
        if wish.problems or wish.person is None or wish.appointment_type is None or gone:
            raise Overtaken
        return cls(row, wish, wish.person, wish.appointment_type)


def add_ready(batch: ImportBatch, now: datetime | None = None) -> int | None:
    """Put every ready row of a batch that is being added on the list; return how many, None if another worker did.

    Raises Overtaken, having changed nothing.
    """
    now = now or timezone.now()
    with transaction.atomic():
        # First, so that a second worker waits here and then finds that it is done.
        if not move(batch, _S.ADDED, added_at=now, due_at=None, lease_until=None, note=""):
            return None
        rows = batch.rows.filter(verdict=_V.READY).order_by("number").select_related("patient")
        words, today = Words(batch), timezone.localdate(now)
        ready = [_Ready.of(row, parse(batch, row, words, today)) for row in rows]
        patients = _patients(ready)
        try:
            made = entries.bulk_add(list(_drafts(batch, ready, patients, now)))
        except entries.EntryRefused:
            raise Overtaken from None
        for each, patient, entry in zip(ready, patients, made, strict=True):
            each.row.made_patient = each.row.patient_id is None
            each.row.patient, each.row.entry, each.row.verdict = patient, entry, _V.ADDED
        changed = ("entry", "verdict", "patient", "made_patient")
        ImportRow.objects.bulk_update([each.row for each in ready], changed, batch_size=500)
        _record_consent(batch, ready)
        batch.added_count += len(ready)
        batch.save(update_fields=["added_count"])
        record(AccessRecord.Action.IMPORT, subject=batch, location_id=batch.location_id, detail={"rows": len(ready)})
    return len(ready)


def undo(batch: ImportBatch) -> str:
    """Take every entry of the batch off the list again; return "" or, having changed nothing, why that cannot be."""
    rows = list(batch.rows.filter(verdict=_V.ADDED))
    if batch.status != _S.ADDED or not rows:
        return (
            "Nothing was undone: this list is not added, or its rows are deleted by now. Take entries off one by one."
        )
    with transaction.atomic():
        if not move(batch, _S.UNDONE):
            return "Somebody else changed this list in the same moment. Nothing was undone. Look at it again."
        ids = [row.entry_id for row in rows if row.entry_id]
        left = entries.leave_many(ids)
        if left == len(ids) and not Offer.objects.filter(entry_id__in=ids).exists():
            local_patients.retire([row.patient_id for row in rows if row.made_patient and row.patient_id])
            record(AccessRecord.Action.DELETE, subject=batch, location_id=batch.location_id, detail={"rows": left})
            return ""
        transaction.set_rollback(True)
    batch.refresh_from_db()
    return (
        "Somebody of this list was offered a time already, or left the list. Nothing was undone. Take off the list one "
        "by one whoever should not wait."
    )


def _patients(ready: Sequence[_Ready]) -> list[Patient]:
    """Return each row's patient. Who is not known is created, once each: they may wait for two kinds of visit."""
    unknown = {_same_person(each.person): each for each in reversed(ready) if each.row.patient is None}
    made = local_patients.create(
        local_patients.spreadsheet(),
        [_record(each.person, each.wish.language) for each in unknown.values()],
        [each.wish.locations[0] if each.wish.locations else None for each in unknown.values()],
    )
    new = dict(zip(unknown, made, strict=True))
    return [each.row.patient or new[_same_person(each.person)] for each in ready]


def _same_person(person: Person) -> Person:
    """Only rows that agree in everything are one person; what differs in a number is for staff to see."""
    return replace(person, given_name=person.given_name.casefold(), family_name=person.family_name.casefold())


def _record(person: Person, language: str) -> PatientRecord:
    contacts = [ContactRecord("phone", phone, rank=rank) for rank, phone in enumerate(person.phones, start=1)]
    if person.email:
        contacts.append(ContactRecord("email", person.email, rank=len(contacts) + 1))
    return PatientRecord(
        external_id="",
        given_name=person.given_name,
        family_name=person.family_name,
        birth_date=person.birth_date,
        language=language,
        identifiers=(local_patients.chart_number(person.mrn),) if person.mrn else (),
        contacts=tuple(contacts),
    )


def _drafts(batch: ImportBatch, ready: Sequence[_Ready], patients: Sequence[Patient], now: datetime) -> Iterator[Draft]:
    zone = batch.location.zone if batch.location else ZoneInfo(Practice.current().time_zone)
    last = ready[-1].row.number if ready else 0
    for each, patient in zip(ready, patients, strict=True):
        # Who stands higher up in the file, with the same date or none, is ahead in the line.
        joined = now - timedelta(milliseconds=last - each.row.number + 1)
        if each.wish.joined_on is not None:
            noon = datetime.combine(each.wish.joined_on, time(12), zone)
            joined = min(joined, noon + timedelta(milliseconds=each.row.number))
        yield Draft(
            patient,
            each.kind,
            each.wish.providers,
            each.wish.locations,
            fields={
                "urgency": each.wish.urgency,
                "joined_at": joined,
                "earliest_date": each.wish.earliest_date,
                "latest_date": each.wish.latest_date,
                "note": each.wish.note,
                "added_by": batch.added_by,
                "origin": WaitlistEntry.Origin.SPREADSHEET,
            },
        )


def statement_of(batch: ImportBatch) -> str:
    """Return what the ledger keeps of where the batch says consent came from."""
    return f"Imported list {batch.pk}: {consent_of(batch)}"


def consent_of(batch: ImportBatch) -> str:
    """Return in words where the batch says consent came from."""
    when = f", {batch.consent_on:%b} {batch.consent_on.day}, {batch.consent_on.year}" if batch.consent_on else ""
    form = f", {batch.consent_form}" if batch.consent_form else ""
    return f"{batch.get_consent_display()}{form}{when}"


def _record_consent(batch: ImportBatch, ready: Sequence[_Ready]) -> None:
    if batch.consent in (ImportBatch.Consent.NONE, ImportBatch.Consent.UNSAID):
        return
    said_yes = {each.row.patient_id: each.person for each in ready if each.wish.agreed is not False}
    points = ContactPoint.objects.filter(patient_id__in=list(said_yes)).select_related("patient")
    given = [
        (point.patient, point)
        for point in points.order_by("patient_id", "rank", "pk")
        if point.address_index in said_yes[point.patient_id].addresses
        and (point.can_text or (batch.emails_agreed and point.system == ContactPoint.System.EMAIL))
    ]
    text = Statement(batch.consent, batch.consent_form, statement_of(batch), batch.added_by)
    consent.grant_many(given, text)
