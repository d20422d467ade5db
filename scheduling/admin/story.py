"""Every step of every opening as a list, for those who look for one."""

from __future__ import annotations

from django.contrib import admin

from scheduling.admin.base import ReadOnlyAdmin
from scheduling.admin.display import link, when
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

    @admin.display(description="When", ordering="at")
    def moment(self, row: TimelineEntry) -> str:
        return when(row.at, seconds=True)

    @admin.display(description="Opening")
    def opening_shown(self, row: TimelineEntry) -> str:
        return link(f"opening {row.opening_id}", "desk_opening", row.opening_id) if row.opening_id else "–"
