"""What share of offers this practice's patients accept, counted by the hour from their answers."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import (
    Case,
    Count,
    DurationField,
    Exists,
    ExpressionWrapper,
    F,
    IntegerField,
    OuterRef,
    Q,
    Value,
    When,
)
from django.utils import timezone

from waitlist import pacing
from waitlist.messages import LEFT
from waitlist.models import AcceptanceTally, Message, Offer
from waitlist.pacing import Tally

#: Answers older than this say little about today's patients.
PERIOD = timedelta(days=90)

_S = Offer.Status
#: A yes that came too late counts: the patient would have come.
_ACCEPTED = (_S.YES, _S.TOO_LATE)
#: An offer that was withdrawn says nothing: its patient was not given the time to answer.
_DECIDED = (*_ACCEPTED, _S.NO, _S.EXPIRED)
#: Nor does one that ran out before its patient was told: its text never arrived, or nobody called.
_TOLD = Message.objects.filter(
    offer=OuterRef("pk"), kind=Message.Kind.OFFER, status__in=LEFT, created_at__gte=OuterRef("created_at")
)


def recount(now: datetime | None = None) -> None:
    """Count the offers of the last :data:`PERIOD` anew, by type and lead time."""
    since = (now or timezone.now()) - PERIOD
    lead = ExpressionWrapper(F("start") - F("created_at"), output_field=DurationField())
    band = Case(
        *(When(lead__lt=timedelta(hours=hours), then=Value(n)) for n, hours in enumerate(pacing.LEAD_BANDS)),
        default=Value(len(pacing.LEAD_BANDS)),
        output_field=IntegerField(),
    )
    counted = (
        Offer.objects.filter(created_at__gte=since, status__in=_DECIDED)
        .filter(~Q(status=_S.EXPIRED) | Exists(_TOLD))
        .annotate(lead=lead, lead_band=band)
        .values_list("appointment_type_id", "lead_band")
        .annotate(decided=Count("pk"), accepted=Count("pk", filter=Q(status__in=_ACCEPTED)))
        .order_by()
    )
    rows = [
        AcceptanceTally(appointment_type_id=type_id, lead_band=lead_band, decided=decided, accepted=accepted)
        for type_id, lead_band, decided, accepted in counted
    ]
    with transaction.atomic():
        AcceptanceTally.objects.all().delete()
        # Another worker may count at the same time; it counts the same.
        AcceptanceTally.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["appointment_type", "lead_band"],
            update_fields=["decided", "accepted"],
        )


def acceptance_for(type_ids: Collection[int], lead: timedelta) -> float | None:
    """Return the share expected to accept a time of one of these types that starts in ``lead``; see pacing."""
    here = pacing.lead_band(lead)
    own = band = everything = Tally()
    rows = AcceptanceTally.objects.values_list("appointment_type_id", "lead_band", "decided", "accepted")
    for type_id, lead_band, decided, accepted in rows:
        tally = Tally(decided, accepted)
        everything += tally
        if lead_band == here:
            band += tally
            own += tally if type_id in type_ids else Tally()
    return pacing.acceptance(own, band, everything)
