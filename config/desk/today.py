"""Today: what is open, what needs a person, and whether the outside systems answer. The first page after signing in."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Count, F, Prefetch, Q
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from config.desk.lines import system_lines
from integrations.models import Difference, InboundEvent
from scheduling import worklist
from scheduling.admin import viewing
from scheduling.models import Opening, Patient, PatientReview, Practice, WorkItem, Writeback
from waitlist.admin.replies import waiting as waiting_replies
from waitlist.models import Claim, Message, Offer, Reply, WaitlistEntry

MOST_OPENINGS = 100
MOST_ENDED = 8
ENDED_WITHIN = timedelta(hours=24)
MOST_ITEMS = 12
User = AbstractBaseUser | AnonymousUser


@dataclass(frozen=True, slots=True)
class Figure:
    """A number and the list of what it counts. ``tone`` colours it when it is not 0."""

    label: str
    number: int
    address: str
    tone: str = "accent"


@dataclass(slots=True)
class OpeningLine:
    """A live opening as its row on Today."""

    opening: Opening
    offers_out: int
    proposed: int
    first: Offer | None
    claim: Claim | None
    is_mine: bool = False
    patients: list[Patient] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class EndedLine:
    """An opening that was filled or closed lately; ``patient`` has the time."""

    opening: Opening
    patient: Patient | None


def today_view(site: AdminSite, request: HttpRequest) -> TemplateResponse:
    """Return the whole page."""
    context = {**site.each_context(request), "title": "Today", "subtitle": None, **_live(request)}
    return TemplateResponse(request, "admin/desk/today.html", context)


@require_safe
def live_view(request: HttpRequest) -> HttpResponse:
    """Return the part that changes; the page fetches it again every few seconds."""
    return TemplateResponse(request, "admin/desk/today_live.html", _live(request))


def _live(request: HttpRequest) -> dict[str, Any]:
    user = request.user
    lines = opening_lines(user) if user.has_perm("scheduling.view_opening") else []
    ended = ended_lines(user) if user.has_perm("scheduling.view_opening") else []
    items = _needs_you(user) if user.has_perm("scheduling.view_workitem") else []
    viewing.record_listed(user, [patient for line in lines for patient in line.patients])
    viewing.record_listed(user, [line.patient for line in ended])
    viewing.record_listed(user, [item.patient for item in items])
    systems = system_lines()
    return {
        "lines": lines,
        "ended": ended,
        "items": items[:MOST_ITEMS],
        "more_items": max(len(items) - MOST_ITEMS, 0),
        "figures": figures(user),
        "systems": systems,
        "troubles": [line for line in systems if line.is_trouble],
        "hold_note": Practice.objects.filter(pk=1, paused_at__isnull=False).exists(),
        "now": timezone.now(),
        "shows_sandbox": bool(getattr(settings, "SANDBOX_CONTROL_URL", "")),
    }


def opening_lines(user: User) -> list[OpeningLine]:
    """Return the live openings ``user`` may see, the soonest first, in a fixed number of queries."""
    live = (
        Opening.objects.for_user(user)
        .filter(status__in=Opening.LIVE)
        .select_related("provider", "location")
        .annotate(
            offers_out=Count("offers", filter=Q(offers__status=Offer.Status.SENT), distinct=True),
            proposed=Count("offers", filter=Q(offers__status=Offer.Status.PROPOSED), distinct=True),
        )
        .prefetch_related(
            Prefetch(
                "offers",
                Offer.objects.filter(status__in=(Offer.Status.SENT, Offer.Status.PROPOSED, Offer.Status.YES))
                .select_related("patient")
                .order_by("rank"),
                to_attr="shown_offers",
            ),
            Prefetch(
                "claims",
                Claim.objects.filter(state__in=(Claim.State.PENDING, Claim.State.CONFIRMED)).select_related("patient"),
                to_attr="live_claims",
            ),
        )
        .order_by("start")[:MOST_OPENINGS]
    )
    return [_line(opening, user) for opening in live]


def _line(opening: Any, user: User) -> OpeningLine:
    claim = opening.live_claims[0] if opening.live_claims else None
    first = next(iter(opening.shown_offers), None) if claim is None else None
    mine = opening.mine_until is not None and opening.mine_until > timezone.now()
    return OpeningLine(
        opening,
        offers_out=opening.offers_out,
        proposed=opening.proposed,
        first=first,
        claim=claim,
        is_mine=mine and opening.mine_by == user.get_username(),
        patients=[claim.patient] if claim else [first.patient] if first else [],
    )


def ended_lines(user: User) -> list[EndedLine]:
    """Return what ended in the last day, the latest first, in a fixed number of queries.

    An opening that was only joined with another or cut in two did not end: its time lives on.
    """
    ended = (
        Opening.objects.for_user(user)
        .filter(status__in=(Opening.Status.FILLED, Opening.Status.CLOSED), closed_at__gte=timezone.now() - ENDED_WITHIN)
        .exclude(closed_reason__in=(Opening.Closed.MERGED, Opening.Closed.SPLIT))
        .select_related("provider", "location")
        .prefetch_related(
            Prefetch(
                "claims", Claim.objects.filter(state=Claim.State.CONFIRMED).select_related("patient"), to_attr="won"
            )
        )
        .order_by("-closed_at")[:MOST_ENDED]
    )
    return [EndedLine(row, row.won[0].patient if row.won else None) for row in ended]


def _needs_you(user: User) -> list[WorkItem]:
    rows = WorkItem.objects.for_user(user).filter(status=WorkItem.Status.OPEN)
    return worklist.with_times(
        rows.select_related("patient", "owner", "opening__provider", "opening__location", "location").order_by(
            "urgency", F("due_at").asc(nulls_last=True), "pk"
        )[:200]
    )


def figures(user: User) -> list[Figure]:
    """Return the counts on Today, each with the list that holds exactly what it counts."""
    dead = {"status": "dead"}
    wanted: list[tuple[str, str, Any, dict[str, Any], str]] = [
        ("opening live", "openings live", Opening, {"status__in": Opening.LIVE}, "accent"),
        ("waiting", "waiting", WaitlistEntry, {"status": "waiting"}, "accent"),
        ("needs you", "need you", WorkItem, {"status": "open"}, "wait"),
        ("patient pair to compare", "patient pairs to compare", PatientReview, {"state": "open"}, "wait"),
        ("booking not written", "bookings not written", Writeback, dead, "danger"),
        ("message not sent", "messages not sent", Message, dead, "danger"),
        ("event not read", "events not read", InboundEvent, {"status__in": _UNREAD}, "danger"),
    ]
    found = []
    for one, several, model, filters, tone in wanted:
        if not user.has_perm(f"{model._meta.app_label}.view_{model._meta.model_name}"):  # type: ignore[union-attr]
            continue
        rows = model.objects.all()
        number = (rows.for_user(user) if hasattr(rows, "for_user") else rows).filter(**filters).count()
        found.append(Figure(one if number == 1 else several, number, _list_of(model, filters), tone))
    if user.has_perm("integrations.view_difference"):  # type: ignore[union-attr]
        waiting = Difference.objects.for_user(user).filter(state__in=Difference.WAITING).count()
        label = "differs from the EHR" if waiting == 1 else "differ from the EHR"
        found.append(Figure(label, waiting, reverse("admin:desk_differences"), "wait"))
    if user.has_perm("waitlist.view_reply"):  # type: ignore[union-attr]
        rows = waiting_replies(Reply.objects.for_user(user))
        outcomes = list(rows.values_list("outcome", flat=True))
        tone = "danger" if Reply.Outcome.URGENT in outcomes else "wait"
        address = f"{reverse('admin:waitlist_reply_changelist')}?waits=yes"
        label = "reply for staff" if len(outcomes) == 1 else "replies for staff"
        found.insert(min(4, len(found)), Figure(label, len(outcomes), address, tone))
    return found


_UNREAD = (InboundEvent.Status.DEAD, InboundEvent.Status.QUARANTINED)


def _list_of(model: Any, filters: dict[str, Any]) -> str:
    name, value = next(iter(filters.items()))
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    if isinstance(value, str):
        return f"{address}?{name}__exact={value}"
    return f"{address}?{name}={','.join(map(str, value))}"
