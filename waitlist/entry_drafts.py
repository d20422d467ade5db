"""What somebody wants to wait for, checked before it becomes an entry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from scheduling import families
from scheduling.exceptions import SchedulingError
from scheduling.models import Appointment, AppointmentType, Location, Patient, Provider
from waitlist import match_keys
from waitlist.models import EntryWindow, MatchKey, WaitlistEntry

#: Columns that only a verb of their own changes.
GUARDED = frozenset({"pk", "id", "patient", "status", "lost_races", "silences", "left_at"})
#: An appointment that can be given up for an earlier one.
MOVABLE = (Appointment.Status.BOOKED, Appointment.Status.PENDING)


class EntryRefused(SchedulingError):
    """An entry cannot be as asked for; the text tells staff why and what to do, without patient data."""


class AlreadyWaiting(EntryRefused):
    """The patient is on the list for this type already."""

    def __init__(self) -> None:
        super().__init__(
            "The patient is on the waitlist for this type of visit already. Nothing was changed. "
            "Open that entry and change what it asks for."
        )


@dataclass(frozen=True, slots=True)
class Draft:
    """A patient, a type and what they ask for. ``fields`` are columns of WaitlistEntry."""

    patient: Patient
    appointment_type: AppointmentType
    providers: tuple[Provider, ...] = ()
    locations: tuple[Location, ...] = ()
    windows: tuple[EntryWindow, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)

    def entry(self, by: str) -> WaitlistEntry:
        """Return the unsaved entry; raises EntryRefused."""
        row = WaitlistEntry(patient=self.patient, appointment_type=self.appointment_type)
        values = {"joined_at": timezone.now(), "added_by": by, **self.fields}
        self.apply_to(row, values, allowed={"lost_races", "silences"})
        return row

    def apply_to(self, row: WaitlistEntry, fields: dict[str, Any], allowed: set[str] | None = None) -> None:
        """Set columns of an entry and check the whole; raises EntryRefused, TypeError for a guarded column."""
        columns = {column.name for column in WaitlistEntry._meta.concrete_fields}
        columns |= {column.attname for column in WaitlistEntry._meta.concrete_fields}
        moved_up_before = row.move_up_id
        for name, value in fields.items():
            if name not in columns or name in GUARDED - (allowed or set()):
                raise TypeError(f"An entry's {name} is not set this way.")
            setattr(row, name, value)
        _check(row, self.windows)
        # An appointment that was named earlier may have been cancelled since: the verdict says so, not this check.
        if row.move_up is not None and row.move_up_id != moved_up_before:
            _check_move_up(row, row.move_up)

    def windows_of(self, entry: WaitlistEntry) -> list[EntryWindow]:
        """Return new windows for ``entry``."""
        return [EntryWindow(entry=entry, weekday=each.weekday, start=each.start, end=each.end) for each in self.windows]

    def keys_of(self, entry: WaitlistEntry) -> list[MatchKey]:
        """Return the unsaved match keys of a saved, waiting ``entry``."""
        return list(
            match_keys.build(
                entry,
                [provider.pk for provider in self.providers],
                [location.pk for location in self.locations],
                match_keys.window_values(self.windows),
            )
        )


def _check(row: WaitlistEntry, windows: tuple[EntryWindow, ...]) -> None:
    if row.earliest_date and row.latest_date and row.latest_date < row.earliest_date:
        raise EntryRefused("The latest date lies before the earliest one. Nothing was changed. Correct the dates.")
    for window in windows:
        if window.end <= window.start:
            raise EntryRefused("Hours must end after they start. Nothing was changed. Correct the hours.")


def _check_move_up(row: WaitlistEntry, appointment: Appointment) -> None:
    if appointment.patient_id not in families.records_of_one(row.patient_id):
        raise EntryRefused(
            "The appointment to move up is another patient's. Nothing was changed. Choose one of this patient's."
        )
    if appointment.status not in MOVABLE or appointment.start is None or appointment.start <= timezone.now():
        raise EntryRefused(
            "The appointment to move up no longer stands or is over. Nothing was changed. Choose one that lies ahead."
        )
