"""The lines of the shadow report: what would have happened to each freed time, and what became of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Count, Exists, OuterRef, Q
from django.urls import reverse
from django.utils import timezone

from scheduling.admin.display import span
from scheduling.models import Appointment, Opening, Source, TimelineEntry
from scheduling.records import Interval
from waitlist.models import PastCancellation

Verdict = PastCancellation.Verdict
#: What would have happened: code to words and tone.
VERDICTS: Final[dict[str, tuple[str, str]]] = {
    **{each.value: (str(each.label), "stop") for each in Verdict},
    Verdict.OFFERED: ("would have been offered", "accent"),
    Verdict.REASON: (str(Verdict.REASON.label), "danger"),
    Verdict.TYPE: (str(Verdict.TYPE.label), "danger"),
    Verdict.PATIENT: (str(Verdict.PATIENT.label), "danger"),
    Verdict.PLACE: (str(Verdict.PLACE.label), "danger"),
    Verdict.DAY: (str(Verdict.DAY.label), "pause"),
    "held": ("held for staff", "pause"),
    "nobody": ("nobody on the list fits", "stop"),
    "waiting": ("being looked at", "wait"),
}
#: What became of it: code to words and tone.
BECAME: Final[dict[str, tuple[str, str]]] = {
    "refilled": ("booked again in the EHR", "ok"),
    "partly": ("booked again in part", "wait"),
    "restored": ("un-cancelled", "stop"),
    "blocked": ("blocked in the EHR", "stop"),
    "ahead": ("still to come, free", "accent"),
    "wasted": ("went to waste", "danger"),
}
_HELD = {
    Opening.Held.REASON: Verdict.REASON.value,
    Opening.Held.TYPE: Verdict.TYPE.value,
    Opening.Held.PROVIDER_DAY: Verdict.DAY.value,
}


@dataclass(frozen=True, slots=True)
class Line:
    """One freed time. ``offered`` counts patients; ``address`` leads to who they are."""

    start: datetime
    end: datetime
    zone: Any
    provider_id: int
    provider: str
    location_id: int
    location: str
    kind: str
    notice: timedelta | None
    verdict: str
    offered: int
    became: str
    address: str

    @property
    def notice_words(self) -> str:
        """How long before its start it was freed: "3 days", "5 h 10 min"."""
        if self.notice is None:
            return "not told"
        return f"{self.notice.days} days" if self.notice >= timedelta(days=2) else span(self.notice)

    @property
    def verdict_words(self) -> str:
        return VERDICTS[self.verdict][0]

    @property
    def verdict_tone(self) -> str:
        return VERDICTS[self.verdict][1]

    @property
    def became_words(self) -> str:
        return BECAME[self.became][0]

    @property
    def became_tone(self) -> str:
        return BECAME[self.became][1]


def live_lines(source: Source, user: Any, now: datetime | None = None) -> list[Line]:
    """Return a line for each opening of the source's last shadow run that ``user`` may see, the latest time first."""
    if source.shadow_since is None:
        return []
    now = now or timezone.now()
    rows = Opening.objects.for_user(user).filter(source=source, created_at__gte=source.shadow_since, parent=None)
    if source.shadow_until is not None:
        rows = rows.filter(created_at__lt=source.shadow_until)
    nobody = TimelineEntry.objects.filter(opening=OuterRef("pk"), kind="wave.shadow_nobody")
    rows = rows.exclude(closed_reason=Opening.Closed.MERGED)
    rows = rows.annotate(would=Count("shadow_offers"), looked_through=Exists(nobody))
    found = list(rows.select_related("provider", "location", "freed_by__appointment_type").order_by("-start", "-pk"))
    taken = _taken(found)
    return [_live(row, taken[row.provider_id], now) for row in found]


def _live(row: Any, taken: list[tuple[int, Interval]], now: datetime) -> Line:
    freed_by = row.freed_by
    kind = freed_by.appointment_type.name if freed_by and freed_by.appointment_type else ""
    return Line(
        start=row.start,
        end=row.end,
        zone=row.location.zone,
        provider_id=row.provider_id,
        provider=row.provider.name,
        location_id=row.location_id,
        location=row.location.name,
        kind=kind or (freed_by.type_display or freed_by.type_code if freed_by else ""),
        notice=row.start - row.created_at,
        verdict=_verdict(row),
        offered=row.would,
        became=_became(row, taken, now),
        address=reverse("admin:desk_opening", args=[row.pk]),
    )


def _verdict(row: Any) -> str:
    if row.would:
        return Verdict.OFFERED.value
    if row.held:
        return _HELD.get(row.held, "held")
    if row.status in Opening.LIVE and not row.looked_through:
        return "waiting"
    return Verdict.NOTICE.value if row.closed_reason == Opening.Closed.CUT_OFF else "nobody"


def _taken(openings: Iterable[Opening]) -> dict[int, list[tuple[int, Interval]]]:
    """Return by clinician what the mirror shows as booked at these times, with each appointment's key."""
    rows = list(openings)
    taken: dict[int, list[tuple[int, Interval]]] = defaultdict(list)
    if not rows:
        return taken
    had_it = (*Appointment.OCCUPYING, Appointment.Status.NOSHOW)
    booked = Appointment.objects.filter(
        Q(start__lt=max(row.end for row in rows), end__gt=min(row.start for row in rows)),
        provider_id__in={row.provider_id for row in rows},
        status__in=had_it,
    )
    for provider_id, pk, start, end in booked.values_list("provider_id", "pk", "start", "end"):
        if provider_id and start and end:
            taken[provider_id].append((pk, Interval(start, end)))
    return taken


def _became(row: Any, taken: list[tuple[int, Interval]], now: datetime) -> str:
    time = Interval(row.start, row.end)
    theirs = [(pk, each) for pk, each in taken if each.overlaps(time)]
    if any(pk == row.freed_by_id for pk, _ in theirs):
        return "restored"
    rest = time.minus([each for _, each in theirs])
    if not rest:
        return "refilled"
    if rest != [time]:
        return "partly"
    if row.closed_reason == Opening.Closed.BLOCKED:
        return "blocked"
    return "wasted" if row.start <= now else "ahead"


def past_lines(source: Source, user: Any) -> list[Line]:
    """Return a line for each cancellation of the last 90 days that ``user`` may see, the latest time first."""
    rows = PastCancellation.objects.for_user(user).filter(source=source).order_by("-start", "-pk")
    return [_past(row) for row in rows.select_related("provider", "location", "appointment_type")]


def _past(row: PastCancellation) -> Line:
    early = row.cancelled_at if row.cancelled_at and row.cancelled_at < row.start else None
    return Line(
        start=row.start,
        end=row.end,
        zone=row.location.zone if row.location else None,
        provider_id=row.provider_id or 0,
        provider=row.provider.name if row.provider else "not known here",
        location_id=row.location_id or 0,
        location=row.location.name if row.location else "not known here",
        kind=row.appointment_type.name if row.appointment_type else row.type_code,
        notice=row.start - early if early else None,
        verdict=row.verdict,
        offered=row.suited,
        became=row.became,
        address=reverse("admin:desk_shadow_past", args=[row.pk]) if row.entries else "",
    )
