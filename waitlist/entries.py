"""The waitlist's entries: the only code that writes them, so that the line is always what the entries say.

Every verb works in one transaction and keeps the match keys in it. The ``by`` of a change is the actor of the audit
context.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from auditlog.models import LogEntry
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from audit.context import current_actor
from audit.log import record_changes
from scheduling import openings, registrations, writebacks
from scheduling.models import AppointmentType, Location, Patient, Provider
from scheduling.transitions import move, register
from waitlist import idle_openings, match_keys, missing_papers
from waitlist.entry_drafts import MOVABLE, AlreadyWaiting, Draft, EntryRefused
from waitlist.models import EntryWindow, MatchKey, Offer, WaitlistEntry

__all__ = [
    "AlreadyWaiting",
    "Draft",
    "EntryRefused",
    "add",
    "ask",
    "bulk_add",
    "bump_lost_race",
    "bump_lost_races",
    "change",
    "count_silence",
    "expire",
    "hand_over",
    "heard_from",
    "leave",
    "leave_many",
    "mark_booked",
    "pause",
    "resume",
]

_S = WaitlistEntry.Status
register(
    WaitlistEntry,
    "status",
    {
        _S.WAITING: {_S.PAUSED, _S.ASKED, _S.BOOKED, _S.LEFT, _S.EXPIRED},
        _S.PAUSED: {_S.WAITING, _S.BOOKED, _S.LEFT, _S.EXPIRED},
        _S.ASKED: {_S.WAITING, _S.PAUSED, _S.BOOKED, _S.LEFT, _S.EXPIRED},
        _S.BOOKED: {_S.WAITING},
        _S.EXPIRED: {_S.WAITING},
    },
)
LIVE = (_S.WAITING, _S.PAUSED, _S.ASKED)
BATCH = 1000


def add(
    patient: Patient,
    appointment_type: AppointmentType,
    *,
    providers: Iterable[Provider] = (),
    locations: Iterable[Location] = (),
    windows: Iterable[EntryWindow] = (),
    **fields: Any,
) -> WaitlistEntry:
    """Put a patient on the list for a type and return the entry.

    ``windows`` are unsaved EntryWindow rows; ``fields`` are columns of WaitlistEntry. Nobody named means any.
    Raises :class:`AlreadyWaiting` when the patient waits for the type already and :class:`EntryRefused` for dates
    or a move-up that cannot be.
    """
    draft = Draft(patient, appointment_type, tuple(providers), tuple(locations), tuple(windows), fields)
    entry = draft.entry(_who())
    try:
        with transaction.atomic():
            entry.save(force_insert=True)
            if draft.providers:
                entry.providers.set(draft.providers)
            if draft.locations:
                entry.locations.set(draft.locations)
            EntryWindow.objects.bulk_create(draft.windows_of(entry))
            MatchKey.objects.bulk_create(draft.keys_of(entry))
            registrations.request_for_list([patient])
            idle_openings.look_again({appointment_type.pk})
    except IntegrityError:
        raise _refusal(patient.pk, appointment_type.pk) from None
    return entry


def change(
    entry: WaitlistEntry,
    *,
    providers: Iterable[Provider] | None = None,
    locations: Iterable[Location] | None = None,
    windows: Iterable[EntryWindow] | None = None,
    **fields: Any,
) -> WaitlistEntry:
    """Change what an entry asks for; what is not named stays. Returns the entry as stored.

    Raises as :func:`add` does, changing nothing. ``status`` has verbs of its own.
    """
    with transaction.atomic():
        row = WaitlistEntry.objects.select_for_update().get(pk=entry.pk)
        draft = Draft(row.patient, fields.get("appointment_type", row.appointment_type), windows=tuple(windows or ()))
        draft.apply_to(row, fields)
        try:
            with transaction.atomic():
                row.save()
        except IntegrityError:
            raise _refusal(row.patient_id, row.appointment_type_id) from None
        if providers is not None:
            row.providers.set(providers)
        if locations is not None:
            row.locations.set(locations)
        if windows is not None:
            row.windows.all().delete()
            EntryWindow.objects.bulk_create(draft.windows_of(row))
        match_keys.rebuild([row.pk])
        missing_papers.were_entered(row)
        _have_offers_looked_at(row.pk)
        idle_openings.look_again({row.appointment_type_id})
    return row


def pause(entry: WaitlistEntry) -> bool:
    """Keep the entry but offer it nothing. False when its state changed meanwhile."""
    return _go(entry, _S.PAUSED)


def resume(entry: WaitlistEntry) -> bool:
    """Let a paused, asked, booked or expired entry wait again, at its old place. False when it cannot.

    It cannot when its state changed meanwhile or the patient waits for the type with another entry.
    """
    try:
        return _go(entry, _S.WAITING, silences=0, left_at=None, **_without_what_it_replaced(entry))
    except IntegrityError:
        return False


def _without_what_it_replaced(entry: WaitlistEntry) -> dict[str, Any]:
    """The booking took the place of a later appointment: there is none to be moved up any more."""
    old = entry.move_up if entry.status == _S.BOOKED else None
    if old is None or (old.status in MOVABLE and not writebacks.in_flight(old)):
        return {}
    # Who asks for another time waits by their own wish, and not because of a booking that could be earlier.
    is_by_booking = entry.origin == WaitlistEntry.Origin.BOOKING
    return {"move_up": None, "origin": WaitlistEntry.Origin.STAFF if is_by_booking else entry.origin}


def ask(entry: WaitlistEntry) -> bool:
    """Offer nothing more until the patient has said that they still want this."""
    return _go(entry, _S.ASKED)


def leave(entry: WaitlistEntry, now: datetime | None = None) -> bool:
    """Take the entry off the list for good."""
    return _go(entry, _S.LEFT, left_at=now or timezone.now())


def mark_booked(entry: WaitlistEntry, now: datetime | None = None) -> bool:
    """The booking is confirmed: the entry has what it waited for. A later :func:`resume` puts it back."""
    return _go(entry, _S.BOOKED, left_at=now or timezone.now())


def hand_over(entry: WaitlistEntry, patient: Patient) -> bool:
    """Let the entry be another record's of the same person, at the same place in line; its open offers end.

    False when that record waits for the type with an entry of its own, or the entry changed hands meanwhile.
    """
    before = entry.patient_id
    try:
        with transaction.atomic():
            _have_offers_looked_at(entry.pk)
            if not WaitlistEntry.objects.filter(pk=entry.pk, patient_id=before).update(patient=patient):
                return False
            record_changes([(entry, {"patient": (before, patient.pk)})])
    except IntegrityError:
        return False
    entry.patient = patient
    return True


def expire(now: datetime | None = None, limit: int = 500) -> int:
    """Take entries off the list whose latest date is over everywhere; return how many."""
    now = now or timezone.now()
    # The date is the location's; half a day behind UTC it lasts longest.
    over = (now - timedelta(hours=12)).date()
    rows = WaitlistEntry.objects.filter(status__in=LIVE, latest_date__lt=over).order_by("pk")[:limit]
    return sum(_go(row, _S.EXPIRED, left_at=now) for row in rows)


def bump_lost_race(entry_id: int) -> None:
    """The patient said yes too late: next time they are ahead of those who never did."""
    bump_lost_races([entry_id])


def bump_lost_races(entry_ids: Sequence[int]) -> None:
    """:func:`bump_lost_race` for many entries, in a few statements."""
    with transaction.atomic():
        waiting = WaitlistEntry.objects.filter(pk__in=entry_ids)
        waiting.update(lost_races=F("lost_races") + 1)
        MatchKey.objects.filter(entry_id__in=entry_ids).update(races_won_by_others=F("races_won_by_others") - 1)
        record_changes([(row, {"lost_races": (row.lost_races - 1, row.lost_races)}) for row in waiting.all()])


def count_silence(entry_id: int) -> int:
    """An offer ran out unanswered; return how many did in a row, 0 when the entry is gone."""
    WaitlistEntry.objects.filter(pk=entry_id).update(silences=F("silences") + 1)
    return WaitlistEntry.objects.filter(pk=entry_id).values_list("silences", flat=True).first() or 0


def heard_from(*entry_ids: int) -> None:
    """The patients answered, whatever they said: silences count from nought again."""
    WaitlistEntry.objects.filter(pk__in=entry_ids).exclude(silences=0).update(silences=0)


def bulk_add(drafts: Sequence[Draft]) -> list[WaitlistEntry]:
    """Put many on the list, all or none, in a few statements per thousand; return the entries in order.

    Raises as :func:`add` does.
    """
    by = _who()
    entries = [draft.entry(by) for draft in drafts]
    try:
        with transaction.atomic():
            _insert(drafts, entries)
            registrations.request_for_list(draft.patient for draft in drafts)
            idle_openings.look_again({entry.appointment_type_id for entry in entries})
    except IntegrityError:
        raise AlreadyWaiting from None
    return entries


def leave_many(entry_ids: Sequence[int], now: datetime | None = None) -> int:
    """:func:`leave` for many entries in a few statements per thousand; return how many were on the list."""
    now = now or timezone.now()
    left = 0
    with transaction.atomic():
        for start in range(0, len(entry_ids), BATCH):
            rows = WaitlistEntry.objects.filter(pk__in=entry_ids[start : start + BATCH], status__in=LIVE)
            held = list(rows.select_for_update())
            WaitlistEntry.objects.filter(pk__in=[row.pk for row in held]).update(status=_S.LEFT, left_at=now)
            match_keys.remove(row.pk for row in held)
            missing_papers.are_not_needed(held)
            record_changes([(row, {"status": (row.status, _S.LEFT), "left_at": (None, now)}) for row in held])
            left += len(held)
    return left


def _insert(drafts: Sequence[Draft], entries: list[WaitlistEntry]) -> None:
    WaitlistEntry.objects.bulk_create(entries, batch_size=BATCH)
    rows = list(zip(drafts, entries, strict=True))
    by_provider, by_location = WaitlistEntry.providers.through, WaitlistEntry.locations.through
    by_provider.objects.bulk_create(
        [by_provider(waitlistentry=entry, provider=each) for draft, entry in rows for each in draft.providers],
        batch_size=BATCH,
    )
    by_location.objects.bulk_create(
        [by_location(waitlistentry=entry, location=each) for draft, entry in rows for each in draft.locations],
        batch_size=BATCH,
    )
    EntryWindow.objects.bulk_create([w for draft, entry in rows for w in draft.windows_of(entry)], batch_size=BATCH)
    MatchKey.objects.bulk_create([key for draft, entry in rows for key in draft.keys_of(entry)], batch_size=BATCH)
    # Bulk writes send no signals, so the audit entries are written beside them.
    record_changes([(entry, {"status": ("", entry.status)}) for entry in entries], action=LogEntry.Action.CREATE)


def _go(entry: WaitlistEntry, to: str, **fields: Any) -> bool:
    with transaction.atomic():
        if not move(entry, to, **fields):
            return False
        match_keys.rebuild([entry.pk])
        if to not in LIVE:
            missing_papers.are_not_needed([entry])
        _have_offers_looked_at(entry.pk)
        if to == _S.WAITING:
            idle_openings.look_again({entry.appointment_type_id})
    return True


def _have_offers_looked_at(entry_id: int) -> None:
    """Offers that are out may no longer suit: the opening's next look decides."""
    out = (Offer.Status.SENT, Offer.Status.PROPOSED)
    for opening_id in Offer.objects.filter(entry_id=entry_id, status__in=out).values_list("opening_id", flat=True):
        openings.request_attention(opening_id)


def _refusal(patient_id: int, type_id: int) -> EntryRefused:
    if WaitlistEntry.objects.filter(patient_id=patient_id, appointment_type_id=type_id, status__in=LIVE).exists():
        return AlreadyWaiting()
    return EntryRefused("The entry could not be stored as given. Nothing was changed. Check its dates and hours.")


def _who() -> str:
    return current_actor().name[:150]
