"""A clinician or place that the EHR has under two ids: what stands under the one follows to the other.

Rows are never merged. What came by an id that is the only name of its row moves at once, in the transaction that
redirects it, so that no news finds a visit "moved" to another clinician and offers the time it never gave up. Where the
row has other names, nobody here can tell which visit came by which: those ahead are read again from the EHR.
"""

from __future__ import annotations

from functools import partial

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from audit.log import record_changes
from integrations.ehr import load_requests
from integrations.meanings import Domain
from integrations.models import Connection
from scheduling import mirror, openings, story
from scheduling.models import Appointment, Block, Bookable, ExternalId, Opening, Patient
from scheduling.worklist import ask_staff
from waitlist.models import WaitlistEntry

BATCH = 500


def follow(connection: Connection, domain: str, before: int, after: int) -> None:
    """Let what stands under our row ``before`` follow to ``after``, which an id of the EHR means from now on.

    ``domain`` is PROVIDER or LOCATION. Call it in the transaction that redirects the id.
    """
    if before == after:
        return
    names = ExternalId.objects.filter(source_id=connection.source_id, kind=domain, object_id=before)
    if names.exists():
        _read_again(connection, domain, before)
        return
    _move_visits(connection, domain, before, after)
    _move_openings(connection, domain, before, after)
    _ask_about_the_rest(domain, before)


def _move_visits(connection: Connection, domain: str, before: int, after: int) -> None:
    column = f"{domain}_id"
    rows = Appointment.objects.filter(source_id=connection.source_id, **{column: before})
    while batch := list(rows.order_by("pk").only("pk", "patient_id")[:BATCH]):
        Appointment.objects.filter(pk__in=[each.pk for each in batch]).update(**{column: after})
        record_changes([(each, {domain: (before, after)}) for each in batch])
        if domain == Domain.LOCATION:
            _place({each.patient_id for each in batch if each.patient_id}, after)


def _place(patient_ids: set[int], location_id: int) -> None:
    """Staff of a location see the patients who have appointments there."""
    through = Patient.locations.through
    pairs = [through(patient_id=pk, location_id=location_id) for pk in sorted(patient_ids)]
    through.objects.bulk_create(pairs, ignore_conflicts=True)


def _move_openings(connection: Connection, domain: str, before: int, after: int) -> None:
    column = f"{domain}_id"
    live = Opening.objects.filter(source_id=connection.source_id, status__in=Opening.LIVE, **{column: before})
    for opening in live.order_by("pk"):
        if domain == Domain.PROVIDER and _is_open_already(opening, after):
            openings.close(opening, Opening.Closed.MERGED)
            continue
        Opening.objects.filter(pk=opening.pk).update(**{column: after})
        record_changes([(opening, {domain: (before, after)})])
        story.tell(
            opening, "opening.redirected", f"The EHR's id of the {Domain(domain).label} means another one here now."
        )
        openings.request_attention(opening.pk)


def _is_open_already(opening: Opening, provider_id: int) -> bool:
    if opening.status not in Opening.CLAIMABLE:
        return False
    overlapping = Q(provider_id=provider_id, start__lt=opening.end, end__gt=opening.start)
    return Opening.objects.filter(overlapping, status__in=Opening.LIVE).exists()


def _ask_about_the_rest(domain: str, before: int) -> None:
    """What staff entered for the row that nothing comes by any more is theirs to enter again."""
    wishes = {Domain.PROVIDER: {"providers": before}, Domain.LOCATION: {"locations": before}}[Domain(domain)]
    counts = {
        "what it takes": Bookable.objects.filter(**{f"{domain}_id": before}).exclude(mode=Bookable.Mode.OFF).count(),
        "blocks ahead": Block.objects.filter(**{f"{domain}_id": before}, end__gt=timezone.now()).count(),
        "waitlist entries that ask for it": WaitlistEntry.objects.filter(
            status__in=(WaitlistEntry.Status.WAITING, WaitlistEntry.Status.PAUSED), **wishes
        ).count(),
    }
    left = [f"{what} ({count})" for what, count in counts.items() if count]
    if left:
        label = Domain(domain).label
        ask_staff(
            f"mapping.redirected.{domain}",
            f"A {label} of the EHR means another one here now, and some of what was entered for the former one is left",
            advice=f"Visits and open time have followed. Left: {', '.join(left)}. Enter it for the {label} that counts "
            "now, and remove it from the former one.",
            dedupe_key=f"mapping.redirected:{domain}:{before}",
        )


def _read_again(connection: Connection, domain: str, before: int) -> None:
    ahead = Appointment.objects.filter(
        source_id=connection.source_id, end__gt=timezone.now(), **{f"{domain}_id": before}
    )
    names = ExternalId.objects.filter(
        source_id=connection.source_id, kind=ExternalId.Kind.APPOINTMENT, object_id__in=ahead.values("pk")
    )
    if names.exclude(version=mirror.IN_DOUBT).update(version=mirror.IN_DOUBT) and connection.loaded_at is not None:
        transaction.on_commit(partial(load_requests.ask, connection))
