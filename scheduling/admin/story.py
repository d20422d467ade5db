"""Every step of every opening as a list, for those who look for one."""

from __future__ import annotations

from django.contrib import admin

from scheduling.admin.base import ReadOnlyAdmin
from scheduling.admin.display import opening_link, when
from scheduling.models import TimelineEntry


@admin.register(TimelineEntry)
class TimelineEntryAdmin(ReadOnlyAdmin):
    list_display = ("moment", "summary", "kind", "actor", "opening_shown")
    list_display_links = ("summary",)
    list_filter = ("kind",)
    search_fields = ("=correlation_id", "=opening__id")
    search_help_text = "A correlation id or an opening's number."
    ordering = ("-at", "-pk")
    date_hierarchy = "at"
    list_select_related = ("opening__provider", "opening__location")
    fields = ("moment", "summary", "kind", "opening_shown", "actor", "data", "correlation_id")
    readonly_fields = ("moment", "opening_shown")

    @admin.display(description="When", ordering="at")
    def moment(self, row: TimelineEntry) -> str:
        return when(row.at, seconds=True)

    @admin.display(description="Opening")
    def opening_shown(self, row: TimelineEntry) -> str:
        return opening_link(row.opening)
