"""What a patient agreed to at each of their addresses, and took back, in words: the ledger as staff read it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from scheduling.models import ContactPoint, Patient
from waitlist import consent
from waitlist.models import ConsentRecord
from waitlist.wording import LANGUAGES


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One line of the ledger. ``words``: language and channel of the words that were said, where they are ours."""

    at: datetime
    says: str
    wording: str
    words: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class AddressHistory:
    """An address of the patient: whether messages may go there as far as consent goes, and how that came about."""

    contact: ContactPoint
    allowed: bool
    lines: list[HistoryLine]


def of_patient(patient: Patient) -> list[AddressHistory]:
    """Return the histories of the patient's addresses, the best address and the newest line first."""
    found = []
    for contact in patient.contact_points.exclude(use="old").order_by("rank", "pk"):
        channel = consent.channel_of(contact)
        rows = ConsentRecord.objects.filter(channel=channel, address_index=contact.address_index).order_by("-pk")
        lines = [_line(row, patient) for row in rows if _concerns(row, patient)]
        found.append(AddressHistory(contact, consent.allowed(patient, contact, channel), lines))
    return found


def _concerns(row: ConsentRecord, patient: Patient) -> bool:
    """What another patient agreed to at a shared address is theirs; what was taken back there binds all."""
    return row.action == ConsentRecord.Action.REVOKED or row.patient_id in (None, patient.pk)


def _line(row: ConsentRecord, patient: Patient) -> HistoryLine:
    who = "The patient" if row.patient_id == patient.pk else "Somebody at this address"
    if row.action == ConsentRecord.Action.WITHDRAWN:
        says = f"What was stated of their consent counts no more, by {row.recorded_by}. {row.statement}."
        return HistoryLine(row.at, says.replace("..", "."), "", None)
    did = "took consent back" if row.action == ConsentRecord.Action.REVOKED else "agreed to messages"
    if (
        row.source == ConsentRecord.Source.REPLY
    ):  # what a carrier tells us of it, or what was pressed, says more than that it came from there
        source = f"{who} {did}: {row.statement or 'by a message from there'}"
        return HistoryLine(row.at, f"{source}.".replace("..", "."), row.wording_version, _words(row))
    source = f"{who} {did}: {row.get_source_display()}"
    by = f", recorded by {row.recorded_by}" if row.recorded_by else ""
    said = f". {row.statement}" if row.statement else ""
    return HistoryLine(row.at, f"{source}{by}{said}.".replace("..", "."), row.wording_version, _words(row))


def _words(row: ConsentRecord) -> tuple[str, str] | None:
    """Read "sms en v2 3f9a1c", as :func:`waitlist.house_words.version_name` writes it."""
    channel, language = [*row.wording_version.split(), "", ""][:2]
    return (language, channel) if channel == row.channel and language in LANGUAGES else None
