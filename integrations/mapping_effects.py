"""What follows when a code gets, changes or loses its meaning: for openings at once.

What is mirrored follows soon after: :mod:`integrations.mapping_mirror`.
"""

from __future__ import annotations

from typing import Literal

from django.db.models import Q, QuerySet
from django.utils import timezone

from integrations import redirecting
from integrations.meanings import Domain, Key, Meanings, with_type
from integrations.models import CodeMapping
from scheduling import guards, openings
from scheduling.models import Appointment, CancellationNote, Coverage, ExternalId, Opening, Plan, Practice
from scheduling.records import Interval
from scheduling.wake import wake
from waitlist import insurance
from waitlist.attention import LENIENT
from waitlist.models import Offer
from waitlist.withdrawal import OUT

#: What is to become of freed time: offered, closed, or held for a person with this doubt.
Fate = Literal["offer", "close", "reason", "type", "status"]
DOUBTS = (Opening.Held.REASON, Opening.Held.TYPE, Opening.Held.STATUS)
_HELD: dict[Fate, Opening.Held] = {
    "reason": Opening.Held.REASON,
    "type": Opening.Held.TYPE,
    "status": Opening.Held.STATUS,
}


def follow(row: CodeMapping, earlier: str, before: Meanings, after: Meanings) -> None:
    """Do what must hold at once, in the transaction that changed the meaning; the mirror follows after it."""
    if row.domain in (Domain.PROVIDER, Domain.LOCATION):
        _rename(row)
    elif row.domain in (Domain.TYPE, Domain.REASON, Domain.STATUS):
        for opening in _resting_on(row, waits_for=row.target).select_related("freed_by", "location", "provider"):
            _judge_again(opening, before, after)
        if row.domain == Domain.TYPE and earlier and earlier != row.target:
            for opening in _unbookable_without(row, earlier):
                _hold(opening, Opening.Held.TYPE)
    wake("mappings", row.pk)


def fate_of(freed_by: Appointment, meanings: Meanings, opening: Opening | None = None) -> Fate:
    """Return what the EHR's codes say about the time an appointment gave up; ``opening`` is that time, else its own."""
    type_target = meanings.type_target(freed_by.type_system, freed_by.type_code, freed_by.location_id)
    status = freed_by.status
    if freed_by.status_code not in ("", "deleted"):
        status = meanings.status(freed_by.status_code, freed_by.location_id)
    if status in Appointment.OCCUPYING and opening is not None and _moved_from(freed_by, opening):
        return "type" if type_target is None else "offer"
    if status == Appointment.Status.UNKNOWN:
        return "status"
    if status not in Appointment.FREEING:
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


def _moved_from(appointment: Appointment, opening: Opening) -> bool:
    """Return whether an appointment that stands is not in the opening's time: it was moved, not cancelled."""
    if appointment.start is None or appointment.end is None or appointment.provider_id != opening.provider_id:
        return True
    return not Interval(appointment.start, appointment.end).overlaps(openings.interval_of(opening))


def codes_of(row: CodeMapping) -> Q:
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
    freed = Appointment.objects.filter(codes_of(row)).values("pk")
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
    was, fate = fate_of(opening.freed_by, before, opening), fate_of(opening.freed_by, after, opening)
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
    if was_closed and not openings.reopen(opening):
        return
    if not (opening.held in DOUBTS and openings.unhold(opening)) and not was_closed:
        return
    guards.settle_doubts(opening, "The code was mapped; the time is offered after a fresh look.")
    guards.hold_doubtful_day(opening, Practice.current())


def _hold(opening: Opening, why: Opening.Held) -> None:
    if opening.status == Opening.Status.CLOSED and not openings.reopen(opening):
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
    """What the EHR calls by this id is from now on the row it was mapped to, and what stood under it follows."""
    names = ExternalId.objects.filter(source_id=row.connection.source_id, kind=row.domain, value=row.code)
    for name in names.select_for_update():
        if row.target and str(name.object_id) != row.target:
            before, name.object_id = name.object_id, int(row.target)
            name.save(update_fields=["object_id"])
            redirecting.follow(row.connection, row.domain, before, name.object_id)


def offers_at_stake(row: CodeMapping, target: str) -> int:
    """Return how many live offers would be taken back if ``row`` came to mean ``target``; empty: nothing."""
    if row.domain == Domain.PLAN:
        held = Coverage.objects.filter(source_id=row.connection.source_id, system=row.system, code=row.code)
        plan_id = Plan.objects.filter(code=target).values_list("pk", flat=True).first()
        return insurance.offers_at_stake(set(held.values_list("pk", flat=True)), plan_id)
    if row.domain not in (Domain.TYPE, Domain.REASON, Domain.STATUS):
        return 0
    before = Meanings.of(row.connection)
    after = before.changed(Key(row.domain, row.system, row.code), row.location_id, target)
    rows = resting_on(row).filter(status__in=Opening.CLAIMABLE).select_related("freed_by")
    ending = {
        opening.pk
        for opening in rows
        if opening.freed_by
        and fate_of(opening.freed_by, before, opening) == "offer" != fate_of(opening.freed_by, after, opening)
    }
    if row.domain == Domain.TYPE and row.target and target != row.target:
        ending |= {opening.pk for opening in _unbookable_without(row, row.target)}
    return Offer.objects.filter(opening_id__in=ending, status__in=OUT).count()
