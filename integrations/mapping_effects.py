"""What follows when a code gets, changes or loses its meaning: for openings at once, for the mirror soon after."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from audit.log import record_changes
from integrations.meanings import Domain, Key, Meanings, with_type
from integrations.models import CodeMapping
from scheduling import appointments, guards, openings
from scheduling.models import Appointment, AppointmentType, CancellationNote, ExternalId, Opening, Patient
from scheduling.patients import ours
from scheduling.wake import wake
from waitlist.attention import LENIENT
from waitlist.models import Offer
from waitlist.withdrawal import OUT

#: What is to become of freed time: offered, closed, or held for a person with this doubt.
Fate = Literal["offer", "close", "reason", "type", "status"]
DOUBTS = (Opening.Held.REASON, Opening.Held.TYPE, Opening.Held.STATUS)
BATCH = 500
SETBACK = timedelta(seconds=30)
_HELD: dict[Fate, Opening.Held] = {
    "reason": Opening.Held.REASON,
    "type": Opening.Held.TYPE,
    "status": Opening.Held.STATUS,
}


def follow(row: CodeMapping, earlier: str, before: Meanings, after: Meanings) -> None:
    """Do what must hold at once, in the transaction that changed the meaning; the mirror is left to :func:`apply`."""
    if row.domain in (Domain.PROVIDER, Domain.LOCATION):
        _rename(row)
    elif row.domain in (Domain.TYPE, Domain.REASON, Domain.STATUS):
        for opening in _resting_on(row, waits_for=row.target).select_related("freed_by", "location", "provider"):
            _judge_again(opening, before, after)
        if row.domain == Domain.TYPE and earlier and earlier != row.target:
            for opening in _unbookable_without(row, earlier):
                _hold(opening, Opening.Held.TYPE)
    wake("mappings", row.pk)


def fate_of(freed_by: Appointment, meanings: Meanings) -> Fate:
    """Return what the EHR's codes say about the time an appointment gave up."""
    type_target = meanings.type_target(freed_by.type_system, freed_by.type_code, freed_by.location_id)
    if freed_by.occupies_time:  # it was moved, not cancelled
        return "type" if type_target is None else "offer"
    status = freed_by.status
    if freed_by.status_code not in ("", "deleted"):
        status = meanings.status(freed_by.status_code, freed_by.location_id)
    if status == Appointment.Status.UNKNOWN:
        return "status"
    if status == Appointment.Status.BUMPED:
        return "close"
    verdict = meanings.reason(freed_by.reason_system, freed_by.reason_code, freed_by.location_id)
    if CancellationNote.objects.filter(appointment=freed_by).exists():
        verdict = "ask_staff"
    verdict = with_type(verdict, type_target)
    if verdict == "not_rebookable":
        return "close"
    if verdict == "unmapped_type":
        return "type"
    return "reason" if verdict in ("unmapped", "ask_staff") else "offer"


def _codes_of(row: CodeMapping) -> Q:
    """Return which appointments carry the row's code, at its location where it has one."""
    wanted = {
        Domain.TYPE: {"type_system": row.system, "type_code": row.code},
        Domain.REASON: {"reason_system": row.system, "reason_code": row.code},
        Domain.STATUS: {"status_code": row.code},
    }[Domain(row.domain)]
    place = {} if row.location_id is None else {"location_id": row.location_id}
    return Q(source_id=row.connection.source_id, **wanted, **place)


def resting_on(row: CodeMapping) -> QuerySet[Opening]:
    """Return the openings ahead whose fate this code decides."""
    freed = Appointment.objects.filter(_codes_of(row)).values("pk")
    alive = Q(status__in=Opening.CLAIMABLE) | Q(status=Opening.Status.CLOSED, closed_reason=Opening.Closed.REASON)
    return Opening.objects.filter(alive, freed_by__in=freed, start__gt=timezone.now())


def _resting_on(row: CodeMapping, waits_for: str) -> QuerySet[Opening]:
    rows = resting_on(row)
    if row.domain != Domain.TYPE or not waits_for:
        return rows
    # Held because visits of our type could not be booked any more, whatever the time was before.
    stranded = Opening.objects.filter(
        source_id=row.connection.source_id,
        held=Opening.Held.TYPE,
        status__in=Opening.CLAIMABLE,
        offers__appointment_type__code=waits_for,
    )
    return (rows | Opening.objects.filter(pk__in=stranded.values("pk"))).distinct()


def _judge_again(opening: Opening, before: Meanings, after: Meanings) -> None:
    if opening.freed_by is None:
        return
    was, fate = fate_of(opening.freed_by, before), fate_of(opening.freed_by, after)
    stranded = opening.held == Opening.Held.TYPE and was != "type"
    # What a person decided stands as long as the codes say the same as before.
    if was == fate and not stranded:
        return
    if fate == "offer":
        _go_on(opening)
    elif fate == "close":
        if opening.status in Opening.CLAIMABLE and openings.close(opening, Opening.Closed.REASON):
            guards.settle_doubts(opening, "The code now says that the time is not offered.")
    else:
        _hold(opening, _HELD[fate])


def _go_on(opening: Opening) -> None:
    was_closed = opening.status == Opening.Status.CLOSED
    if was_closed and not _reopened(opening):
        return
    if not (opening.held in DOUBTS and openings.unhold(opening)) and not was_closed:
        return
    guards.settle_doubts(opening, "The code was mapped; the time is offered after a fresh look.")
    guards.hold_doubtful_day(opening, timezone.now())


def _reopened(opening: Opening) -> bool:
    """Open what a reason had closed again, unless its time is in another opening by now."""
    overlapping = Opening.objects.filter(
        provider_id=opening.provider_id, status__in=Opening.LIVE, start__lt=opening.end, end__gt=opening.start
    )
    return not overlapping.exists() and openings.reopen(opening)


def _hold(opening: Opening, why: Opening.Held) -> None:
    if opening.status == Opening.Status.CLOSED and not _reopened(opening):
        return
    if opening.status in Opening.CLAIMABLE and opening.held in (Opening.Held.NO, *LENIENT, *DOUBTS):
        guards.settle_doubts(opening, "Another question about this time came up.")
        guards.hold_and_ask(opening, why)


def _unbookable_without(row: CodeMapping, target: str) -> QuerySet[Opening]:
    """Return openings on offer as a kind of visit that no code but this row's stands for: they could not be booked."""
    coded = CodeMapping.objects.filter(
        connection=row.connection, domain=Domain.TYPE, state=CodeMapping.State.MAPPED, target=target
    )
    if coded.exclude(pk=row.pk).exists():
        return Opening.objects.none()
    offers = Offer.objects.filter(
        opening__source_id=row.connection.source_id, status__in=OUT, appointment_type__code=target
    )
    rows = Opening.objects.filter(pk__in=offers.values("opening_id"), status__in=Opening.CLAIMABLE)
    return rows.exclude(held__in=DOUBTS).select_related("location")


def _rename(row: CodeMapping) -> None:
    """What the EHR calls by this id is from now on the row it was mapped to."""
    names = ExternalId.objects.filter(source_id=row.connection.source_id, kind=row.domain, value=row.code)
    for name in names.select_for_update():
        if row.target and str(name.object_id) != row.target:
            name.object_id = int(row.target)
            name.save(update_fields=["object_id"])


def due(now: datetime | None = None, limit: int = 50) -> list[int]:
    """Return the mappings whose mirror is to be brought in line."""
    rows = CodeMapping.objects.filter(apply_due_at__lte=now or timezone.now()).order_by("apply_due_at")
    return list(rows.values_list("pk", flat=True)[:limit])


def is_due(now: datetime) -> bool:
    """Return whether :func:`due` would find any."""
    return bool(due(now, 1))


def apply(mapping_id: int) -> bool:
    """Bring what is mirrored in line with a code's meaning; False when another worker has seen to it."""
    row = CodeMapping.objects.select_related("connection__source").filter(pk=mapping_id).first()
    if row is None or row.apply_due_at is None:
        return False
    seen = row.apply_due_at
    taken = CodeMapping.objects.filter(pk=row.pk, apply_due_at=seen)
    # Put off first: a worker that dies half-way leaves it due.
    if not taken.update(apply_due_at=timezone.now() + SETBACK):
        return False
    row.refresh_from_db(fields=["apply_due_at"])
    meanings = Meanings.of(row.connection)
    if row.domain == Domain.TYPE:
        _set_types(row, meanings)
    elif row.domain == Domain.STATUS:
        _set_statuses(row, meanings)
    elif row.domain == Domain.LANGUAGE:
        _set_language(row, meanings)
    # Whoever changed it once more meanwhile has set a due time of their own.
    CodeMapping.objects.filter(pk=row.pk, apply_due_at=row.apply_due_at).update(apply_due_at=None)
    return True


def _set_types(row: CodeMapping, meanings: Meanings) -> None:
    """A type that lost its code stays with the visits it was known of; only what is known now is written."""
    types = dict(AppointmentType.objects.values_list("code", "pk"))
    last = 0
    while batch := list(
        Appointment.objects.filter(_codes_of(row), pk__gt=last)
        .order_by("pk")
        .only("pk", "location_id", "appointment_type_id")[:BATCH]
    ):
        last = batch[-1].pk
        wanted: dict[int, list[Appointment]] = {}
        for each in batch:
            target = types.get(meanings.type_target(row.system, row.code, each.location_id) or "")
            if target is not None and each.appointment_type_id != target:
                wanted.setdefault(target, []).append(each)
        with transaction.atomic():
            for target, rows in wanted.items():
                Appointment.objects.filter(pk__in=[each.pk for each in rows]).update(appointment_type_id=target)
                record_changes([(each, {"appointment_type": (each.appointment_type_id, target)}) for each in rows])


def _set_statuses(row: CodeMapping, meanings: Meanings) -> None:
    rows = Appointment.objects.filter(_codes_of(row)).only("pk", "status", "location_id")
    for each in rows.iterator():
        wanted = meanings.status(row.code, each.location_id)
        if each.status != wanted:
            appointments.restate(each.pk, row.code, wanted)


def _set_language(row: CodeMapping, meanings: Meanings) -> None:
    source = row.connection.source
    if "language" in ours(source):
        return
    tag = meanings.language(row.code) or ""
    names = ExternalId.objects.filter(source=source, kind=ExternalId.Kind.PATIENT).values("object_id")
    wrong = Patient.objects.filter(language_code=row.code, pk__in=names).exclude(language=tag)
    while batch := list(wrong.only("pk", "language")[:BATCH]):
        with transaction.atomic():
            Patient.objects.filter(pk__in=[each.pk for each in batch]).update(language=tag)
            record_changes([(each, {"language": (each.language, tag)}) for each in batch])


def offers_at_stake(row: CodeMapping, target: str) -> int:
    """Return how many live offers would be taken back if ``row`` came to mean ``target``; empty: nothing."""
    if row.domain not in (Domain.TYPE, Domain.REASON, Domain.STATUS):
        return 0
    before = Meanings.of(row.connection)
    after = before.changed(Key(row.domain, row.system, row.code), row.location_id, target)
    rows = resting_on(row).filter(status__in=Opening.CLAIMABLE).select_related("freed_by")
    ending = {
        opening.pk
        for opening in rows
        if opening.freed_by and fate_of(opening.freed_by, before) == "offer" != fate_of(opening.freed_by, after)
    }
    if row.domain == Domain.TYPE and row.target and target != row.target:
        ending |= {opening.pk for opening in _unbookable_without(row, row.target)}
    return Offer.objects.filter(opening_id__in=ending, status__in=OUT).count()
