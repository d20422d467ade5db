"""Consent that was stated in error: it is withdrawn, and nobody at the address has said anything."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from audit.context import current_actor
from audit.log import record_created
from waitlist import consent
from waitlist.models import ConsentRecord


@transaction.atomic
def withdraw(statement: str, because: str) -> int:
    """Withdraw every consent that rests on ``statement`` alone; return how many.

    What the patient said to us since then, or somebody at the address by START, stands by itself and stays.
    """
    granted = ConsentRecord.Action.GRANTED
    stated = list(ConsentRecord.objects.filter(statement=statement[:200], action=granted).order_by("pk"))
    consent.hold(line.address_index for line in stated)
    since = consent.spoken(address_index__among={line.address_index for line in stated}, action=granted)
    newest: dict[tuple[str, str, int | None], int] = {
        (channel, index, patient): pk
        for channel, index, patient, pk in since.values_list("channel", "address_index", "patient_id", "pk")
    }
    alone = [line for line in stated if line.patient_id and _rests_on(line, newest)]
    now = timezone.now()
    rows = ConsentRecord.objects.bulk_create(
        (
            ConsentRecord(
                channel=line.channel,
                address_index=line.address_index,
                patient_id=line.patient_id,
                action=ConsentRecord.Action.WITHDRAWN,
                statement=because[:200],
                source=line.source,
                recorded_by=current_actor().name[:150],
                at=now,
            )
            for line in alone
        ),
        batch_size=1000,
    )
    record_created(rows)
    return len(rows)


def _rests_on(line: ConsentRecord, newest: dict[tuple[str, str, int | None], int]) -> bool:
    theirs, anybody = ((line.channel, line.address_index, who) for who in (line.patient_id, None))
    return newest[theirs] == line.pk and newest.get(anybody, 0) < line.pk
