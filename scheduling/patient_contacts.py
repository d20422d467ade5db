"""A patient's telephone numbers and e-mail addresses, as their source tells them and as they are corrected here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from audit.encryption import blind_index
from scheduling import corrections
from scheduling.models import ContactPoint, Patient
from scheduling.patient_keys import read_phone
from scheduling.records import ContactRecord, PatientRecord


def contacts_told(patient: Patient, record: PatientRecord, rows_held: Iterable[ContactPoint]) -> list[ContactPoint]:
    """Return the rows to be saved so that the patient's contacts, ``rows_held``, are those of the record.

    What the EHR does not name any more is kept and marked as old, but for what staff entered.
    """
    records = record.contacts
    unread = {system for field, system in (("phones", "phone"), ("emails", "email")) if field in record.unread}
    held = {(row.system, row.address_index): row for row in rows_held if row.system not in unread}
    told: set[tuple[str, str]] = set()
    to_save: list[ContactPoint] = []
    for row in contact_points(patient, tuple(each for each in records if each.system not in unread)):
        key = (row.system, row.address_index)
        told.add(key)
        to_save.append(_told_again(held[key], row) if key in held else row)
    for gone in (row for key, row in held.items() if key not in told):
        if gone.use != "old" and not gone.entered_by:
            gone.use = "old"
            to_save.append(gone)
    return to_save


#: The columns of a contact that a source describes.
OF_CONTACTS = ("value", "use", "rank", "can_text", "valid_from", "valid_until", "guardian")


def _told_again(held: ContactPoint, told: ContactPoint) -> ContactPoint:
    """What we learned about an address (its state) outlives the EHR's next word; whose it is, staff may know better."""
    for column in OF_CONTACTS:
        if column != "guardian" or not held.entered_by:
            setattr(held, column, getattr(told, column))
    return held


def enter_contact(patient: Patient, each: corrections.Correction) -> None:
    """Keep a corrected phone or e-mail address beside what the EHR told; the one it replaces, or removes, is past."""
    held = {(row.system, row.value): row for row in patient.contact_points.filter(guardian=False)}
    before = held.get((each.detail.value, each.old)) if each.old else None
    told = ContactRecord("phone" if each.detail == corrections.Detail.PHONE else "email", each.new, use=each.use)
    if before is not None:
        told = replace(told, use=before.use, rank=before.rank)
        before.use = "old"
        before.save(update_fields=["use"])
    if each.removes:
        return
    row = _contact(patient, told)
    again = held.get((row.system, row.value))
    (row if again is None else _told_again(again, row)).save()


def contact_points(patient: Patient, records: tuple[ContactRecord, ...]) -> list[ContactPoint]:
    """Return the records as unsaved rows of the patient. Of the same number told twice the better rank stands."""
    rows: dict[tuple[str, str], ContactPoint] = {}
    for record in sorted(records, key=lambda each: each.rank):
        row = _contact(patient, record)
        rows.setdefault((row.system, row.address_index), row)
    return list(rows.values())


def _contact(patient: Patient, record: ContactRecord) -> ContactPoint:
    if record.system == "phone":
        value, valid, extension = read_phone(record.value)
        can_text = valid and record.use in ("mobile", "home", "") and not extension
    else:
        value, valid, can_text = record.value.strip().lower(), "@" in record.value, False
    return ContactPoint(
        patient=patient,
        system=record.system,
        value=value,
        address_index=blind_index(value, f"contact {record.system}"),
        use=record.use,
        rank=record.rank,
        can_text=can_text,
        valid_from=record.valid_from,
        valid_until=record.valid_until,
        guardian=record.guardian,
        state=ContactPoint.State.USABLE if valid else ContactPoint.State.INVALID,
    )
