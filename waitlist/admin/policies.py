"""The numbers of outreach."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest

from scheduling.admin.base import ScopedAdmin
from scheduling.models import Location
from waitlist.models import OutreachPolicy
from waitlist.pacing import wave_rules


class PolicyForm(ModelForm[OutreachPolicy]):
    """Refuses second numbers for the same locations and types: the database tells only named ones apart."""

    def clean_waves(self) -> list[dict[str, Any]]:
        stored: list[dict[str, Any]] = self.cleaned_data["waves"] or []
        try:
            wave_rules(stored)
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValidationError(
                "Nothing was saved. Write the waves in the form shown below, each with a size of at least 1 and a "
                "gap_minutes above 0, or leave it empty for the usual ones."
            ) from error
        return stored

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        location, kind = values.get("location"), values.get("appointment_type")
        same = OutreachPolicy.objects.filter(location=location, appointment_type=kind).exclude(pk=self.instance.pk)
        if same.exists():
            raise ValidationError("There are numbers for this location and this type already. Change those instead.")
        return values


@admin.register(OutreachPolicy)
class OutreachPolicyAdmin(ScopedAdmin):
    form = PolicyForm
    everyones = "Numbers for everybody are everybody's; a location's own are narrowed below."
    empty_list_says = "No numbers of your own: the defaults apply everywhere."
    list_display = ("whom", "start_delay_seconds", "cut_off_minutes", "offers_per_day", "quiet_from", "quiet_until")
    list_select_related = ("location", "appointment_type")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        seen = Location.objects.for_user(request.user).values("pk")
        return super().get_queryset(request).filter(Q(location__isnull=True) | Q(location__in=seen))

    @admin.display(description="For")
    def whom(self, row: OutreachPolicy) -> str:
        where = row.location.name if row.location else "all locations"
        what = row.appointment_type.name if row.appointment_type else "all types"
        return f"{what}, {where}"
