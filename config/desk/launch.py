"""Before you go live: whom the list can reach, what the carrier wants, and what is still to be done."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import Prefetch
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from config.desk.launch_lines import Share, launch_lines, shares_of
from config.desk.rights import require
from scheduling.admin import viewing
from scheduling.models import Patient
from waitlist import launch, reach
from waitlist.launch import Topic
from waitlist.models import LaunchStatement, WaitlistEntry

LIST, STATE = "waitlist.view_waitlistentry", "waitlist.add_launchstatement"
PER_PAGE = 50


@require_safe
def page_view(request: HttpRequest) -> HttpResponse:
    """Show everything to be seen to; the counts of the list to whoever may see the list."""
    may_count = request.user.has_perm(LIST)
    people = reach.waiting(request.user) if may_count else []
    found = reach.survey(people, timezone.localdate())
    languages = Counter(patient.language[:2].lower() for patient in people)
    shares = shares_of(found)
    context = {
        **admin.site.each_context(request),
        "title": "Before you go live",
        "subtitle": None,
        "lines": [
            (line, not line.permission or request.user.has_perm(line.permission))
            for line in launch_lines(shares if may_count else None, languages)
        ],
        "shares": shares,
        "barriers": _barriers(found),
        "may_count": may_count,
        "may_open": request.user.has_perm("scheduling.view_patient"),
        "may_state": request.user.has_perm(STATE),
        "sender": settings.SMS_FROM,
        "sender_answers": launch.ANSWERS[Topic.SENDER],
        "today": timezone.localdate(),
        "statements": LaunchStatement.objects.filter(about=settings.SMS_FROM)[:6],
    }
    return TemplateResponse(request, "admin/desk/launch.html", context)


def _barriers(found: dict[int, reach.Reach]) -> list[Share]:
    counts = Counter(each.barrier for each in found.values() if each.barrier is not None)
    return [Share(each.value, str(each.label), counts[each], len(found)) for each in reach.Barrier if counts[each]]


@require_safe
def people_view(request: HttpRequest, group: str) -> HttpResponse:
    """Show who is counted in one of the page's numbers."""
    require(request, LIST)
    require(request, "scheduling.view_patient")
    label = _labels().get(group)
    if label is None:
        raise Http404
    found = reach.survey(reach.waiting(request.user), timezone.localdate())
    wanted = [pk for pk, each in found.items() if group in (each.way, each.barrier)]
    page = Paginator(wanted, PER_PAGE).get_page(request.GET.get("page"))
    entries = WaitlistEntry.objects.for_user(request.user).filter(status=WaitlistEntry.Status.WAITING)
    waits = Prefetch("waitlist_entries", entries.select_related("appointment_type"), to_attr="waits")
    rows = Patient.objects.for_user(request.user).filter(pk__in=list(page)).order_by("pk")
    people = list(rows.prefetch_related(waits))
    viewing.record_listed(request.user, people)
    context = {
        **admin.site.each_context(request),
        "title": f"On the waitlist: {label}",
        "subtitle": None,
        "rows": [(person, found[person.pk]) for person in people],
        "page": page,
    }
    return TemplateResponse(request, "admin/desk/launch_people.html", context)


def _labels() -> dict[str, str]:
    return {each.value: str(each.label) for choices in (reach.Way, reach.Barrier) for each in choices}


@require_POST
def state_view(request: HttpRequest, topic: str) -> HttpResponse:
    """Put on record what the person knows about the sending number."""
    require(request, STATE)
    if topic not in Topic.values:
        raise Http404
    given: Any = request.POST
    try:
        launch.state(
            topic,
            given.get("answer", ""),
            settings.SMS_FROM,
            reference=given.get("reference", ""),
            done_on=_day(given.get("done_on", "")),
            by=request.user.get_username(),
        )
    except ValueError as problem:
        messages.error(request, f"Nothing was recorded. {problem}")
    else:
        messages.success(request, "Recorded, with your name and the day.")
    return HttpResponseRedirect(reverse("admin:desk_launch"))


def _day(text: str) -> date:
    try:
        return datetime.strptime(text.strip(), "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise ValueError("Write the day as year-month-day, for example 2026-11-24.") from None


VIEWS = (
    ("launch/", page_view, "desk_launch"),
    ("launch/list/<slug:group>/", people_view, "desk_launch_people"),
    ("launch/state/<slug:topic>/", state_view, "desk_launch_state"),
)
