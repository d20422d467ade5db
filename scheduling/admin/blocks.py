"""Blocked times: entered, listed and taken out by the front desk; never changed, since what followed stays done."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminDateWidget, AdminTimeWidget
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from scheduling import blocks
from scheduling.admin.base import ScopedAdmin, ScopedRelatedFilter
from scheduling.admin.display import slot
from scheduling.blocks import Blocked
from scheduling.counting import counted
from scheduling.models import Block, Provider
from scheduling.records import Interval

#: A block that is longer is a mistyped year.
LONGEST = timedelta(days=366)
CLOCKS = ("%H:%M", "%I:%M %p", "%I:%M%p", "%I %p", "%I%p", "%H:%M:%S")
PASSED = "This time has passed. Nobody is offered it any more."


class BlockForm(forms.ModelForm[Block]):
    """A time by days and clock, as it is on the wall of the location, else of the practice."""

    first_day = forms.DateField(label="Day", widget=AdminDateWidget)
    begins = forms.TimeField(
        label="From",
        widget=AdminTimeWidget(format="%H:%M"),
        input_formats=CLOCKS,
        initial=time(8),
        help_text="13:00 or 1:00 PM.",
    )
    last_day = forms.DateField(
        label="To day", widget=AdminDateWidget, required=False, help_text="Empty: it ends on the same day."
    )
    ends = forms.TimeField(label="To", widget=AdminTimeWidget(format="%H:%M"), input_formats=CLOCKS, initial=time(17))
    hold_day = forms.BooleanField(
        label="Ask about the rest of the day",
        required=False,
        initial=True,
        help_text="Other open times of that day are held until somebody says whether the clinician is in. Untick it "
        "for a meeting.",
    )

    class Meta:
        model = Block
        fields = ("provider", "location", "first_day", "begins", "last_day", "ends", "reason", "hold_day")
        labels = {"provider": "Whose time"}
        help_texts = {
            "location": "Empty: wherever they work.",
            "reason": "For your colleagues. No patient’s name.",
        }

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        day, begins, ends = said.get("first_day"), said.get("begins"), said.get("ends")
        if day is None or begins is None or ends is None:
            return said
        location = said.get("location")
        zone = location.zone if location else timezone.get_current_timezone()
        start, end = (datetime.combine(on, at, zone) for on, at in ((day, begins), (said.get("last_day") or day, ends)))
        if end <= start:
            self.add_error("ends", "It must end after it begins.")
        elif end <= timezone.now():
            self.add_error("first_day", PASSED)
        elif end - start > LONGEST:
            self.add_error("last_day", "That is longer than a year. Check the year.")
        else:
            said["interval"] = Interval(start, end)
        return said

    def _post_clean(self) -> None:
        """The row is made by the verb, from what was said here; there is nothing to check on a half-made one."""


@admin.register(Block)
class BlockAdmin(ScopedAdmin):
    names_row = True
    list_title = "Blocked times"
    empty_list_says = "No time is blocked. Press “Add block” for a meeting or an absence that the EHR does not show."
    list_display = ("time", "provider", "where", "reason", "created_at")
    list_filter = ("provider", ("location", ScopedRelatedFilter))
    list_select_related = ("provider", "location")
    ordering = ("-start",)
    form = BlockForm

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        # The page of a row shows what the row has; its form is never asked for anything.
        return super().get_form(request, obj, change=change, **({"form": forms.ModelForm} if obj else {}), **kwargs)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("time", "provider", "where", "reason", "created_at") if obj else BlockForm.Meta.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("time", "where", "created_at") if obj else ()

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # What came of it stands above the list, which is where everybody goes.
        only_save = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, {**only_save, **(extra_context or {})})

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "provider":
            kwargs["queryset"] = Provider.objects.filter(active=True)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the person may take a block out, which is all that a block can be changed by."""
        return request.user.has_perm("scheduling.change_block")

    def save_model(self, request: HttpRequest, obj: Block, form: Any, change: bool) -> None:
        said = form.cleaned_data
        blocked = blocks.add_block(
            said["provider"],
            said["interval"],
            location=said["location"],
            reason=said["reason"],
            hold_day=said["hold_day"],
        )
        for field in Block._meta.concrete_fields:
            setattr(obj, field.attname, getattr(blocked.block, field.attname))
        for sentence in _came_of(blocked):
            messages.success(request, sentence)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:scheduling_block_changelist"))

    def delete_model(self, request: HttpRequest, obj: Block) -> None:
        _tell_removed(request, blocks.remove_block(obj))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Block]) -> None:
        _tell_removed(request, sum(blocks.remove_block(each) for each in queryset))

    @admin.display(description="Time", ordering="start")
    def time(self, row: Block) -> str:
        return slot(row.start, row.end, row.location.zone if row.location else None)

    @admin.display(description="Where", ordering="location")
    def where(self, row: Block) -> str:
        return row.location.name if row.location else "wherever they work"


def _came_of(blocked: Blocked) -> list[str]:
    said = [f"Blocked: {blocked.block}. Nobody is offered this time."]
    if blocked.closed:
        was = "was" if blocked.closed == 1 else "were"
        said.append(f"{counted(blocked.closed, 'open time')} {was} closed; who holds an offer of it is told so.")
    if blocked.held:
        is_held = "is held" if blocked.held == 1 else "are held"
        said.append(
            f"{counted(blocked.held, 'more open time')} of that day {is_held}: answer the question in Needs you."
        )
    if blocked.under_way:
        goes = "is on its way to the EHR and goes" if blocked.under_way == 1 else "are on their way to the EHR and go"
        bookings = counted(blocked.under_way, "booking")
        said.append(f"{bookings} in this time {goes} on: press Release on the opening’s page where it must not.")
    if blocked.booked:
        stands = (
            "visit is booked in this time and stays as it is"
            if blocked.booked == 1
            else ("visits are booked in this time and stay as they are")
        )
        said.append(f"{blocked.booked} {stands}: see to that in the EHR.")
    return said


def _tell_removed(request: HttpRequest, could_be_opened: int) -> None:
    said = "Time that is freed there is offered again."
    if could_be_opened:
        are = "opening stays" if could_be_opened == 1 else "openings stay"
        said += f" {could_be_opened} {are} closed: press Open again on the page of one that is to be offered."
    messages.success(request, said)
