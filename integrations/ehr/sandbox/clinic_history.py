"""What the clinic keeps of the two months before its slots begin: what was cancelled, and who then had the time."""

from __future__ import annotations

from datetime import date
from random import Random
from typing import Any

from .clinic_calendar import (
    HORIZON_DAYS,
    REASONS,
    Calendar,
    Piece,
    cancelled_before,
    sessions_of,
)
from .clinic_people import Patient
from .clinic_setup import PROVIDERS, VISIT_TYPES

HISTORY_DAYS = 90
#: Of a clinician's half-days, and of the cancelled times: how many had a cancellation, how many were filled again.
_WITH_CANCELLATION, _FILLED_AGAIN = 0.2, 0.3


def history(today: date, patients: list[Patient]) -> list[dict[str, Any]]:
    """Appointments from 90 to 31 days back: one cancelled in every fifth half-day, a third of them filled again."""
    # Seeded, so that the clinic comes out the same every time.
    book = Calendar(Random(20_301), patients, today, first_number=90_001)  # noqa: S311
    for provider in PROVIDERS:
        for session in sessions_of(provider, today, range(-HISTORY_DAYS, -HORIZON_DAYS)):
            if book.random.random() < _WITH_CANCELLATION:
                _add(book, book.random.choice(session))
    return book.appointments


def _add(book: Calendar, piece: Piece) -> None:
    fitting = [code for code in piece.provider.types if VISIT_TYPES[code].minutes <= piece.provider.slot_minutes]
    code = book.random.choice(fitting)
    cancelled = book.add("cancelled", [piece], code, names_slots=False)
    cancelled["meta"] = cancelled_before(piece.start, len(book.appointments))
    if reason := book.random.choice(REASONS):
        cancelled["cancelationReason"] = {"coding": [{"system": reason[1], "code": reason[0]}]}
    if book.random.random() < _FILLED_AGAIN:
        book.add("fulfilled", [piece], code, names_slots=False)
