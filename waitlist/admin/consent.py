"""The consent ledger: read, and added to when a patient says so to staff. Nothing in it ever changes."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from scheduling.admin import viewing
from scheduling.admin.base import ReadOnlyAdmin
from scheduling.admin.display import patient_name, state, when
from scheduling.admin.scope import fetch_or_404
from scheduling.models import ContactPoint, Patient
from waitlist import consent, house_words, wording
from waitlist.events import CONSENT
from waitlist.models import Channel, ConsentRecord
from waitlist.subjects import Subject, describe

BY_STAFF = (ConsentRecord.Source.SPOKEN, ConsentRecord.Source.FORM)


class ConsentForm(forms.Form):
    """What the patient said, about which address."""

    contact_point = forms.ModelChoiceField(ContactPoint.objects.none(), label="Address", empty_label=None)
    action = forms.ChoiceField(choices=ConsentRecord.Action.choices, label="Consent is")
    source = forms.ChoiceField(choices=[(each.value, each.label) for each in BY_STAFF], label="How")
    wording_version = forms.CharField(
        required=False,
        max_length=40,
        label="Wording",
        help_text="Which form, for example “form 2026-03”. Left empty when spoken: the words above are noted.",
    )

    def __init__(self, *args: Any, patient: Patient, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["contact_point"]
        field.queryset = patient.contact_points.filter(state=ContactPoint.State.USABLE)  # type: ignore[attr-defined]
        field.label_from_instance = lambda row: f"{row.get_system_display()} {row.value}"  # type: ignore[attr-defined]


@admin.register(ConsentRecord)
class ConsentRecordAdmin(ReadOnlyAdmin):
    patients_in = ("patient",)
    finds_patients = "patient"
    list_display = ("moment", "patient_shown", "channel", "action_shown", "source", "wording_version", "recorded_by")
    list_display_links = ("moment",)
    list_filter = ("action", "channel", "source")
    list_select_related = ("patient",)
    ordering = ("-pk",)
    fields = ("moment", "patient_shown", "channel", "action_shown", "source", "wording_version", "recorded_by")
    readonly_fields = ("moment", "patient_shown", "action_shown")

    def has_add_permission(self, request: HttpRequest) -> bool:
        # Only from a patient's page, which says whose consent it is; the list itself offers no such button.
        chosen = bool(request.GET.get("patient") or request.POST.get("patient"))
        return chosen and request.user.has_perm("waitlist.add_consentrecord")

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        patient: Patient = fetch_or_404(Patient.objects.all(), request.user, request.GET.get("patient", ""))
        form = ConsentForm(request.POST if request.method == "POST" else None, patient=patient)
        if request.method == "POST" and form.is_valid():
            _store(patient, form.cleaned_data)
            messages.success(request, "Recorded. It counts from now on.")
            return HttpResponseRedirect(reverse("admin:scheduling_patient_change", args=[patient.pk]))
        viewing.record_view([patient])
        context = {
            **self.admin_site.each_context(request),
            "title": "Record consent",
            "subtitle": None,
            "form": form,
            "patient": patient,
            "scripts": _scripts(patient),
            "has_addresses": form.fields["contact_point"].queryset.exists(),  # type: ignore[attr-defined]
        }
        return TemplateResponse(request, "admin/waitlist/consentrecord/add.html", context)

    @admin.display(description="When", ordering="at")
    def moment(self, row: ConsentRecord) -> str:
        return when(row.at, seconds=True)

    @admin.display(description="Patient")
    def patient_shown(self, row: ConsentRecord) -> str:
        return patient_name(row.patient)

    @admin.display(description="Consent", ordering="action")
    def action_shown(self, row: ConsentRecord) -> str:
        return state(row.action, row.get_action_display())


def _scripts(patient: Patient) -> list[tuple[str, str, str]]:
    """Return language, channel and words of what is read out before a patient agrees, in their language."""
    language = wording.language_of(patient.language)
    values = describe(Subject(patient), timezone.now())
    found = []
    for channel in Channel:
        words = house_words.current(language, CONSENT, channel)
        found.append((language, str(channel.label), wording.fill_in(words, channel, language, values).body))
    return found


def _store(patient: Patient, data: dict[str, Any]) -> None:
    contact: ContactPoint = data["contact_point"]
    channel = consent.channel_of(contact)
    if data["action"] == ConsentRecord.Action.GRANTED:
        version = data["wording_version"]
        if not version and data["source"] == ConsentRecord.Source.SPOKEN:
            version = house_words.version_name(wording.language_of(patient.language), CONSENT, channel)
        consent.grant(patient, contact, source=data["source"], wording_version=version)
    else:
        consent.revoke_address(channel, contact.address_index, source=data["source"], patient=patient)
