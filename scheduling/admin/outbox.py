"""What the EHR must still be told, and the dead letters among it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from scheduling import writebacks
from scheduling.admin.base import ReadOnlyAdmin, ScopedRelatedFilter
from scheduling.admin.display import opening_link, patient_name, state, when
from scheduling.admin.scope import fetch_or_404
from scheduling.models import Writeback


@admin.register(Writeback)
class WritebackAdmin(ReadOnlyAdmin):
    patients_in = ("appointment.patient",)
    list_title = "Changes to the EHR"
    list_display = ("what", "patient_shown", "status_shown", "why", "attempts", "due", "opening_shown", "created")
    list_display_links = ("what",)
    list_filter = ("status", "kind", "source", ("appointment__location", ScopedRelatedFilter))
    list_select_related = (
        "appointment__patient",
        "appointment__location",
        "opening__provider",
        "opening__location",
        "source",
    )
    ordering = ("-created_at",)
    actions = ("send_again",)
    change_form_template = "admin/scheduling/writeback/change_form.html"
    fieldsets = (
        (None, {"fields": ("what", "patient_shown", "status_shown", "why", "opening_shown")}),
        ("Tries", {"fields": ("attempts", "due", "sent", "deadline", "created", "finished")}),
        ("For the EHR's staff", {"fields": ("source", "key", "slots", "correlation_id")}),
    )
    readonly_fields = (
        "what",
        "patient_shown",
        "status_shown",
        "why",
        "opening_shown",
        "due",
        "sent",
        "deadline",
        "created",
        "finished",
    )

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.retry_view)
        return [path("<path:object_id>/retry/", view, name="scheduling_writeback_retry"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row: Writeback = fetch_or_404(self.get_queryset(request), request.user, object_id)
        more = {
            "title": self.what(row),
            "subtitle": None,
            "may_retry": self.has_retry_permission(request),
        }
        return super().change_view(request, object_id, form_url, {**more, **(extra_context or {})})

    def retry_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Send one dead letter again."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row: Writeback = fetch_or_404(self.get_queryset(request), request.user, object_id)
        if not self.has_retry_permission(request):
            raise PermissionDenied
        if writebacks.retry(row, request.user.get_username()):
            messages.success(request, "It is taken up again. What was written before is looked up first.")
        else:
            messages.warning(request, "Nothing was sent: it is no dead letter, or another change is under way.")
        return HttpResponseRedirect(reverse("admin:scheduling_writeback_change", args=[row.pk]))

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Whoever works with openings may send a dead letter again."""
        return request.user.has_perm("scheduling.change_writeback")

    @admin.action(description="Send again: the EHR is asked first whether it has it already", permissions=["retry"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Writeback]) -> None:
        by = request.user.get_username()
        dead = queryset.filter(status=Writeback.Status.DEAD)
        again = sum(writebacks.retry(row, by) for row in dead.select_related("opening"))
        rest = queryset.count() - again
        if again:
            self.message_user(request, f"{again} taken up again. What was written before is looked up first.")
        if rest:
            self.message_user(
                request,
                f"{rest} left alone: only dead letters can be sent again, one for each appointment at a time.",
                level=messages.WARNING,
            )

    @admin.display(description="What", ordering="kind")
    def what(self, row: Writeback) -> str:
        return "Book in the EHR" if row.kind == Writeback.Kind.CREATE else "Cancel in the EHR"

    @admin.display(description="Patient")
    def patient_shown(self, row: Writeback) -> str:
        return patient_name(row.appointment.patient)

    @admin.display(description="State", ordering="status")
    def status_shown(self, row: Writeback) -> str:
        return state(row.status, row.get_status_display())

    @admin.display(description="Why")
    def why(self, row: Writeback) -> str:
        return row.error_detail or row.error_code.replace("_", " ") or "–"

    @admin.display(description="Opening")
    def opening_shown(self, row: Writeback) -> str:
        return opening_link(row.opening)

    @admin.display(description="Next try", ordering="due_at")
    def due(self, row: Writeback) -> str:
        return when(row.due_at if row.status in Writeback.LIVE else None)

    @admin.display(description="Last call", ordering="sent_at")
    def sent(self, row: Writeback) -> str:
        return when(row.sent_at, seconds=True)

    @admin.display(description="Never after", ordering="deadline_at")
    def deadline(self, row: Writeback) -> str:
        return when(row.deadline_at)

    @admin.display(description="Asked for", ordering="created_at")
    def created(self, row: Writeback) -> str:
        return when(row.created_at, seconds=True)

    @admin.display(description="Finished", ordering="finished_at")
    def finished(self, row: Writeback) -> str:
        return when(row.finished_at, seconds=True)
