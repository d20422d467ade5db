"""Every call to an EHR or carrier, as it was recorded."""

from __future__ import annotations

from django.contrib import admin

from integrations.models import ApiCall, RefusedCall
from scheduling.admin.base import ReadOnlyAdmin
from scheduling.admin.display import state, when


@admin.register(ApiCall)
class ApiCallAdmin(ReadOnlyAdmin):
    everyones = "Calls hold no patient data and are watched by those who run the connections."
    list_display = ("moment", "system", "method", "resource", "answer", "duration_ms", "actor")
    list_display_links = ("moment",)
    list_filter = ("system", "result", "method", "connection")
    list_select_related = ("connection",)
    search_fields = ("=correlation_id", "resource")
    search_help_text = "A correlation id, or the beginning of a resource such as Appointment/12."
    ordering = ("-at", "-pk")
    date_hierarchy = "at"
    fields = (
        "moment",
        "connection",
        "system",
        "actor",
        "method",
        "resource",
        "answer",
        "duration_ms",
        "writeback",
        "correlation_id",
    )
    readonly_fields = ("moment", "answer")

    @admin.display(description="When", ordering="at")
    def moment(self, row: ApiCall) -> str:
        return when(row.at, seconds=True)

    @admin.display(description="Answer", ordering="status")
    def answer(self, row: ApiCall) -> str:
        words = f"{row.status or 'no answer'} {row.result.replace('_', ' ')}"
        return state(row.result, words, "ok" if row.result == "ok" else "danger")


@admin.register(RefusedCall)
class RefusedCallAdmin(ReadOnlyAdmin):
    everyones = "Counts of calls that were turned away at the door."
    list_display = ("day", "endpoint", "reason", "count", "last")
    list_filter = ("endpoint", "reason")
    ordering = ("-day", "-last_at")
    date_hierarchy = "day"

    @admin.display(description="Last", ordering="last_at")
    def last(self, row: RefusedCall) -> str:
        return when(row.last_at)
