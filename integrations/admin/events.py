"""What arrived, and what could not be read. Raw bodies are shown on demand, and every look is recorded."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from audit.log import record
from audit.models import AccessRecord
from integrations.ehr import inbox
from integrations.models import InboundEvent
from scheduling.admin.base import ReadOnlyAdmin
from scheduling.admin.display import state, when
from scheduling.admin.scope import fetch_or_404

MOST_SHOWN = 200_000


@admin.register(InboundEvent)
class InboundEventAdmin(ReadOnlyAdmin):
    everyones = "An event is not yet known to belong to a place; only those who run the connections see them."
    empty_list_says = "Nothing has arrived yet. Sync status says whether the EHR answers."
    list_display = ("received", "connection", "via", "subject_key", "status_shown", "outcome", "error", "attempts")
    list_display_links = ("received",)
    list_filter = ("status", "via", "connection")
    list_select_related = ("connection",)
    search_fields = ("=correlation_id", "=subject_key")
    search_help_text = "A correlation id, or a subject such as Appointment/12."
    ordering = ("-received_at", "-pk")
    date_hierarchy = "received_at"
    actions = ("read_again",)
    change_form_template = "admin/integrations/inboundevent/change_form.html"
    fields = (
        "received",
        "connection",
        "via",
        "subject_key",
        "status_shown",
        "outcome",
        "error",
        "attempts",
        "due",
        "done",
        "content_type",
        "dedupe_key",
        "correlation_id",
    )
    readonly_fields = ("received", "status_shown", "due", "done")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # Only the page that shows the body reads it.
        is_raw = (
            request.resolver_match is not None and request.resolver_match.url_name == "integrations_inboundevent_raw"
        )
        rows = super().get_queryset(request)
        return rows if is_raw else rows.defer("body")

    def get_urls(self) -> list[URLPattern]:
        raw, retry = self.admin_site.admin_view(self.raw_view), self.admin_site.admin_view(self.retry_view)
        return [
            path("<path:object_id>/raw/", raw, name="integrations_inboundevent_raw"),
            path("<path:object_id>/retry/", retry, name="integrations_inboundevent_retry"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        more = {"may_retry": self.has_retry_permission(request), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, more)

    def retry_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Have one event read again."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        event: InboundEvent = fetch_or_404(self.get_queryset(request), request.user, object_id)
        if not self.has_retry_permission(request):
            raise PermissionDenied
        if inbox.retry(event):
            messages.success(request, "It is read again; if it still cannot be, it is asked about under Needs you.")
        else:
            messages.warning(request, "Nothing changed: it was read, or is being read.")
        return HttpResponseRedirect(reverse("admin:integrations_inboundevent_change", args=[event.pk]))

    def raw_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show what arrived, byte for byte as far as it is text."""
        event: InboundEvent = fetch_or_404(self.get_queryset(request), request.user, object_id)
        if not self.has_view_permission(request, event):
            raise PermissionDenied
        record(AccessRecord.Action.VIEW, subject=event, reason="raw body")
        context = {
            **self.admin_site.each_context(request),
            "title": f"Event {event.pk} as it arrived",
            "subtitle": None,
            "event": event,
            "body": readable(bytes(event.body)),
        }
        return TemplateResponse(request, "admin/integrations/inboundevent/raw.html", context)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Whether the person may have events read again."""
        return request.user.has_perm("integrations.change_inboundevent")

    @admin.action(description="Read again (dead letters and what could not be read)", permissions=["retry"])
    def read_again(self, request: HttpRequest, queryset: QuerySet[InboundEvent]) -> None:
        rows = list(queryset)
        again = sum(bool(inbox.retry(row)) for row in rows)
        if again:
            self.message_user(request, f"{again} taken up again.")
        if again < len(rows):
            self.message_user(request, f"{len(rows) - again} left alone: they were read.", messages.WARNING)

    @admin.display(description="Received", ordering="received_at")
    def received(self, row: InboundEvent) -> str:
        return when(row.received_at, seconds=True)

    @admin.display(description="State", ordering="status")
    def status_shown(self, row: InboundEvent) -> str:
        return state(row.status, row.get_status_display())

    @admin.display(description="Next try", ordering="due_at")
    def due(self, row: InboundEvent) -> str:
        live = (InboundEvent.Status.RECEIVED, InboundEvent.Status.PROCESSING)
        return when(row.due_at if row.status in live else None)

    @admin.display(description="Finished", ordering="done_at")
    def done(self, row: InboundEvent) -> str:
        return when(row.done_at, seconds=True)


def readable(body: bytes) -> str:
    """Return the body as text, JSON set out in lines; bytes that are no text are marked."""
    text = body[:MOST_SHOWN].decode("utf-8", "replace")
    with suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return text + ("\n… cut here" if len(body) > MOST_SHOWN else "")
