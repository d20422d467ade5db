"""How well an EHR answers: counted from the record of calls, over any stretch of time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from statistics import quantiles

from django.db.models import Count, Q

from integrations.models import ApiCall

#: Results that mean the EHR did not answer as an EHR in order does. "Taken" or "not found" are good answers.
TROUBLE = ("unavailable", "outcome_unknown", "malformed", "login_refused", "refused_by_us", "throttled")
#: Times are taken from the newest calls, so many at most.
MOST_TIMED = 2000


@dataclass(frozen=True, slots=True)
class Performance:
    """Calls of a stretch of time. Milliseconds are of the calls that were answered; None without any."""

    calls: int
    failed: int
    median_ms: int | None
    slow_ms: int | None

    @property
    def success_percent(self) -> int | None:
        """Share of calls that were answered as they should be, rounded down; None without calls."""
        return 100 * (self.calls - self.failed) // self.calls if self.calls else None


def of_connection(connection_id: int, since: datetime, until: datetime) -> Performance:
    """Return how the calls of one connection went. ``slow_ms`` is the 95th percentile."""
    rows = ApiCall.objects.filter(connection_id=connection_id, at__gte=since, at__lt=until)
    counts = rows.aggregate(calls=Count("pk"), failed=Count("pk", filter=Q(result__in=TROUBLE)))
    answered = rows.filter(status__isnull=False).order_by("-at")
    times = list(answered.values_list("duration_ms", flat=True)[:MOST_TIMED])
    if not times:
        return Performance(counts["calls"], counts["failed"], None, None)
    cuts = quantiles(times, n=20, method="inclusive") if len(times) > 1 else times * 19
    return Performance(counts["calls"], counts["failed"], round(cuts[9]), round(cuts[18]))
