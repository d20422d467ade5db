"""Is what the EHR holds what we asked it to book? Pure comparison, no input or output."""

from __future__ import annotations

from dataclasses import dataclass

from integrations.ehr.gateway import Booking
from scheduling.models import Appointment
from scheduling.records import AppointmentRecord

#: Statuses in which the EHR holds the booking for the patient.
HELD = frozenset(
    {
        Appointment.Status.BOOKED,
        Appointment.Status.ARRIVED,
        Appointment.Status.CHECKED_IN,
        Appointment.Status.FULFILLED,
    }
)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a read-back compares. ``differs`` names what is not as asked; ``ours`` that it carries our key."""

    differs: tuple[str, ...]
    ours: bool
    gone: bool

    @property
    def agrees(self) -> bool:
        """Whether the patient can be told "confirmed"."""
        return not self.differs


def compare(booking: Booking, record: AppointmentRecord) -> Reading:
    """Compare status, times, patient, practitioner and location of ``record`` with what was asked for."""
    asked = {
        "start": (booking.start, record.start),
        "end": (booking.end, record.end),
        "patient": (booking.patient_id, record.patient_id),
        "provider": (booking.provider_id, record.provider_id),
        "location": (booking.location_id, record.location_id),
    }
    differs = [name for name, (ours, theirs) in asked.items() if ours != theirs]
    if record.status not in HELD:
        differs.insert(0, "status")
    return Reading(
        differs=tuple(differs),
        ours=carries(record, booking.key),
        gone=record.status in Appointment.FREEING,
    )


def carries(record: AppointmentRecord, key: str) -> bool:
    """Return whether the appointment holds our key among its identifiers, with or without ``urn:uuid:``."""
    return any(each.value.removeprefix("urn:uuid:") == key for each in record.identifiers)
