"""An opening's own page: what it is, who was offered it and why, everything that happened, and what one can do."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from config.desk.advice import what_next
from config.desk.opening_steps import steps_for
from config.desk.rights import require
from config.desk.story import story_of
from scheduling import guards
from scheduling.admin import search, viewing
from scheduling.admin.calendar import opening_state
from scheduling.admin.scope import fetch_or_404
from scheduling.models import CancellationNote, Opening, Patient, Practice, WorkItem, Writeback
from waitlist import explain
from waitlist.models import CandidateVerdict, Claim, MatchSummary, Message, Offer, WaitlistEntry
from waitlist.reasons import Reason

MOST_FOUND = 30
_S = Offer.Status
#: Offers that a patient has; beside them nothing is to be judged.
STANDS = (_S.PROPOSED, _S.SENT, _S.YES)
#: How the page of one entry says what became of its offer.
OFFER_SAYS = {
    _S.PROPOSED: "is proposed",
    _S.SENT: "has this offer",
    _S.YES: "said yes to it",
    _S.NO: "said no to it",
    _S.TOO_LATE: "said yes too late",
    _S.EXPIRED: "did not answer",
    _S.WITHDRAWN: "was offered it, and it was taken back",
}


def fetch_opening(request: HttpRequest, pk: int) -> Opening:
    """Return the opening the person may see; 404 on record otherwise."""
    require(request, "scheduling.view_opening")
    rows = Opening.objects.select_related("provider", "location", "source", "freed_by__patient", "parent")
    opening: Opening = fetch_or_404(rows, request.user, pk)
    return opening


@require_safe
def page_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Return the whole page."""
    opening = fetch_opening(request, pk)
    context = {
        **admin.site.each_context(request),
        "title": f"{opening.provider.name} at {opening.location.name}",
        "subtitle": None,
        **_live(request, opening),
    }
    viewing.record_view(context["patients"])
    return TemplateResponse(request, "admin/desk/opening.html", context)


@require_safe
def live_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Return the part that changes while one looks."""
    context = _live(request, fetch_opening(request, pk))
    viewing.record_listed(request.user, context["patients"])
    return TemplateResponse(request, "admin/desk/opening_live.html", context)


def _live(request: HttpRequest, opening: Opening) -> dict[str, Any]:
    offers = list(
        Offer.objects.filter(opening=opening)
        .select_related("patient", "appointment_type", "entry")
        .order_by("wave", "rank")
    )
    verdicts = list(CandidateVerdict.objects.filter(opening=opening).select_related("entry__patient").order_by("rank"))
    reasons = {row.entry_id: explain.explain_all(row.reasons) for row in verdicts}
    claims = list(Claim.objects.filter(opening=opening).select_related("patient", "appointment").order_by("-pk"))
    shadowed = list(opening.shadow_offers.select_related("entry__patient", "appointment_type"))
    offered = {offer.entry_id for offer in offers} | {each.entry_id for each in shadowed}
    waiting = [(row, reasons[row.entry_id]) for row in verdicts if row.entry_id not in offered]
    practice = Practice.objects.filter(pk=1).first() or Practice()
    nobody_suits = not offers and _nobody_suited(opening)
    note = CancellationNote.objects.filter(appointment=opening.freed_by_id).first() if opening.freed_by_id else None
    return {
        "practice": practice,
        "what_next": what_next(
            opening,
            offers,
            claims,
            is_paused=practice.paused_at is not None,
            in_shadow=opening.source.in_shadow,
            nobody_suits=nobody_suits,
            booking=_booking_of(opening),
        ),
        "nobody_suits": nobody_suits,
        "cancellation_note": note,
        "offers": [(offer, reasons.get(offer.entry_id, "")) for offer in offers],
        "shadow_offers": [(each, reasons.get(each.entry_id, "")) for each in shadowed],
        "waiting": waiting,
        "claims": claims,
        "patients": [
            *(offer.patient for offer in offers),
            *(each.entry.patient for each in shadowed),
            *(row.entry.patient for row, _ in waiting),
            *(claim.patient for claim in claims),
            *([opening.freed_by.patient] if note and opening.freed_by else []),
        ],
        **_around(request, opening),
    }


def _around(request: HttpRequest, opening: Opening) -> dict[str, Any]:
    """Return what the page shows of the opening besides whom it is or was offered to."""
    now = timezone.now()
    return {
        "opening": opening,
        "zone": opening.location.zone,
        "state_shown": opening_state(opening),
        "summary": _summary(opening),
        "writebacks": opening.writebacks.select_related("appointment").order_by("-pk"),
        "opening_messages": Message.objects.filter(opening=opening).select_related("patient").order_by("-pk")[:50],
        "work": _work(request, opening),
        "remainders": opening.remainders.order_by("start"),
        "story": story_of(opening),
        "steps": steps_for(opening, request.user),
        "can_choose": opening.status in Opening.CLAIMABLE and opening.start > now and not opening.source.in_shadow,
        "minutes": int(opening.duration.total_seconds() // 60),
        "by_hand": opening.mine_until is not None and opening.mine_until > now,
    }


def _booking_of(opening: Opening) -> str:
    """Return how far the newest booking of the opening is; empty where there is none."""
    rows = opening.writebacks.filter(kind=Writeback.Kind.CREATE).order_by("-pk")
    return rows.values_list("status", flat=True).first() or ""


def _work(request: HttpRequest, opening: Opening) -> list[WorkItem]:
    """Return what needs a person about the opening; a doubtful day is asked about once, for all its openings."""
    about = Q(opening=opening)
    if opening.held in (Opening.Held.PROVIDER_DAY, Opening.Held.BLOCKED):
        about |= Q(dedupe_key=guards.day_key(opening))
    return list(
        WorkItem.objects.for_user(request.user).filter(about, status=WorkItem.Status.OPEN).order_by("urgency", "pk")
    )


def _nobody_suited(opening: Opening) -> bool:
    """Whether there was nobody on the list for it when it was last looked at."""
    steps = opening.timeline.filter(kind__startswith="wave.").order_by("-at", "-pk")
    return opening.checked_at is not None and steps.values_list("kind", flat=True).first() == "wave.nobody"


def _summary(opening: Opening) -> list[tuple[str, int]]:
    """Return the counts per reason of those who were not looked at one by one, the largest first."""
    row = MatchSummary.objects.filter(opening=opening).first()
    counts = row.counts if row else {}
    named = [(str(Reason(code).label) if code in Reason.values else code, int(n)) for code, n in counts.items()]
    return sorted(named, key=lambda each: -each[1])


@require_http_methods(["GET", "HEAD", "POST"])
def choose_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Choose whom to give the time: a search among all patients, then those in line, whom it suits first.

    The search is posted and comes back sealed, so that no name stands in an address.
    """
    opening = fetch_opening(request, pk)
    require(request, "scheduling.change_opening")
    if request.method == "POST":
        sealed = search.seal(request.POST.get("query", ""))
        address = reverse("admin:desk_opening_choose", args=[opening.pk])
        return HttpResponseRedirect(f"{address}?q={sealed}" if sealed else address)
    query = search.unseal(request.GET.get("q", ""))
    in_line = list(
        CandidateVerdict.objects.filter(opening=opening)
        .select_related("entry__patient", "entry__appointment_type")
        .order_by("-eligible", "rank")
    )
    found = list(search.find(query, Patient.objects.for_user(request.user))[: MOST_FOUND + 1]) if query else []
    viewing.record_listed(request.user, [*(row.entry.patient for row in in_line), *found])
    entries = WaitlistEntry.objects.filter(
        patient__in=found, status__in=(WaitlistEntry.Status.WAITING, WaitlistEntry.Status.PAUSED)
    ).select_related("appointment_type")
    context = {
        **admin.site.each_context(request),
        "title": "Who gets this time?",
        "subtitle": None,
        "opening": opening,
        "zone": opening.location.zone,
        "in_line": [(row, explain.explain_all(row.reasons)) for row in in_line],
        "query": query,
        "found": [(row, [each for each in entries if each.patient_id == row.pk]) for row in found[:MOST_FOUND]],
        "has_more": len(found) > MOST_FOUND,
        "search_help": search.HELP,
    }
    return TemplateResponse(request, "admin/desk/opening_choose.html", context)


@require_safe
def why_not_view(request: HttpRequest, pk: int, entry_id: int) -> HttpResponse:
    """Say why an entry was offered this time or not, by the function that decides about offers."""
    opening = fetch_opening(request, pk)
    rows = WaitlistEntry.objects.select_related("patient", "appointment_type")
    entry: WaitlistEntry = fetch_or_404(rows, request.user, entry_id)
    verdict, _ = explain.why_not(opening, entry)
    offer = explain.offer_here(opening, entry)
    stands = offer is not None and offer.status in STANDS
    stored = CandidateVerdict.objects.filter(opening=opening, entry=offer.entry_id).first() if offer else None
    # The offer is told with its times; that there was one is not said again.
    reasons = [] if stands else [each for each in verdict.reasons if not offer or each is not Reason.OFFERED_BEFORE]
    viewing.record_view([entry.patient], reason="why not offered")
    context = {
        **admin.site.each_context(request),
        "title": "Why, or why not?",
        "subtitle": None,
        "opening": opening,
        "zone": opening.location.zone,
        "entry": entry,
        "verdict": verdict,
        "offer": offer,
        "offer_says": OFFER_SAYS[_S(offer.status)] if offer else "",
        "stands": stands,
        "offered_because": explain.explain_all(stored.reasons) if stored and stored.wave else "",
        "reasons": [explain.explain(reason) for reason in reasons],
    }
    return TemplateResponse(request, "admin/desk/opening_why_not.html", context)
