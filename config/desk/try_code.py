"""*Try it*: a stored event, and what it becomes before and after a change of what one code means."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.views.decorators.http import require_safe

from audit.log import record
from audit.models import AccessRecord
from config.desk.connecting import fetch_connection
from config.desk.mapper import VIEW
from config.desk.mapper_lines import BY_LOCATION, names_of
from config.desk.rights import require
from integrations import mapping
from integrations.meanings import Domain, Key, Meanings
from integrations.models import Connection, InboundEvent
from integrations.try_it import Change, try_event
from scheduling.admin import viewing
from scheduling.models import Location

MOST_EVENTS = 20


@require_safe
def try_view(request: HttpRequest, pk: int, event_id: int) -> HttpResponse:
    """Show what the event becomes now and under the change in the address. Looking is on record."""
    require(request, VIEW)
    require(request, "integrations.view_inboundevent")
    row = fetch_connection(pk)
    event = get_object_or_404(InboundEvent.objects.select_related("connection__source"), pk=event_id, connection=row)
    change = _change(request)
    trial = try_event(event, change)
    record(AccessRecord.Action.VIEW, subject=event, reason="try a mapping")
    viewing.record_view([trial.patient], reason="try a mapping")
    domain = request.GET.get("domain", "")
    context = {
        **admin.site.each_context(request),
        "title": f"Try it on event {event.pk}",
        "subtitle": None,
        "row": row,
        "event": event,
        "trial": trial,
        "differs": any(field.differs for field in trial.fields),
        "change": change,
        "domain": domain,
        "system": request.GET.get("system", ""),
        "code": request.GET.get("code", ""),
        "target": request.GET.get("target", _meant_now(row, request)),
        "place": request.GET.get("location", ""),
        "changed": mapping.last_change(row, _key(request)),
        "names": names_of(domain).items() if domain in Domain.values else (),
        "locations": Location.objects.filter(active=True) if domain in BY_LOCATION else (),
        "others": row.events.exclude(subject_key="").exclude(pk=event.pk).defer("body").order_by("-pk")[:MOST_EVENTS],
        "may_change": request.user.has_perm("integrations.change_codemapping"),
    }
    return TemplateResponse(request, "admin/desk/try_code.html", context)


def _meant_now(row: Connection, request: HttpRequest) -> str:
    """Return what the code in the address means, so that the choice begins there."""
    return Meanings.of(row).target(_key(request)) or ""


def _key(request: HttpRequest) -> Key:
    return Key(*(request.GET.get(name, "") for name in ("domain", "system", "code")))


def _change(request: HttpRequest) -> Change | None:
    domain, code, target = (request.GET.get(name, "") for name in ("domain", "code", "target"))
    if "target" not in request.GET or domain not in Domain.values or not code:
        return None
    if target and target not in mapping.allowed_targets(domain):
        return None
    place = request.GET.get("location", "")
    location_id = int(place) if place.isdecimal() and len(place) < 19 else None
    return Change(_key(request), location_id, target)
