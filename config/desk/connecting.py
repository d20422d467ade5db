"""*Connect*: the way from an address to a live EHR, step by step, on one page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from config.desk.connecting_steps import CHANGE, OPERATE, STEPS, may_subscribe
from config.desk.lines import connection_line
from config.desk.rights import require
from integrations import discovered
from integrations.ehr import checking, history, signing_keys
from integrations.ehr.abilities import LEARNED
from integrations.ehr.gateway import Finding
from integrations.ehr.progress import progress_of
from integrations.models import CodeMapping, Connection
from scheduling import going_live
from scheduling.models import ExternalId, Location, Opening

VIEW = "integrations.view_connection"
#: What is loaded, in the front desk's words.
KINDS = {"location": "Locations", "provider": "Clinicians", "patient": "Patients", "appointment": "Appointments"}
SECTIONS = ("login", "check", "load", "map", "subscribe", "shadow", "mode")
#: The section of a step that is not named like it.
_SECTION_OF = {"key": "login", "history": "shadow", "live": "shadow", "start": "mode"}
#: How the verdict of a finding is shown: word and tone.
VERDICTS = {"yes": ("yes", "ok"), "partly": ("in part", "wait"), "no": ("no", "danger"), "not_tried": ("–", "stop")}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the check's table."""

    finding: Finding
    word: str
    tone: str

    @property
    def learned(self) -> str:
        """How we know, in words."""
        return LEARNED[self.finding.learned]

    @property
    def since(self) -> datetime | None:
        """When a check first found it so."""
        return datetime.fromisoformat(self.finding.since) if self.finding.since else None


@require_safe
def page_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Show where the connection stands and what comes next."""
    require(request, VIEW)
    row = fetch_connection(pk)
    now = timezone.now()
    unmapped = discovered.unmapped(row)
    findings = checking.found(row)
    clinicians = going_live.readiness(row.source)
    signs = row.login_method == Connection.LoginMethod.SIGNED
    keys = list(signing_keys.published(row, now))
    comes_next, next_says = next_step(row, findings, unmapped.total(), any(each.count for each in clinicians))
    if signs and not keys:
        comes_next, next_says = "login", "make a key, and give its address to the vendor"
    context = {
        **admin.site.each_context(request),
        "title": f"Connect {row.source.name}",
        "next": comes_next,
        "next_says": next_says,
        "said_at": said_at if (said_at := request.GET.get("at", "")) in SECTIONS else "",
        "any_taken": any(each.count for each in clinicians),
        "subtitle": None,
        "row": row,
        "line": connection_line(row, now),
        "findings": [Row(each, *VERDICTS[each.verdict]) for each in findings],
        "signs": signs,
        "keys": keys,
        "signing": next((key for key in keys if key.signs_from <= now), None),
        "now": now,
        "key_set_address": settings.PUBLIC_BASE_URL + reverse("ehr-key-set", args=[row.slug]),
        "webhook_address": settings.PUBLIC_BASE_URL + reverse("ehr-webhook", args=[row.slug]),
        "subscriptions": row.subscriptions.order_by("pk"),
        "may_subscribe": may_subscribe(row),
        "has_webhook_secret": bool(row.webhook_secrets),
        "unmapped": unmapped.total(),
        **_load_of(row),
        **_history_of(row),
        "clinicians": clinicians,
        "left_by_shadow": _left_by_shadow(row, now),
        "unmapped_types": unmapped[CodeMapping.Domain.TYPE],
        "unmapped_reasons": unmapped[CodeMapping.Domain.REASON],
        "may_change": request.user.has_perm(CHANGE),
        "may_operate": request.user.has_perm(OPERATE),
        "sees_places": _sees_places(request, row),
        "may_go_live": request.user.has_perm("scheduling.change_bookable"),
    }
    return TemplateResponse(request, "admin/desk/connecting.html", context)


def next_step(row: Connection, findings: list[Finding], unmapped: int, is_any_taken: bool) -> tuple[str, str]:
    """Return the section of the step that a person takes next, and the step in words; both empty at work."""
    refused = {each.key for each in findings if each.verdict == "no"}
    if "server" in refused:
        return "login", "compare the address, or ask the vendor why it does not answer"
    if refused & {"address", "login"}:
        return "login", "mend the address or the login"
    if not findings:
        return "check", "check what it lets us do"
    if row.loaded_at is None:
        return "load", "load the calendar"
    if row.only_sends and row.state == Connection.State.PAUSED:
        return "mode", "start it: its messages are dealt with from then on"
    if unmapped:
        return "map", "say what its codes mean"
    if not is_any_taken:
        return "mode", "enter what each clinician takes"
    if row.state == Connection.State.ACTIVE and not row.source.in_shadow:
        return "", ""
    if row.source.shadow_since is None:
        return "shadow", "watch it work in shadow"
    return "mode", "go live, one clinician at a time"


def _sees_places(request: HttpRequest, row: Connection) -> bool:
    """Whether the person works at any of this EHR's places: what clinicians take is entered place by place."""
    places = ExternalId.objects.filter(source=row.source, kind=ExternalId.Kind.LOCATION).values("object_id")
    return Location.objects.for_user(request.user).filter(pk__in=places).exists()


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
    if step not in STEPS:
        raise Http404
    permission, action = STEPS[step]
    require(request, permission)
    action(request, fetch_connection(pk))
    section = _SECTION_OF.get(step, step)
    # What came of it is said beside the button: the page is long.
    return HttpResponseRedirect(reverse("admin:desk_connecting", args=[pk]) + f"?at={section}#{section}")


def fetch_connection(pk: int) -> Connection:
    """Return the connection; 404 when there is none."""
    return get_object_or_404(Connection.objects.select_related("source"), pk=pk)
