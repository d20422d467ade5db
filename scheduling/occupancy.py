"""The time an appointment takes up, and what of it becomes free when the appointment changes. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from scheduling.models import Appointment
from scheduling.records import Interval


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Whose time is taken up, where and when; ``interval`` is None where none is."""

    provider_id: int | None
    location_id: int | None
    interval: Interval | None

    @classmethod
    def of(cls, appointment: Appointment) -> Occupancy:
        """Return the time the appointment takes up by its status."""
        return cls.once_booked(appointment) if appointment.occupies_time else cls(None, None, None)

    @classmethod
    def once_booked(cls, appointment: Appointment) -> Occupancy:
        """Return the time the appointment takes up while it is booked, whatever its status is now."""
        if appointment.start is None or appointment.end is None:
            return cls(None, None, None)
        interval = Interval(appointment.start, appointment.end)
        return cls(appointment.provider_id, appointment.location_id, interval)

    def at(self, appointment: Appointment) -> Occupancy:
        """Return the same time, of whom and where the appointment says by now."""
        return replace(self, provider_id=appointment.provider_id, location_id=appointment.location_id)

    def left_by(self, new: Occupancy) -> list[Interval]:
        """Return the time this occupancy gave up when it became ``new``."""
        if self.interval is None:
            return []
        if new.interval is None or new.provider_id != self.provider_id:
            return [self.interval]
        return self.interval.minus([new.interval])
