"""*Connect*: the way from an address to a live EHR, step by step, on one page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from audit.log import record
from audit.models import AccessRecord
from config.desk.lines import connection_line
from config.desk.rights import require
from integrations import discovered, switches
from integrations.ehr import checking, event_stream, history, load_requests, signing_keys
from integrations.ehr.gateway import Finding, GatewayError
from integrations.ehr.progress import progress_of
from integrations.models import CodeMapping, Connection
from scheduling import going_live
from scheduling.models import Bookable, Opening, Provider
from waitlist import shadow

VIEW, CHANGE, OPERATE = (
    "integrations.view_connection",
    "integrations.change_connection",
    "integrations.operate_connection",
)
#: What is loaded, in the front desk's words.
KINDS = {"location": "Locations", "provider": "Clinicians", "patient": "Patients", "appointment": "Appointments"}
#: How the verdict of a finding is shown: word and tone.
VERDICTS = {"yes": ("yes", "ok"), "partly": ("in part", "wait"), "no": ("no", "danger"), "not_tried": ("–", "stop")}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the check's table."""

    finding: Finding
    word: str
    tone: str


@require_safe
def page_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Show where the connection stands and what comes next."""
    require(request, VIEW)
    row = fetch_connection(pk)
    now = timezone.now()
    unmapped = discovered.unmapped(row)
    context = {
        **admin.site.each_context(request),
        "title": f"Connect {row.source.name}",
        "subtitle": None,
        "row": row,
        "line": connection_line(row, now),
        "findings": [Row(each, *VERDICTS[each.verdict]) for each in checking.found(row)],
        "signs": row.login_method == Connection.LoginMethod.SIGNED,
        "keys": signing_keys.published(row, now),
        "now": now,
        "key_set_address": settings.PUBLIC_BASE_URL + reverse("ehr-key-set", args=[row.slug]),
        "webhook_address": settings.PUBLIC_BASE_URL + reverse("ehr-webhook", args=[row.slug]),
        "subscriptions": row.subscriptions.order_by("pk"),
        "may_subscribe": _may_subscribe(row),
        "has_webhook_secret": bool(row.webhook_secrets),
        "unmapped": unmapped.total(),
        **_load_of(row),
        **_history_of(row),
        "clinicians": going_live.readiness(row.source),
        "left_by_shadow": _left_by_shadow(row, now),
        "unmapped_types": unmapped[CodeMapping.Domain.TYPE],
        "unmapped_reasons": unmapped[CodeMapping.Domain.REASON],
        "may_change": request.user.has_perm(CHANGE),
        "may_operate": request.user.has_perm(OPERATE),
        "may_go_live": request.user.has_perm("scheduling.change_bookable"),
    }
    return TemplateResponse(request, "admin/desk/connecting.html", context)


def _left_by_shadow(row: Connection, now: datetime) -> int:
    """Return how many free times the end of a shadow run would have offered; 0 outside of one."""
    if not row.source.in_shadow:
        return 0
    return Opening.objects.filter(source=row.source, status__in=Opening.CLAIMABLE, held="", start__gt=now).count()


@require_safe
def load_view(request: HttpRequest, pk: int) -> HttpResponse:
    """The part of the page that shows how far a load has come."""
    require(request, VIEW)
    return TemplateResponse(request, "admin/desk/connecting_load.html", _load_of(fetch_connection(pk)))


@require_safe
def history_view(request: HttpRequest, pk: int) -> HttpResponse:
    """The part of the page that shows how far the reading of past cancellations has come."""
    require(request, VIEW)
    return TemplateResponse(request, "admin/desk/connecting_history.html", _history_of(fetch_connection(pk)))


def _history_of(row: Connection) -> dict[str, object]:
    return {"row": row, "history": history.progress_of(row)}


def _load_of(row: Connection) -> dict[str, object]:
    progress = progress_of(row)
    return {
        "row": row,
        "progress": progress,
        "kinds": [(each, KINDS[each.kind]) for each in progress.kinds.values()] if progress else [],
        "is_loading": bool(progress and progress.ended_at is None and row.poll_lease_until),
        "is_asked": row.load_due_at is not None,
    }


@require_POST
def step_view(request: HttpRequest, pk: int, step: str) -> HttpResponse:
    """Take one step, say what came of it, and show the page again."""
    if step not in _STEPS:
        raise Http404
    permission, action = _STEPS[step]
    require(request, permission)
    action(request, fetch_connection(pk))
    return HttpResponseRedirect(reverse("admin:desk_connecting", args=[pk]) + f"#{step}")


def fetch_connection(pk: int) -> Connection:
    """Return the connection; 404 when there is none."""
    return get_object_or_404(Connection.objects.select_related("source"), pk=pk)


def _check(request: HttpRequest, row: Connection) -> None:
    found = checking.check(row)
    record(AccessRecord.Action.CALL, subject=row)
    trouble = [each for each in found if each.verdict in ("no", "partly")]
    if not trouble:
        messages.success(request, f"{row.source.name} lets us do all we need.")
    else:
        need = "needs" if len(trouble) == 1 else "need"
        messages.warning(request, f"{len(trouble)} of {len(found)} answers {need} your attention. Nothing was changed.")


def _load(request: HttpRequest, row: Connection) -> None:
    load_requests.ask(row)
    record(AccessRecord.Action.CALL, subject=row)
    messages.success(request, "The calendar is being loaded. You can leave this page; it goes on by itself.")


def _key(request: HttpRequest, row: Connection) -> None:
    now = timezone.now()
    if not signing_keys.published(row, now).exists():
        key = signing_keys.ensure(row, request.POST.get("algorithm", signing_keys.Algorithm.ES384), now)
        messages.success(request, f"The key {key.kid} is published. Give its address to the vendor.")
        return
    key = signing_keys.rotate(row, now=now)
    messages.success(
        request, f"The key {key.kid} is published now and signs from tomorrow. The vendor has nothing to do."
    )


def _may_subscribe(row: Connection) -> bool:
    """A proprietary system knows no subscriptions of FHIR, and of others the last check may say that they take none."""
    refused = any(each.key == "events" and each.verdict == "no" for each in checking.found(row))
    return row.kind in Connection.Kind.values and (not refused or row.events_by == Connection.EventsBy.PLATFORM)


def _subscribe(request: HttpRequest, row: Connection) -> None:
    if not _may_subscribe(row):
        messages.info(request, "Nothing was done: this kind of EHR takes no subscriptions. It is polled.")
        return
    if not row.webhook_secrets:
        messages.error(
            request, "Nothing was done: the connection has no webhook secret yet. Enter one in its settings."
        )
        return
    try:
        event_stream.start(row)
    except GatewayError as error:
        messages.error(
            request,
            f"The EHR did not take the subscription: {checking.said(error)} Nothing is lost: it is polled every "
            f"{row.poll_minutes} minutes.",
        )
        return
    record(AccessRecord.Action.CALL, subject=row)
    messages.success(request, "The EHR notifies us of every change from now on.")


def _start(request: HttpRequest, row: Connection) -> None:
    if switches.resume(row):
        record(AccessRecord.Action.RESUME, subject=row)
        messages.success(request, f"{row.source.name} is active: it is read now and every {row.poll_minutes} minutes.")
    else:
        messages.info(request, f"Nothing changed: {row.source.name} is {row.get_state_display()}.")


def _history(request: HttpRequest, row: Connection) -> None:
    if not history.ask(row):
        messages.info(request, "Nothing changed: the last 90 days are being read already.")
        return
    record(AccessRecord.Action.CALL, subject=row)
    messages.success(request, "The last 90 days are being read. You can leave this page; it goes on by itself.")


def _shadow(request: HttpRequest, row: Connection) -> None:
    try:
        found = shadow.begin(row.source)
    except ValueError:
        messages.info(request, f"Nothing changed: {row.source.name} is in shadow already.")
        return
    if found is not None:
        messages.error(request, _still_under_way(row, found))
        return
    record(AccessRecord.Action.PAUSE, subject=row, reason="shadow")
    messages.success(
        request, f"{row.source.name} is in shadow: everything is computed from now on, nothing is sent or written."
    )


def _still_under_way(row: Connection, found: shadow.UnderWay) -> str:
    counts = (
        (found.offers, "offers that patients hold"),
        (found.claims, "claims that wait for the EHR"),
        (found.writes, "changes for the EHR"),
        (found.messages, "messages to patients"),
    )
    told = "; ".join(f"{what}: {number}" for number, what in counts if number)
    return (
        f"Nothing changed: {row.source.name} is live, and this is still under way: {told}. A patient who says yes must "
        "get the time. Set the clinicians to off, let these end, then begin the shadow run."
    )


def _live(request: HttpRequest, row: Connection) -> None:
    if shadow.end(row.source):
        record(AccessRecord.Action.RESUME, subject=row, reason="shadow")
        messages.success(
            request, f"{row.source.name} is out of shadow: each clinician works in the mode shown below from now on."
        )
    else:
        messages.info(request, f"Nothing changed: {row.source.name} is not in shadow.")


def _mode(request: HttpRequest, row: Connection) -> None:
    known = {each.provider.pk: each.provider for each in going_live.readiness(row.source)}
    provider: Provider | None = known.get(_number(request.POST.get("provider", "")))
    mode = request.POST.get("mode", "")
    if provider is None or mode not in Bookable.Mode.values:
        raise Http404
    changed = going_live.set_mode(provider, mode)
    kinds = "1 kind of visit" if changed == 1 else f"{changed} kinds of visit"
    messages.success(request, f"{provider.name}: {Bookable.Mode(mode).label}. {kinds} changed.")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


_STEPS: dict[str, tuple[str, Callable[[HttpRequest, Connection], None]]] = {
    "check": (OPERATE, _check),
    "load": (OPERATE, _load),
    "key": (CHANGE, _key),
    "subscribe": (OPERATE, _subscribe),
    "start": (OPERATE, _start),
    "history": (OPERATE, _history),
    "shadow": (OPERATE, _shadow),
    "live": (OPERATE, _live),
    "mode": ("scheduling.change_bookable", _mode),
}
