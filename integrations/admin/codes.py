"""What the EHR's codes mean here; those nobody has mapped come first."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from integrations import mapping
from integrations.models import CodeMapping
from scheduling.admin.base import ScopedAdmin
from scheduling.admin.display import state, when
from scheduling.models import Appointment, AppointmentType

REASONS = {
    CodeMapping.REBOOKABLE: "the time may be offered",
    CodeMapping.NOT_REBOOKABLE: "the time is not offered",
    CodeMapping.ASK_STAFF: "staff decide each time",
}


class MappingForm(forms.ModelForm[CodeMapping]):
    target = forms.ChoiceField(label="Means")

    class Meta:
        model = CodeMapping
        fields: list[str] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        labels = _labels(self.instance.domain)
        known = sorted((code, labels.get(code, code)) for code in mapping.allowed_targets(self.instance.domain))
        self.fields["target"].choices = [("", "Choose what it means"), *known]  # type: ignore[attr-defined]
        self.fields["target"].initial = self.instance.target


def _labels(domain: str) -> dict[str, str]:
    if domain == CodeMapping.Domain.TYPE:
        return dict(AppointmentType.objects.values_list("code", "name"))
    if domain == CodeMapping.Domain.REASON:
        return REASONS
    return {str(value): str(label) for value, label in Appointment.Status.choices}


@admin.register(CodeMapping)
class CodeMappingAdmin(ScopedAdmin):
    everyones = "An EHR's codes mean the same at all its locations."
    empty_list_says = "No codes yet. They appear here as the EHR uses them."
    form = MappingForm
    list_display = ("code", "display", "domain", "state_shown", "means", "times_seen", "last", "connection")
    list_filter = ("state", "domain", "connection")
    list_select_related = ("connection",)
    search_fields = ("code", "display")
    # "unmapped" sorts behind "mapped", so the newest of the unmapped ones are on top.
    ordering = ("-state", "-last_seen_at")
    fields = ("connection", "domain", "system", "code", "display", "times_seen", "last", "state_shown", "target")
    readonly_fields = (
        "connection",
        "domain",
        "system",
        "code",
        "display",
        "times_seen",
        "last",
        "state_shown",
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: CodeMapping, form: Any, change: bool) -> None:
        mapping.map_code(
            obj.connection,
            obj.domain,
            obj.system,
            obj.code,
            form.cleaned_data["target"],
            by=request.user.get_username(),
        )

    @admin.display(description="State", ordering="state")
    def state_shown(self, row: CodeMapping) -> str:
        return state(row.state, row.get_state_display())

    @admin.display(description="Means", ordering="target")
    def means(self, row: CodeMapping) -> str:
        return REASONS.get(row.target, row.target) or "–"

    @admin.display(description="Last seen", ordering="last_seen_at")
    def last(self, row: CodeMapping) -> str:
        return when(row.last_seen_at)
