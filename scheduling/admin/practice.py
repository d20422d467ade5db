"""The practice as staff set it up: places, clinicians, kinds of visit, and what fits where."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from scheduling.admin.base import ScopedAdmin, ScopedRelatedFilter
from scheduling.admin.display import state
from scheduling.models import AppointmentType, Bookable, Location, Plan, Practice, Provider, Source


@admin.register(Practice)
class PracticeAdmin(ScopedAdmin):
    everyones = "There is one practice."
    names_row = True
    fields = (
        "name",
        "phone",
        "time_zone",
        "office_days",
        "office_opens",
        "office_closes",
        "mine_minutes",
        "deepest_chain",
        "absence_cancellations",
        "absence_minutes",
        "guardian_until_age",
        "adult_at_age",
        "paused_at",
        "paused_by",
        "pause_reason",
    )
    readonly_fields = ("paused_at", "paused_by", "pause_reason")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Go straight to the one row."""
        if not Practice.objects.filter(pk=1).exists():
            return super().changelist_view(request, extra_context)
        return HttpResponseRedirect(reverse("admin:scheduling_practice_change", args=[1]))


@admin.register(Location)
class LocationAdmin(ScopedAdmin):
    names_row = True
    list_display = ("name", "phone", "time_zone", "names_providers", "active")
    list_filter = ("active",)
    search_fields = ("name",)
    fields = ("name", "signature", "phone", "address", "time_zone", "names_providers", "active")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class BookableInline(admin.TabularInline[Bookable, Provider]):
    model = Bookable
    extra = 0
    fields = ("appointment_type", "location", "duration_minutes", "mode")

    def get_queryset(self, request: HttpRequest) -> Any:
        return Bookable.objects.for_user(request.user)

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "location":
            kwargs["queryset"] = Location.objects.for_user(request.user)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


@admin.register(Provider)
class ProviderAdmin(ScopedAdmin):
    everyones = "Clinicians work at several locations, and their names are no secret within the practice."
    names_row = True
    list_display = ("name", "npi", "active")
    list_filter = ("active",)
    search_fields = ("name", "npi")
    fields = ("name", "npi", "plans", "active")
    inlines = (BookableInline,)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Plan)
class PlanAdmin(ScopedAdmin):
    everyones = "Insurance plans belong to the whole practice."
    names_row = True
    empty_list_says = "No plans yet. Press “Add insurance plan”; only kinds of visit that need insurance ask for them."
    list_display = ("name", "code", "active")
    list_filter = ("active",)
    search_fields = ("name", "code")


@admin.register(AppointmentType)
class AppointmentTypeAdmin(ScopedAdmin):
    everyones = "Kinds of visit belong to the whole practice."
    names_row = True
    list_display = (
        "name",
        "code",
        "duration_minutes",
        "automation_shown",
        "minimum_notice_minutes",
        "seeks_earlier",
        "active",
    )
    list_filter = ("automation", "active")
    search_fields = ("name", "code")

    @admin.display(description="Filled", ordering="automation")
    def automation_shown(self, row: AppointmentType) -> str:
        tone = {"automatic": "accent", "staff_confirm": "pause", "never": "stop"}[row.automation]
        return state(row.automation, row.get_automation_display(), tone)


@admin.register(Bookable)
class BookableAdmin(ScopedAdmin):
    list_display = ("provider", "appointment_type", "location", "duration_minutes", "mode_shown")
    list_display_links = ("provider", "appointment_type")
    list_filter = (("location", ScopedRelatedFilter), "mode", "provider", "appointment_type")
    list_select_related = ("provider", "location", "appointment_type")

    @admin.display(description="Offers", ordering="mode")
    def mode_shown(self, row: Bookable) -> str:
        return state(row.mode, row.get_mode_display())


@admin.register(Source)
class SourceAdmin(ScopedAdmin):
    everyones = "Sources are systems, not places."
    names_row = True
    list_display = ("name", "key", "writable", "registers_patients")
    # What becomes of new patients decides which rights are asked for, so it is chosen with the connection.
    readonly_fields = ("key", "registers_patients")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
