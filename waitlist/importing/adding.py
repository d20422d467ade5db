"""All ready rows become entries at one moment, and can be taken back while nobody was offered anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from audit.fields import EncryptedMixin
from audit.log import record
from audit.models import AccessRecord
from scheduling import local_patients, reviews
from scheduling.models import ContactPoint, Patient, Practice
from scheduling.transitions import move
from waitlist import consent, entries, misstated
from waitlist.consent import Statement
from waitlist.entry_drafts import Draft
from waitlist.importing import newcomers
from waitlist.importing.checking import KIND
from waitlist.importing.newcomers import Overtaken, Ready
from waitlist.importing.parsing import Words
from waitlist.models import ImportBatch, ImportRow, Offer, WaitlistEntry

_S, _V = ImportBatch.Status, ImportRow.Verdict
CHUNK = 500
#: What is stored encrypted and not needed to put somebody on the list.
_UNREAD_OF_PATIENT = [
    f"patient__{field.name}" for field in Patient._meta.concrete_fields if isinstance(field, EncryptedMixin)
]
_UNREAD = ["problems", *_UNREAD_OF_PATIENT]


def add_ready(batch: ImportBatch, now: datetime | None = None) -> int | None:
    """Put every ready row of a batch that is being added on the list; return how many, None if another worker did.

    The people are there already (:mod:`waitlist.importing.newcomers`). Their entries, their places in line and their
    consent all begin to count at the end of this one transaction. Raises Overtaken, having changed nothing.
    """
    now = now or timezone.now()
    with transaction.atomic():
        # First, so that a second worker waits here and then finds that it is done.
        if not move(batch, _S.ADDED, added_at=now, due_at=None, lease_until=None, note=""):
            return None
        ready = batch.rows.filter(verdict=_V.READY).order_by("number").select_related("patient").defer(*_UNREAD)
        last = ready.aggregate(last=Max("number"))["last"] or 0
        words, today = Words(batch), timezone.localdate(now)
        added, agreed = 0, list[int]()
        # What is on the list is no longer ready, so that memory never holds more than a chunk.
        while rows := [Ready.of(batch, row, words, today) for row in ready[:CHUNK]]:
            _add(batch, rows, now, last)
            agreed += _agreed(batch, rows)
            added += len(rows)
        batch.added_count += added
        batch.save(update_fields=["added_count"])
        record(AccessRecord.Action.IMPORT, subject=batch, location_id=batch.location_id, detail={"rows": added})
        # Last, since a STOP from one of these numbers waits from here on.
        _record_consent(batch, agreed)
    return added


def add_late(batch: ImportBatch, row: ImportRow, now: datetime | None = None) -> None:
    """Put one row on the list that became ready after its batch was added. Raises Overtaken, having changed nothing."""
    now = now or timezone.now()
    words, today = Words(batch), timezone.localdate(now)
    with transaction.atomic():
        if not ImportBatch.objects.select_for_update().filter(pk=batch.pk, status=_S.ADDED).exists():
            raise Overtaken
        ready = [Ready.of(batch, row, words, today)]
        newcomers.make(batch, ready, words, today)
        _add(batch, ready, now, row.number)
        _record_consent(batch, _agreed(batch, ready))
        batch.added_count += 1
        batch.save(update_fields=["added_count"])
        record(AccessRecord.Action.IMPORT, subject=batch, location_id=batch.location_id, detail={"rows": 1})


def _add(batch: ImportBatch, ready: Sequence[Ready], now: datetime, last: int) -> None:
    try:
        made = entries.bulk_add(list(_drafts(batch, ready, now, last)))
    except entries.EntryRefused:
        raise Overtaken from None
    for each, entry in zip(ready, made, strict=True):
        each.row.entry, each.row.verdict = entry, _V.ADDED
    rows = [each.row for each in ready]
    ImportRow.objects.bulk_update(rows, ("entry",), batch_size=CHUNK)
    ImportRow.objects.filter(pk__in=[row.pk for row in rows]).update(verdict=_V.ADDED)


def undo(batch: ImportBatch) -> str:
    """Take every entry of the batch off the list again, and what it stated of consent with it.

    Returns "" or, having changed nothing, why that cannot be.
    """
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
        reviews.withdraw(KIND, batch.rows.values_list("pk", flat=True))
        if left == len(ids) and not Offer.objects.filter(entry_id__in=ids).exists():
            local_patients.retire([row.patient_id for row in rows if row.made_patient and row.patient_id])
            # Whom we knew before stays our patient, and would be texted on the word of a list that was taken back.
            misstated.withdraw(statement_of(batch), f"Imported list {batch.pk} was undone")
            record(AccessRecord.Action.DELETE, subject=batch, location_id=batch.location_id, detail={"rows": left})
            return ""
        transaction.set_rollback(True)
    batch.refresh_from_db()
    return (
        "Somebody of this list was offered a time already, or left the list. Nothing was undone. Take off the list one "
        "by one whoever should not wait."
    )


def _drafts(batch: ImportBatch, ready: Sequence[Ready], now: datetime, last: int) -> Iterator[Draft]:
    zone = batch.location.zone if batch.location else ZoneInfo(Practice.current().time_zone)
    for each in ready:
        if each.row.patient is None:
            raise Overtaken
        # Who stands higher up in the file, with the same date or none, is ahead in the line.
        joined = now - timedelta(milliseconds=last - each.row.number + 1)
        if each.wish.joined_on is not None:
            noon = datetime.combine(each.wish.joined_on, time(12), zone)
            joined = min(joined, noon + timedelta(milliseconds=each.row.number))
        yield Draft(
            each.row.patient,
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


def _agreed(batch: ImportBatch, ready: Sequence[Ready]) -> list[int]:
    """Return the ids of the contacts of these rows for which the batch states consent."""
    if batch.consent in (ImportBatch.Consent.NONE, ImportBatch.Consent.UNSAID):
        return []
    said_yes = {each.row.patient_id: each for each in ready if each.wish.agreed is not False}
    points = ContactPoint.objects.filter(patient_id__in=list(said_yes)).order_by("patient_id", "rank", "pk")
    return [
        point.pk
        for point in points.defer("value")
        if point.address_index in said_yes[point.patient_id].person.addresses
        and (point.can_text or (batch.emails_agreed and point.system == ContactPoint.System.EMAIL))
    ]


def _record_consent(batch: ImportBatch, contact_ids: Sequence[int]) -> None:
    text = Statement(batch.consent, batch.consent_form, statement_of(batch), batch.added_by)
    rows = ContactPoint.objects.select_related("patient").defer("value", *_UNREAD_OF_PATIENT)
    for begin in range(0, len(contact_ids), CHUNK):
        chunk = rows.filter(pk__in=contact_ids[begin : begin + CHUNK]).order_by("patient_id", "rank", "pk")
        consent.grant_many([(row.patient, row) for row in chunk], text)
