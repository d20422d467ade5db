"""The practice as staff set it up: places, clinicians, kinds of visit, and what fits where."""

from __future__ import annotations

from datetime import date
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from scheduling import closed_days
from scheduling.admin.base import ScopedAdmin, ScopedRelatedFilter
from scheduling.admin.display import state
from scheduling.counting import counted
from scheduling.models import AppointmentType, Bookable, ClosedDay, Location, Plan, Practice, Provider, Source


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


class ClosedDaysForm(forms.ModelForm[ClosedDay]):
    """Many days at once, pasted from a list."""

    days = forms.CharField(
        label="Days",
        widget=forms.Textarea(attrs={"rows": 12, "cols": 40}),
        help_text="One line for each, the date first: 12/25/2026 Christmas Day. A list can be pasted.",
    )

    class Meta:
        model = ClosedDay
        fields = ("location", "days", "yearly")

    def clean_days(self) -> list[tuple[date, str]]:
        return closed_days.read(self.cleaned_data["days"])


@admin.register(ClosedDay)
class ClosedDayAdmin(ScopedAdmin):
    names_row = True
    empty_list_says = "No closed days yet: on public holidays patients are told to call as on any other day."
    list_display = ("day", "name", "where", "yearly")
    list_filter = (("location", ScopedRelatedFilter), "yearly")
    list_select_related = ("location",)
    fields = ("location", "day", "name", "yearly")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if not change:
            kwargs["form"] = ClosedDaysForm
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if obj is not None else ClosedDaysForm.Meta.fields

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        rows = closed_days.add(obj.location, form.cleaned_data["days"], yearly=obj.yearly)
        obj.pk, obj.day = rows[0].pk, rows[0].day

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        messages.success(request, "The days are entered: nobody is expected to answer the phone on them.")
        return HttpResponseRedirect(reverse("admin:scheduling_closedday_changelist"))

    @admin.display(description="Closed", ordering="location")
    def where(self, row: ClosedDay) -> str:
        return row.location.name if row.location else "the whole practice"


class BookableInline(admin.TabularInline[Bookable, Provider]):
    model = Bookable
    extra = 0
    fields = ("appointment_type", "location", "duration_minutes", "mode")

    def get_queryset(self, request: HttpRequest) -> Any:
        return Bookable.objects.for_user(request.user).select_related("provider", "location", "appointment_type")

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
    names_row = True
    list_display = ("provider", "appointment_type", "location", "duration_minutes", "mode_shown")
    list_display_links = ("provider", "appointment_type")
    list_filter = (("location", ScopedRelatedFilter), "mode", "provider", "appointment_type")
    list_select_related = ("provider", "location", "appointment_type")

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        if "_save" not in request.POST or "_popup" in request.POST:
            return super().response_add(request, obj, post_url_continue)
        length = counted(obj.duration_minutes, "minute")
        messages.success(
            request,
            f"{obj.provider.name} takes {obj.appointment_type.name} at {obj.location.name}, {length}: "
            f"{obj.get_mode_display()}.",
        )
        back = request.GET.get("next", "")
        if not url_has_allowed_host_and_scheme(back, None):  # a path of our own, or nothing
            back = reverse("admin:scheduling_bookable_changelist")
        return HttpResponseRedirect(back)

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
