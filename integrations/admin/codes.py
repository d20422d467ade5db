"""Every code that was mapped or noted, over all connections; what one means is said on the mapper."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from integrations.models import CodeMapping
from scheduling.admin.base import ReadOnlyAdmin
from scheduling.admin.display import state, when
from scheduling.admin.scope import fetch_or_404


@admin.register(CodeMapping)
class CodeMappingAdmin(ReadOnlyAdmin):
    everyones = "An EHR's codes mean the same to everybody."
    empty_list_says = "No codes yet. They appear here as the EHR uses them."
    list_display = ("code", "display", "domain", "location", "state_shown", "means", "last", "connection")
    list_filter = ("state", "domain", "connection")
    list_select_related = ("connection", "location")
    search_fields = ("code", "display")
    # "unmapped" sorts behind "mapped", so the newest of the unmapped ones are on top.
    ordering = ("-state", "-last_seen_at")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Go to the mapper, where the code is mapped."""
        row: CodeMapping = fetch_or_404(self.get_queryset(request), request.user, object_id)
        return HttpResponseRedirect(reverse("admin:desk_mapper", args=[row.connection_id]) + f"?domain={row.domain}")

    @admin.display(description="State", ordering="state")
    def state_shown(self, row: CodeMapping) -> str:
        return state(row.state, row.get_state_display())

    @admin.display(description="Means", ordering="target")
    def means(self, row: CodeMapping) -> str:
        return row.target or "–"

    @admin.display(description="Last seen", ordering="last_seen_at")
    def last(self, row: CodeMapping) -> str:
        return when(row.last_seen_at)
