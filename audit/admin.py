"""The audit trail in the admin: to be read and searched, and nothing else."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from audit.models import AccessRecord, Seal


class ReadOnlyAdmin(admin.ModelAdmin):
    actions = None
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(AccessRecord)
class AccessRecordAdmin(ReadOnlyAdmin):
    list_display = ["at", "actor_name", "action", "subject", "result", "reason", "source_address"]
    list_filter = ["at", "actor_kind", "action", "result", "subject_kind"]
    search_fields = ["=actor_name", "=subject_id", "=correlation_id"]
    search_help_text = "Exact user name or service, subject's id, or correlation id."
    fieldsets = [
        (None, {"fields": ["at", "action", "result", "reason"]}),
        ("Who", {"fields": ["actor_kind", "actor_name", "user", "source_address"]}),
        ("What", {"fields": ["subject_kind", "subject_id", "location_id", "detail", "correlation_id"]}),
    ]

    @admin.display(description="Subject")
    def subject(self, record: AccessRecord) -> str:
        return f"{record.subject_kind} {record.subject_id}".strip() or "-"


@admin.register(Seal)
class SealAdmin(ReadOnlyAdmin):
    list_display = ["stream", "number", "sealed_at", "count", "first_id", "last_id", "is_late"]
    list_filter = ["stream", "is_late", "sealed_at"]
    fields = [
        "stream",
        "number",
        "sealed_at",
        "count",
        "first_id",
        "last_id",
        "is_late",
        "columns",
        "digest",
        "previous_digest",
    ]
