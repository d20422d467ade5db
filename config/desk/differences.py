"""Differences: where the EHR's calendar and ours do not agree, side by side, and what to do about each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from config.desk.rights import require
from integrations.ehr import differences
from integrations.models import Difference, Reconciliation
from scheduling.admin import viewing
from scheduling.admin.display import exact, slot
from scheduling.admin.scope import key_of, refuse_elsewhere
from scheduling.models import Appointment, ExternalId, Location, Patient, Provider

VIEW, DECIDE = "integrations.view_difference", "integrations.change_difference"
MOST = 200
_STATUS = dict(Appointment.Status.choices)


class Word(NamedTuple):
    """One thing that a side says; ``differs`` where the other side says something else."""

    text: str
    differs: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A difference as its row on the page. ``differs`` are the words of what is not the same."""

    row: Difference
    differs: str
    ehr_says: list[Word]
    we_hold: list[Word]
    frees: bool
    sends: str
    why_not_sent: str


@require_safe
def page_view(request: HttpRequest) -> HttpResponse:
    """Show what waits for a decision at the person's locations, the soonest first."""
    require(request, VIEW)
    rows = _waiting(request)
    shown = list(rows.order_by("start", "pk")[:MOST])
    viewing.record_listed(request.user, [row.patient for row in shown])
    names = _Names(shown, request)
    context = {
        **admin.site.each_context(request),
        "title": "Differences from the EHR",
        "subtitle": None,
        "lines": [_line(row, names) for row in shown],
        "more": max(rows.count() - MOST, 0),
        "last_runs": _last_runs(),
        "may_decide": request.user.has_perm(DECIDE),
    }
    return TemplateResponse(request, "admin/desk/differences.html", context)


@require_POST
def decide_view(request: HttpRequest) -> HttpResponse:
    """Do what was chosen: one row by its own button, or all that are ticked."""
    require(request, DECIDE)
    choice, _, single = request.POST.get("choice", "").partition(":")
    wanted = [single] if single else request.POST.getlist("pick")
    refuse_elsewhere(Difference.objects.all(), request.user, list(wanted))
    keys = [key for key in (key_of(Difference, pk) for pk in wanted) if key is not None]
    picked = list(_waiting(request).filter(pk__in=keys, state=Difference.State.OPEN))
    if choice not in _CHOICES or not wanted:
        messages.error(request, "Nothing changed: tick at least one row, then press a button.")
    elif not picked:
        messages.warning(request, "Nothing changed: somebody else has decided it, or it is no more.")
    else:
        opens = set(request.POST.getlist("open"))
        messages.success(request, _CHOICES[choice](picked, request.user.get_username(), opens))
    return HttpResponseRedirect(reverse("admin:desk_differences"))


def _waiting(request: HttpRequest) -> Any:
    rows = Difference.objects.for_user(request.user).filter(state__in=Difference.WAITING)
    return rows.select_related("connection__source", "appointment", "patient", "location")


def _take(rows: list[Difference], by: str, opens: set[str]) -> str:
    taken = [row for row in rows if differences.take(row, by, opens=str(row.pk) in opens)]
    opening = sum(row.opens_time for row in taken)
    offered = f" Freed time of {opening} is offered." if opening else " No time is offered."
    return f"{_count(len(taken))} being taken over: the EHR is asked anew.{offered}"


def _send(rows: list[Difference], by: str, opens: set[str]) -> str:
    sent, kept = 0, ""
    for row in rows:
        said = differences.send(row, by)
        sent += row.state == Difference.State.SENT
        kept = kept if row.state == Difference.State.SENT else said
    told = f"{_count(sent)} on the way to the EHR, which is read back afterwards." if sent else "Nothing was sent."
    return f"{told} {kept}".strip()


def _leave(rows: list[Difference], by: str, opens: set[str]) -> str:
    left = sum(differences.leave(row, by) for row in rows)
    return f"{_count(left)} left alone until one side changes."


_CHOICES: dict[str, Callable[[list[Difference], str, set[str]], str]] = {"take": _take, "send": _send, "leave": _leave}


def _count(number: int) -> str:
    return "1 appointment is" if number == 1 else f"{number} appointments are"


def _last_runs() -> list[Reconciliation]:
    """Return the last complete comparison of each connection."""
    rows = Reconciliation.objects.filter(ended_at__isnull=False, error="").select_related("connection__source")
    latest: dict[int, Reconciliation] = {}
    for row in rows.order_by("-pk")[:50]:
        latest.setdefault(row.connection_id, row)
    return list(latest.values())


class _Names:
    """What the EHR's ids on one page are called, in a fixed number of queries."""

    def __init__(self, rows: Iterable[Difference], request: HttpRequest) -> None:
        self._names: dict[tuple[int, str, str], str] = {}
        values = {value for row in rows for side in (row.ehr_says, row.we_hold) for value in side.values()}
        seen: dict[str, dict[int, str]] = {
            ExternalId.Kind.PROVIDER: dict(Provider.objects.values_list("pk", "name")),
            ExternalId.Kind.LOCATION: dict(Location.objects.for_user(request.user).values_list("pk", "name")),
        }
        external = ExternalId.objects.filter(kind__in=(*seen, ExternalId.Kind.PATIENT), value__among=list(values))
        people = [each.object_id for each in external if each.kind == ExternalId.Kind.PATIENT]
        mine = Patient.objects.for_user(request.user).filter(pk__in=people)
        seen[ExternalId.Kind.PATIENT] = {person.pk: person.full_name for person in mine}
        for each in external:
            name = seen[each.kind].get(each.object_id)
            if name:
                self._names[each.source_id, each.kind, each.value] = name

    def of(self, row: Difference, kind: str, value: str) -> str:
        """Return the name, or that it is another one that the person may not see or we do not know."""
        return self._names.get((row.connection.source_id, kind, value), f"another {kind}")


def _line(row: Difference, names: _Names) -> Line:
    return Line(
        row,
        differs=", ".join(row.fields) or row.get_kind_display(),
        ehr_says=_words(row, row.ehr_says, names) or [Word("no such appointment", True)],
        we_hold=_words(row, row.we_hold, names) or [Word("no such appointment", True)],
        frees=differences.frees(row),
        sends=differences.what_is_sent(row),
        why_not_sent=differences.why_not_sent(row),
    )


def _words(row: Difference, said: dict[str, str], names: _Names) -> list[Word]:
    """Return a side in words: status, time, clinician and place, and who and what for where that differs."""
    if not said:
        return []
    zone = row.location.zone if row.location else None
    words = [Word(_STATUS.get(said.get("status", ""), "no status"), "status" in row.fields)]
    if said.get("start"):
        start, end = datetime.fromisoformat(said["start"]), said.get("end")
        time = slot(start, datetime.fromisoformat(end), zone) if end else exact(start, zone)
        words.append(Word(time, "time" in row.fields))
    for kind in ("provider", "location"):
        if said.get(kind):
            words.append(Word(names.of(row, kind, said[kind]), kind in row.fields))
    if "patient" in row.fields and said.get("patient"):
        words.append(Word(f"for {names.of(row, 'patient', said['patient'])}", True))
    if "type" in row.fields:
        words.append(Word(said.get("type_name") or said.get("type") or "no type", True))
    return words
