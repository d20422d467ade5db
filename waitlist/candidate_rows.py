"""The rows that candidates and openings are judged by, in a statement each for any number of entries."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from scheduling.models import (
    Appointment,
    AppointmentType,
    Bookable,
    ContactPoint,
    Coverage,
    Opening,
    Patient,
    Provider,
)
from waitlist.facts import OpeningFacts
from waitlist.models import ConsentRecord, EntryWindow, Message, Offer, WaitlistEntry
from waitlist.statements import Select, column

_ENTRY = (
    "id",
    "patient",
    "appointment_type",
    "status",
    "urgency",
    "lost_races",
    "joined_at",
    "earliest_date",
    "latest_date",
    "minimum_notice_minutes",
    "needs",
    "referral_required",
    "referral_valid_until",
    "authorization_required",
    "authorization_valid_until",
    "plan",
    "silences",
    "move_up",
    "origin",
)
_MOVE_UP = ("start", "status")
_PATIENT = (
    "birth_date",
    "active",
    "deceased",
    "restricted",
    "replaced_by",
    "established",
    "language",
    "time_zone",
)
#: How :func:`entries` names its values.
_NAMES = (*_ENTRY, *(f"move_up__{name}" for name in _MOVE_UP), *(f"patient__{name}" for name in _PATIENT))


def _table(model: Any) -> str:
    return f'"{model._meta.db_table}"'


_ENTRIES = Select(
    [
        *(column("e", WaitlistEntry, name) for name in _ENTRY),
        *(column("m", Appointment, name) for name in _MOVE_UP),
        *(column("p", Patient, name) for name in _PATIENT),
    ],
    f"FROM {_table(WaitlistEntry)} e JOIN {_table(Patient)} p ON p.id = e.patient_id"
    f" LEFT JOIN {_table(Appointment)} m ON m.id = e.move_up_id WHERE e.id {{any}}",
)
_PROVIDERS = WaitlistEntry.providers.through
_LOCATIONS = WaitlistEntry.locations.through
_WANTED_PROVIDERS = Select(
    [column("x", _PROVIDERS, "waitlistentry"), column("x", _PROVIDERS, "provider")],
    f"FROM {_table(_PROVIDERS)} x WHERE x.waitlistentry_id {{any}}",
)
_WANTED_LOCATIONS = Select(
    [column("x", _LOCATIONS, "waitlistentry"), column("x", _LOCATIONS, "location")],
    f"FROM {_table(_LOCATIONS)} x WHERE x.waitlistentry_id {{any}}",
)
_WINDOWS = Select(
    [column("w", EntryWindow, name) for name in ("entry", "weekday", "start", "end")],
    f'FROM {_table(EntryWindow)} w WHERE w.entry_id {{any}} ORDER BY w.weekday, w.start, w."end"',
)
_CONTACTS = Select(
    # The address itself stays encrypted in its column: its index tells all that is decided here.
    [
        column("c", ContactPoint, name)
        for name in (
            *("patient", "id", "system", "address_index", "can_text", "guardian"),
            *("state", "use", "valid_from", "valid_until"),
        )
    ],
    f"FROM {_table(ContactPoint)} c WHERE c.patient_id {{any}} ORDER BY c.rank, c.system <> 'phone', c.id",
)
_LEDGER = Select(
    [column("r", ConsentRecord, name) for name in ("channel", "address_index", "patient", "action")],
    f"FROM {_table(ConsentRecord)} r WHERE r.address_index {{any}} ORDER BY r.id",
)
_COVERS = Select(
    [column("v", Coverage, name) for name in ("patient", "plan", "position", "valid_from", "valid_until", "id")],
    f"FROM {_table(Coverage)} v WHERE v.patient_id {{any}} ORDER BY v.id",
)
_APPOINTMENTS = Select(
    [column("a", Appointment, name) for name in ("id", "patient", "start", "end", "appointment_type")],
    f'FROM {_table(Appointment)} a WHERE a.patient_id {{any}} AND a."end" > %s AND a.status {{any}}',
)
#: Whether an offer was over before any message of it left, so that its patient never heard of it. One that was told
#: on the phone has no messages and counts as heard.
_UNHEARD = (
    "o.status IN ('withdrawn', 'expired') AND COALESCE("  # noqa: S608
    "(SELECT MIN(CASE m.status WHEN 'suppressed' THEN 1 ELSE 0 END)"
    f" FROM {_table(Message)} m WHERE m.offer_id = o.id AND m.kind = 'offer' AND m.created_at >= o.created_at), 0) = 1",
    # Any column of its type: converted as one where the database knows no truth values.
    column("o", Offer, "asks_birth_year")[1],
)
_OFFERS = Select(
    [
        column("o", Offer, "patient"),
        column("o", Offer, "opening"),
        column("x", Opening, "provider"),
        *(column("o", Offer, name) for name in ("status", "start", "end", "created_at")),
        _UNHEARD,
    ],
    f"FROM {_table(Offer)} o JOIN {_table(Opening)} x ON x.id = o.opening_id WHERE o.patient_id {{any}}"
    " AND (o.created_at > %s OR o.status = %s OR o.opening_id = %s"
    ' OR (x.provider_id = %s AND o.start < %s AND o."end" > %s))',
)


_BOOKABLE = Select(
    [
        *(column("b", Bookable, name) for name in ("appointment_type", "duration_minutes", "mode")),
        *(column("t", AppointmentType, name) for name in ("automation", "minimum_notice_minutes", "needs_insurance")),
    ],
    f"FROM {_table(Bookable)} b JOIN {_table(AppointmentType)} t ON t.id = b.appointment_type_id"
    " WHERE b.provider_id = %s AND b.location_id = %s AND t.active ORDER BY t.id",
)


def bookable(provider_id: int, location_id: int) -> list[list[Any]]:
    """Return (type, minutes, mode, automation, minimum notice in minutes, insurance needed) of each active type."""
    return list(_BOOKABLE.rows(provider_id, location_id))


def plans_taken(provider_id: int) -> frozenset[int]:
    """Return the insurance plans the provider takes, empty where nobody entered them."""
    return frozenset(Provider.plans.through.objects.filter(provider_id=provider_id).values_list("plan_id", flat=True))


def entries(entry_ids: list[int]) -> dict[int, dict[str, Any]]:
    """Return by entry its own values, its patient's (``patient__…``) and those of its ``move_up__…``."""
    return {row[0]: dict(zip(_NAMES, row, strict=True)) for row in _ENTRIES.rows(entry_ids)}


def wanted_providers(entry_ids: list[int]) -> Iterator[list[Any]]:
    """Yield (entry, provider)."""
    return _WANTED_PROVIDERS.rows(entry_ids)


def wanted_locations(entry_ids: list[int]) -> Iterator[list[Any]]:
    """Yield (entry, location)."""
    return _WANTED_LOCATIONS.rows(entry_ids)


def windows(entry_ids: list[int]) -> Iterator[list[Any]]:
    """Yield (entry, weekday, start, end) in that order."""
    return _WINDOWS.rows(entry_ids)


def contacts(patient_ids: list[int], day: date) -> Iterator[list[Any]]:
    """Yield (patient, contact, system, address index, can text, guardian) of what is usable on ``day``.

    The preferred one first, phones before e-mail at equal rank.
    """
    for *contact, state, use, valid_from, valid_until in _CONTACTS.rows(patient_ids):
        if ContactPoint.is_usable(day, state, use, valid_from, valid_until):
            yield contact


def ledger(address_indexes: list[str]) -> Iterator[list[Any]]:
    """Yield (channel, address index, patient, action), the oldest line first."""
    return _LEDGER.rows(address_indexes)


def covers(patient_ids: list[int]) -> Iterator[list[Any]]:
    """Yield (patient, plan, position, valid from, valid until, id) of what the EHR says pays for their visits."""
    return _COVERS.rows(patient_ids)


def appointments(patient_ids: list[int], after: datetime) -> Iterator[list[Any]]:
    """Yield (appointment, patient, start, end, type) of what takes up time and ends later."""
    return _APPOINTMENTS.rows(patient_ids, after, [str(status) for status in Appointment.OCCUPYING])


def offers(patient_ids: list[int], since: datetime, facts: OpeningFacts) -> Iterator[list[Any]]:
    """Yield (patient, opening, its provider, status, start, end, made at, over before it was heard of) of offers.

    Those made after ``since``, those still open, those of this very opening, and those of the same provider's time.
    """
    open_still = Offer.Status.SENT.value
    here = (facts.opening_id, facts.provider_id, facts.end, facts.start)
    return _OFFERS.rows(patient_ids, since, open_still, *here)
