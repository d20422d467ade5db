"""Does an EHR book and cancel as its adapter says? One time is booked and cancelled again.

Whatever was booked is cancelled at the end, also when a question before that failed.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace

from integrations.ehr.conformance import Failed, NotOffered, Result, asked, overlaps
from integrations.ehr.gateway import Booking, Gateway, GatewayError, StaleVersion, Stored, Taken
from scheduling.models import Appointment
from scheduling.records import AppointmentRecord, Freshness, Interval

#: Who has booked this, for whoever meets it in the EHR's calendar.
COMMENT = "Conformance test of the waitlist; cancelled again at once."


def writing(gateway: Gateway, trial: Booking) -> Iterator[Result]:
    """Book, repeat, compete, cancel: the time of ``trial``, whose patient is a test patient; its key is ours to make.

    What was booked is cancelled at the end.
    """
    attempt = _Writing(gateway, trial)
    try:
        yield from asked(
            ("The time is free", attempt.is_free),
            ("It can be booked and read back", attempt.books),
            ("The booking is found again", attempt.is_found),
            ("A repeated booking does not book twice", attempt.repeats),
            ("Nobody else gets the time", attempt.refuses_rival),
            ("A change of an older version is refused", attempt.refuses_stale),
            ("It can be cancelled", attempt.cancels),
        )
    finally:
        yield from asked(("Nothing of ours is left behind", attempt.clean))


class _Writing:
    def __init__(self, gateway: Gateway, trial: Booking) -> None:
        self._gateway, self._trial = gateway, trial
        self._booked: list[Stored] = []
        self._booking: Booking | None = None

    def is_free(self) -> str:
        trial = self._trial
        if not self._gateway.capabilities.writes_appointments:
            raise NotOffered("this EHR takes no bookings from us")
        look = self._look()
        if Interval(trial.start, trial.end).minus(look.free):
            raise Failed("it is taken; name another time")
        slots = tuple(slot.external_id for slot in look.slots if slot.start == trial.start and slot.end == trial.end)
        self._booking = replace(trial, key=str(uuid.uuid4()), slot_ids=slots, comment=COMMENT)
        return f"{len(slots)} slot" if slots else "no slots are kept"

    def books(self) -> str:
        asked = self._asked
        stored = self._gateway.create(asked)
        self._booked.append(stored)
        record = self._read(stored.external_id)
        differs = [
            name
            for name, ours, theirs in (
                ("status", Appointment.Status.BOOKED, record.status),
                ("start", asked.start, record.start),
                ("end", asked.end, record.end),
                ("patient", asked.patient_id, record.patient_id),
                ("clinician", asked.provider_id, record.provider_id),
                ("location", asked.location_id, record.location_id),
            )
            if ours != theirs
        ]
        if differs:
            raise Failed(f"what was read back differs in: {', '.join(differs)}")
        if overlaps(self._look(), asked.start, asked.end):
            raise Failed("the time is still shown as free")
        return ""

    def is_found(self) -> str:
        stored, asked = self._stored, self._asked
        found = self._gateway.find_booking(asked.key, asked.patient_id, asked.start)
        if found is None or found.external_id != stored.external_id:
            raise Failed("a lost answer could not be recovered")
        return "by our key" if self._gateway.capabilities.finds_by_identifier else "by patient and time"

    def repeats(self) -> str:
        safety = self._gateway.capabilities.retry_safety
        if safety == "none":
            raise NotOffered("a lost answer is left to staff")
        try:
            again = self._gateway.create(self._asked)
        except GatewayError as error:
            if error.code in ("taken", "duplicate"):
                return f"refused as {error.code}"
            raise
        if again.external_id != self._stored.external_id:
            self._booked.append(again)
            raise Failed("a second appointment was made")
        return "the same appointment was answered"

    def refuses_rival(self) -> str:
        if self._gateway.capabilities.retry_safety != "slot_guard" and not self._asked.slot_ids:
            raise NotOffered("this EHR keeps no slots; we look before we book")
        try:
            rival = self._gateway.create(replace(self._asked, key=str(uuid.uuid4())))
        except Taken:
            return ""
        self._booked.append(rival)
        raise Failed("the same time was booked twice")

    def refuses_stale(self) -> str:
        able = self._gateway.capabilities
        if not (able.version_check and able.cancels):
            raise NotOffered("versions are not checked; we read again before each change")
        try:
            self._gateway.cancel(self._stored.external_id, "0")
        except StaleVersion:
            return ""
        raise Failed("it was changed all the same")

    def cancels(self) -> str:
        if not self._gateway.capabilities.cancels:
            raise NotOffered("cancelling is left to staff")
        self._cancel(self._stored)
        free = overlaps(self._look(), self._trial.start, self._trial.end)
        return "the time is free again" if free else "the EHR keeps the time"

    def clean(self) -> str:
        left = [stored for stored in self._booked if self._read(stored.external_id).status in Appointment.OCCUPYING]
        if left and not self._gateway.capabilities.cancels:
            raise NotOffered(f"cancel by hand in the EHR: {', '.join(stored.external_id for stored in left)}")
        for stored in left:
            self._cancel(stored)
        return ""

    @property
    def _asked(self) -> Booking:
        if self._booking is None:
            raise NotOffered("not tried: the time is not free")
        return self._booking

    @property
    def _stored(self) -> Stored:
        if not self._booked:
            raise NotOffered("not tried: nothing was booked")
        return self._booked[0]

    def _look(self) -> Freshness:
        trial = self._trial
        return self._gateway.availability(trial.provider_id, trial.location_id, trial.start, trial.end)

    def _read(self, external_id: str) -> AppointmentRecord:
        record = self._gateway.fetch("appointment", external_id)
        if not isinstance(record, AppointmentRecord):
            raise Failed("something else than an appointment came back")
        return record

    def _cancel(self, stored: Stored) -> None:
        self._gateway.cancel(stored.external_id, self._read(stored.external_id).version)
        if self._read(stored.external_id).status not in Appointment.FREEING:
            raise Failed(f"{stored.external_id} is still booked")
