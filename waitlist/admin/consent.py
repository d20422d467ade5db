"""The consent ledger: read, and added to when a patient says so to staff. Nothing in it ever changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import segno
from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import mark_safe

from scheduling.admin import viewing
from scheduling.admin.base import ReadOnlyAdmin
from scheduling.admin.display import patient_name, state, when
from scheduling.admin.scope import fetch_or_404
from scheduling.models import ContactPoint, Patient, Practice
from waitlist import consent, consent_forms, consent_history, house_words, times, wording
from waitlist.events import CONSENT
from waitlist.models import Channel, ConsentRecord
from waitlist.subjects import Subject, describe

#: What the owner of an address can say.
BY_OWNER = (ConsentRecord.Action.GRANTED, ConsentRecord.Action.REVOKED)
BY_STAFF = (ConsentRecord.Source.SPOKEN, ConsentRecord.Source.FORM)


class ConsentForm(forms.Form):
    """What the patient said, about which address."""

    contact_point = forms.ModelChoiceField(ContactPoint.objects.none(), label="Address", empty_label=None)
    action = forms.ChoiceField(choices=[(each.value, each.label) for each in BY_OWNER], label="Consent is")
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
        age = patient.age_on(timezone.localdate())
        is_child = age is not None and age < Practice.current().adult_at_age
        rows = patient.contact_points.filter(state=ContactPoint.State.USABLE)
        field.queryset = rows.order_by("-guardian" if is_child else "guardian", "rank", "pk")  # type: ignore[attr-defined]
        field.label_from_instance = _label  # type: ignore[attr-defined]


def _label(row: ContactPoint) -> str:
    return f"{row.get_system_display()} {times.say_phone(row.value)}{' (guardian)' if row.guardian else ''}"


@admin.register(ConsentRecord)
class ConsentRecordAdmin(ReadOnlyAdmin):
    patients_in = ("patient",)
    finds_patients = "patient"
    list_display = ("moment", "patient_shown", "channel", "action_shown", "source", "wording_version", "recorded_by")
    list_display_links = ("moment",)
    list_filter = ("action", "channel", "source")
    list_select_related = ("patient",)
    ordering = ("-pk",)
    fields = (*list_display, "statement")
    readonly_fields = ("moment", "patient_shown", "action_shown")

    def has_add_permission(self, request: HttpRequest) -> bool:
        # Only from a patient's page, which says whose consent it is; the list itself offers no such button.
        chosen = bool(request.GET.get("patient") or request.POST.get("patient"))
        return chosen and request.user.has_perm("waitlist.add_consentrecord")

    def get_urls(self) -> list[URLPattern]:
        def own(route: str, view: Callable[..., HttpResponse], name: str) -> URLPattern:
            return path(route, self.admin_site.admin_view(view), name=f"waitlist_consentrecord_{name}")

        return [
            own("paper/<path:patient_id>/", self.paper_view, "paper"),
            own("spoken/<path:patient_id>/", self.spoken_view, "spoken"),
            *super().get_urls(),
        ]

    def paper_view(self, request: HttpRequest, patient_id: str) -> HttpResponse:
        """Make a form in both languages, with a QR code that leads to its page. It does not name the patient."""
        patient = self._asked_about(request, patient_id)
        link, address = consent_forms.make_link(patient)
        code = segno.make(address, error="m")
        context = {
            "link": link,
            "qr": mark_safe(code.svg_inline(border=2, omitsize=True)),  # noqa: S308  it is drawn here, from our own address
            "practice": Practice.current(),
            "english": consent_forms.words("en"),
            "spanish": consent_forms.words("es"),
            "versions": f"{consent_forms.version('en')}, {consent_forms.version('es')}",
        }
        return TemplateResponse(request, "admin/waitlist/consentrecord/paper.html", context)

    def spoken_view(self, request: HttpRequest, patient_id: str) -> HttpResponse:
        """Take the two keys of spoken consent: the first says what the patient said, the second records it."""
        patient = self._asked_about(request, patient_id)
        proof = request.POST.get("proof", "")
        if proof:
            if consent_forms.second_key(proof, patient) is None:
                messages.error(request, "Nothing was recorded: too much time has passed. Ask again, press both keys.")
                return HttpResponseRedirect(_page_of(patient))
            messages.success(request, "Recorded: the patient agreed to texts during the call. It counts from now on.")
            return HttpResponseRedirect(reverse("admin:scheduling_patient_change", args=[patient.pk]))
        language = wording.language_of(patient.language)
        chosen = {str(row.pk): row for row in consent_forms.textable(patient)}.get(request.POST.get("number", ""))
        if chosen is None:
            messages.warning(request, "Nothing was recorded: choose the number they agreed to.")
            return HttpResponseRedirect(_page_of(patient))
        context = {
            **self.admin_site.each_context(request),
            "title": "Record what was said",
            "subtitle": None,
            "patient": patient,
            "contact": chosen,
            "proof": consent_forms.first_key(chosen, language),
            "version": consent_forms.version(language),
        }
        return TemplateResponse(request, "admin/waitlist/consentrecord/spoken.html", context)

    def _asked_about(self, request: HttpRequest, patient_id: str) -> Patient:
        if request.method != "POST" or not request.user.has_perm("waitlist.add_consentrecord"):
            raise PermissionDenied
        patient: Patient = fetch_or_404(Patient.objects.all(), request.user, patient_id)
        viewing.record_view([patient])
        return patient

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
            "history": consent_history.of_patient(patient),
            "scripts": _scripts(patient),
            "numbers": consent_forms.textable(patient),
            "read_out": consent_forms.words(wording.language_of(patient.language)),
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


def _page_of(patient: Patient) -> str:
    return f"{reverse('admin:waitlist_consentrecord_add')}?patient={patient.pk}"


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
