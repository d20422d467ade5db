"""The outreach numbers that hold for a place and a type."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.db.models import Q

from waitlist.models import OutreachPolicy
from waitlist.pacing import Policy, wave_rules


def policy_for(location_id: int | None, type_id: int | None) -> Policy:
    """Return the numbers of the narrowest row: type and location, then type, then location, then everybody's.

    A row counts as a whole; nothing is mixed from several. Without any row the defaults of :class:`Policy` hold.
    """
    return policies_for(location_id, [type_id])[type_id]


def policies_for(location_id: int | None, type_ids: Iterable[int | None]) -> dict[int | None, Policy]:
    """Return the policy of each type at the location, in one query."""
    wanted = list(dict.fromkeys(type_ids))
    rows = OutreachPolicy.objects.filter(
        Q(location_id=location_id) | Q(location__isnull=True),
        Q(appointment_type_id__in=[pk for pk in wanted if pk is not None]) | Q(appointment_type__isnull=True),
    )
    by_scope = {(row.location_id, row.appointment_type_id): row for row in rows}
    return {type_id: _narrowest(by_scope, location_id, type_id) for type_id in wanted}


def _narrowest(
    rows: dict[tuple[int | None, int | None], OutreachPolicy], location: int | None, type_: int | None
) -> Policy:
    for scope in ((location, type_), (None, type_), (location, None), (None, None)):
        if scope in rows:
            return read(rows[scope])
    return Policy()


def read(row: OutreachPolicy) -> Policy:
    """Return a stored row as the value the pure modules work with."""
    return Policy(
        start_delay=timedelta(seconds=row.start_delay_seconds),
        cut_off=timedelta(minutes=row.cut_off_minutes),
        offers_per_day=row.offers_per_day,
        offers_per_week=row.offers_per_week,
        silences_before_asking=row.silences_before_asking,
        offer_open=timedelta(hours=row.offer_open_hours),
        hear_by=timedelta(hours=row.hear_by_hours),
        quiet_from=row.quiet_from,
        quiet_until=row.quiet_until,
        waves=wave_rules(row.waves),
        fill_target=row.fill_target_percent / 100,
        largest_wave=row.largest_wave,
        most_waiting=row.most_waiting,
        calls_per_clerk=row.calls_per_clerk,
    )
