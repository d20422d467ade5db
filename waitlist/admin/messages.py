"""What patients were told. The words stand only on a message's own page, and every look at them is recorded."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from scheduling.admin.base import ReadOnlyAdmin, ScopedRelatedFilter
from scheduling.admin.display import icon, opening_link, patient_name, state, when
from scheduling.admin.scope import fetch_or_404
from waitlist.models import Message
from waitlist.resending import send_again
from waitlist.why_not_sent import say


@admin.register(Message)
class MessageAdmin(ReadOnlyAdmin):
    patients_in = ("patient",)
    finds_patients = "patient"
    records_row = True
    list_display = ("kind_shown", "patient_shown", "way", "status_shown", "why", "opening_shown", "created", "sent")
    list_display_links = ("kind_shown",)
    list_filter = ("status", "kind", "channel", ("location", ScopedRelatedFilter))
    list_select_related = ("patient", "opening__provider", "opening__location", "location")
    ordering = ("-created_at",)
    actions = ("send_selected_again",)
    change_form_template = "admin/waitlist/message/change_form.html"
    fieldsets = (
        (None, {"fields": ("patient_shown", "way", "address", "status_shown", "why", "opening_shown")}),
        ("Words", {"fields": ("language", "subject", "words", "attachment_shown")}),
        ("Sending", {"fields": ("attempts", "due", "created", "sent", "carrier_id", "correlation_id")}),
    )
    readonly_fields = (
        "patient_shown",
        "way",
        "status_shown",
        "why",
        "opening_shown",
        "words",
        "attachment_shown",
        "due",
        "created",
        "sent",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        is_list = request.resolver_match is not None and str(request.resolver_match.url_name).endswith("_changelist")
        # What a list does not show it does not read, let alone decrypt.
        return rows.defer("body", "subject", "attachment", "address") if is_list else rows

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.retry_view)
        return [path("<path:object_id>/retry/", view, name="waitlist_message_retry"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row: Message = fetch_or_404(self.get_queryset(request), request.user, object_id)
        more = {"title": f"Message: {row.get_kind_display()}", "subtitle": None, "may_retry": self._may_retry(request)}
        return super().change_view(request, object_id, form_url, {**more, **(extra_context or {})})

    def _may_retry(self, request: HttpRequest) -> bool:
        return request.user.has_perm("waitlist.change_message")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Whether the person may send a dead letter again."""
        return self._may_retry(request)

    def retry_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Send one dead letter again."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row: Message = fetch_or_404(self.get_queryset(request), request.user, object_id)
        if not self._may_retry(request):
            raise PermissionDenied
        if send_again(row, request.user.get_username()):
            messages.success(request, "It is sent again. Consent and quiet hours are checked once more.")
        else:
            messages.warning(request, "Nothing was sent: it is not a dead letter any more.")
        return HttpResponseRedirect(reverse("admin:waitlist_message_change", args=[row.pk]))

    @admin.action(description="Send again (dead letters)", permissions=["retry"])
    def send_selected_again(self, request: HttpRequest, queryset: QuerySet[Message]) -> None:
        rows = list(queryset.select_related("opening"))
        again = sum(send_again(row, request.user.get_username()) for row in rows)
        rest = len(rows) - again
        if again:
            self.message_user(request, f"{again} sent again. Consent and quiet hours are checked once more.")
        if rest:
            self.message_user(request, f"{rest} left alone: only dead letters can be sent again.", messages.WARNING)

    @admin.display(description="Message", ordering="kind")
    def kind_shown(self, row: Message) -> str:
        kind = row.get_kind_display().capitalize()
        return f"{kind} (test by {row.test_by})" if row.test_by else kind

    @admin.display(description="Patient")
    def patient_shown(self, row: Message) -> str:
        return patient_name(row.patient) if row.patient or not row.test_by else "–"

    @admin.display(description="By", ordering="channel")
    def way(self, row: Message) -> str:
        way = icon("phone" if row.channel == "sms" else "mail")
        return format_html('<span class="nowrap">{} {}</span>', way, row.get_channel_display())

    @admin.display(description="State", ordering="status")
    def status_shown(self, row: Message) -> str:
        return state(row.status, row.get_status_display(), "ok" if row.status == "sent" else "")

    @admin.display(description="Why")
    def why(self, row: Message) -> str:
        return say(row.error_code) or "–"

    @admin.display(description="Opening", ordering="opening")
    def opening_shown(self, row: Message) -> str:
        return opening_link(row.opening)

    @admin.display(description="Words")
    def words(self, row: Message) -> str:
        return format_html('<div class="message-body" lang="{}">{}</div>', row.language, row.body)

    @admin.display(description="Calendar file")
    def attachment_shown(self, row: Message) -> str:
        return "attached" if row.attachment else "none"

    @admin.display(description="Written", ordering="created_at")
    def created(self, row: Message) -> str:
        return when(row.created_at, seconds=True)

    @admin.display(description="Due", ordering="due_at")
    def due(self, row: Message) -> str:
        return when(row.due_at, seconds=True)

    @admin.display(description="Sent", ordering="sent_at")
    def sent(self, row: Message) -> str:
        return when(row.sent_at, seconds=True)
