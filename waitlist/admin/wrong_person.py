"""Contacts that reached somebody else: frozen with one press, listed with what was disclosed, freed with a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from audit.log import record
from audit.models import AccessRecord
from scheduling.admin import viewing
from scheduling.admin.base import ReadOnlyAdmin
from scheduling.admin.display import patient_name, state, when
from scheduling.admin.scope import fetch_or_404
from scheduling.models import ContactPoint, Patient, Practice
from waitlist import wrong_person
from waitlist.models import Message, WrongPersonReport
from waitlist.times import zone_name

ADD, CHANGE = "waitlist.add_wrongpersonreport", "waitlist.change_wrongpersonreport"


def _zone_of(rows: Iterable[Message]) -> ZoneInfo:
    """Return the zone that a page with these messages tells all its times in: their place's, of several the practice's.

    Whoever counts hours between two of them must not find two clocks on one page.
    """
    zones = {row.location.zone for row in rows if row.location is not None}
    return zones.pop() if len(zones) == 1 else ZoneInfo(Practice.current().time_zone)


@dataclass(frozen=True, slots=True)
class ContactLine:
    """A contact of a patient, with how many others have it and the report that stands."""

    contact: ContactPoint
    others: int
    report: WrongPersonReport | None


@admin.register(WrongPersonReport)
class WrongPersonReportAdmin(ReadOnlyAdmin):
    """``undo`` and ``print`` are reached from the report, ``ask`` from a patient; all rules are the verbs'."""

    patients_in = ("patient",)
    finds_patients = "patient"
    records_row = True
    list_title = "Reached the wrong person"
    empty_list_says = "No contact has reached somebody else. Replies that say so, and contacts you freeze, come here."
    list_display = ("reported", "patient_shown", "system", "state_shown", "reporter")
    list_display_links = ("reported",)
    list_filter = ("system", ("undone_at", admin.EmptyFieldListFilter))
    list_select_related = ("patient",)
    ordering = ("-reported_at",)
    change_form_template = "admin/waitlist/wrongpersonreport/change_form.html"
    fields = (
        "patient_shown",
        "system",
        "address",
        "state_shown",
        "reported",
        "reporter",
        "undone",
        "undone_because",
    )
    readonly_fields = ("patient_shown", "state_shown", "reported", "reporter", "undone")

    def get_fields(self, request: HttpRequest, obj: WrongPersonReport | None = None) -> Any:
        freed = ("undone", "undone_because")
        return self.fields if obj is None or obj.undone_at else [name for name in self.fields if name not in freed]

    def get_urls(self) -> list[URLPattern]:
        def own(route: str, view: Callable[..., HttpResponse], name: str) -> URLPattern:
            return path(route, self.admin_site.admin_view(view), name=f"waitlist_wrongpersonreport_{name}")

        return [
            own("ask/<path:patient_id>/", self.ask_view, "ask"),
            own("<path:object_id>/undo/", self.undo_view, "undo"),
            own("<path:object_id>/print/", self.print_view, "print"),
            *super().get_urls(),
        ]

    def ask_view(self, request: HttpRequest, patient_id: str) -> HttpResponse:
        """Show a patient's contacts; on POST freeze the one that reached somebody else."""
        if not request.user.has_perm(ADD):
            raise PermissionDenied
        patient: Patient = fetch_or_404(Patient.objects.all(), request.user, patient_id)
        if request.method == "POST":
            return self._freeze(request, patient)
        viewing.record_view([patient])
        standing = WrongPersonReport.objects.filter(patient=patient, undone_at__isnull=True)
        reports = {report.contact_point_id: report for report in standing}
        lines = [
            ContactLine(each, wrong_person.shared_with(each).count(), reports.get(each.pk))
            for each in patient.contact_points.order_by("rank", "pk")
        ]
        context = {
            **self.admin_site.each_context(request),
            "title": "Reached the wrong person",
            "subtitle": None,
            "patient": patient,
            "lines": lines,
        }
        return TemplateResponse(request, "admin/waitlist/wrongpersonreport/ask.html", context)

    def _freeze(self, request: HttpRequest, patient: Patient) -> HttpResponse:
        given = request.POST.get("contact", "")
        key = int(given) if given.isascii() and given.isdigit() and len(given) < 18 else 0
        contact = patient.contact_points.filter(pk=key).first()
        if contact is None:
            raise Http404
        reports = wrong_person.freeze(contact.system, contact.address_index)
        for report in reports:
            wrong_person.ask_to_look(report)
        mine = next((report for report in reports if report.patient_id == patient.pk), None)
        if mine is None:
            messages.warning(request, "Nothing changed: this contact is frozen already.")
            return HttpResponseRedirect(reverse("admin:waitlist_wrongpersonreport_ask", args=[patient.pk]))
        messages.success(request, "Frozen: nothing more is sent or called there. Below is what had gone there.")
        return HttpResponseRedirect(reverse("admin:waitlist_wrongpersonreport_change", args=[mine.pk]))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        report: WrongPersonReport = fetch_or_404(self.get_queryset(request), request.user, object_id)
        more = {"title": "Reached the wrong person", "subtitle": None, **self._shown(request, report)}
        return super().change_view(request, object_id, form_url, {**more, **(extra_context or {})})

    def print_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the report on one page without the frame, for paper."""
        report: WrongPersonReport = fetch_or_404(self.get_queryset(request), request.user, object_id)
        if not self.has_view_permission(request, report):
            raise PermissionDenied
        record(AccessRecord.Action.EXPORT, subject=report)
        viewing.record_view([report.patient], reason="disclosures")
        context = {"practice": Practice.current(), **self._shown(request, report)}
        return TemplateResponse(request, "admin/waitlist/wrongpersonreport/print.html", context)

    def _shown(self, request: HttpRequest, report: WrongPersonReport) -> dict[str, Any]:
        """Return the report with what was disclosed, as far as the person may see it."""
        keys = list(report.disclosed.values_list("pk", flat=True))
        seen = Message.objects.for_user(request.user).filter(pk__in=keys).order_by("created_at", "pk")
        rows = list(seen.select_related("location")) if request.user.has_perm("waitlist.view_message") else []
        zone = _zone_of(rows)
        return {
            "report": report,
            "disclosed": rows,
            "zone": zone,
            "zone_name": zone_name(report.reported_at.astimezone(zone), "en"),
            "hidden": len(keys) - len(rows),
            "may_undo": request.user.has_perm(CHANGE) and report.undone_at is None,
        }

    def undo_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Free the contact: it was the right person after all."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        report: WrongPersonReport = fetch_or_404(self.get_queryset(request), request.user, object_id)
        if not request.user.has_perm(CHANGE):
            raise PermissionDenied
        because = request.POST.get("because", "").strip()
        if not because:
            messages.error(request, "Nothing changed: say in a few words how you know, without the patient's name.")
        elif wrong_person.undo(report, because, by=request.user.get_username()):
            messages.success(request, "The contact may be used again. Waitlist entries that were paused stay paused.")
        else:
            messages.warning(request, "Nothing changed: it was freed already.")
        return HttpResponseRedirect(reverse("admin:waitlist_wrongpersonreport_change", args=[report.pk]))

    @admin.display(description="Reported", ordering="reported_at")
    def reported(self, row: WrongPersonReport) -> str:
        return when(row.reported_at, seconds=True)

    @admin.display(description="Reported by")
    def reporter(self, row: WrongPersonReport) -> str:
        return row.reporter

    @admin.display(description="Patient")
    def patient_shown(self, row: WrongPersonReport) -> str:
        return patient_name(row.patient)

    @admin.display(description="State", ordering="undone_at")
    def state_shown(self, row: WrongPersonReport) -> str:
        return state("ok", "freed again") if row.undone_at else state("stopped", "frozen")

    @admin.display(description="Freed")
    def undone(self, row: WrongPersonReport) -> str:
        return format_html("{} by {}", when(row.undone_at), row.undone_by) if row.undone_at else "–"
