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
from waitlist.admin.wave_fields import HELP, WavesField, in_words
from waitlist.models import OutreachPolicy


class PolicyForm(ModelForm[OutreachPolicy]):
    """Refuses second numbers for the same locations and types: the database tells only named ones apart."""

    waves = WavesField(required=False, help_text=HELP)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        location, kind = values.get("location"), values.get("appointment_type")
        same = OutreachPolicy.objects.filter(location=location, appointment_type=kind).exclude(pk=self.instance.pk)
        if same.exists():
            raise ValidationError("There are numbers for this location and this type already. Change those instead.")
        return values


@admin.register(OutreachPolicy)
class OutreachPolicyAdmin(ScopedAdmin):
    names_row = True
    form = PolicyForm
    everyones = "Numbers for everybody are everybody's; a location's own are narrowed below."
    empty_list_says = "No numbers of your own: the defaults apply everywhere."
    list_display = ("whom", "start_delay_seconds", "cut_off_minutes", "offers_per_day", "quiet_from", "quiet_until")
    list_select_related = ("location", "appointment_type")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        seen = Location.objects.for_user(request.user).values("pk")
        return super().get_queryset(request).filter(Q(location__isnull=True) | Q(location__in=seen))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who may not change them reads the waves in words."""
        names = list(super().get_fields(request, obj))
        if obj is not None and not self.has_change_permission(request, obj):
            names[names.index("waves")] = "waves_shown"
        return names

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("waves_shown",) if obj is not None and not self.has_change_permission(request, obj) else ()

    @admin.display(description="Waves")
    def waves_shown(self, row: OutreachPolicy) -> str:
        return "; ".join(in_words(row.waves))

    @admin.display(description="For")
    def whom(self, row: OutreachPolicy) -> str:
        return str(row)
