"""*Correct contact details*: what a patient says of phone, e-mail, address, language and name, entered by staff."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from config.desk.rights import require
from scheduling import patient_writes
from scheduling.admin import viewing
from scheduling.admin.people import LANGUAGES
from scheduling.admin.scope import fetch_or_404
from scheduling.corrections import ADDRESS_PARTS, Correction, Detail
from scheduling.models import ContactPoint, Patient, PatientWrite

CHANGE = "scheduling.change_patient"
#: Fields below that of removing the address.
LAST = ("remove_address", "language", "preferred_name")
USES = [("mobile", "mobile"), ("home", "home"), ("work", "work")]


class CorrectionForm(forms.Form):
    """What is on file, each in a field of its own, to correct or remove, and room for one more number and address."""

    new_phone = forms.CharField(label="Another phone number", max_length=40, required=False)
    new_phone_use = forms.ChoiceField(label="That number is", choices=USES, required=False)
    new_email = forms.CharField(label="Another e-mail address", max_length=200, required=False)
    line = forms.CharField(label="Street and number", max_length=150, required=False)
    city = forms.CharField(label="City", max_length=80, required=False)
    state = forms.CharField(label="State", max_length=20, required=False)
    postal_code = forms.CharField(label="ZIP code", max_length=20, required=False)
    language = forms.ChoiceField(label="Language", choices=LANGUAGES, required=False)
    preferred_name = forms.CharField(label="Preferred first name", max_length=200, required=False)

    def __init__(self, patient: Patient, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.patient = patient
        held = patient.contact_points.filter(guardian=False).exclude(use="old")
        self.points = {f"{point.system}_{point.pk}": point for point in held}
        first: dict[str, forms.Field] = {}
        for name, point in self.points.items():
            first[name] = self._field_of(point)
            first[f"remove_{name}"] = forms.BooleanField(label=f"Remove {point.value}", required=False)
        self.fields = {**first, **self.fields}
        if patient.address:
            self.fields["remove_address"] = forms.BooleanField(label="Remove the address on file", required=False)
            self.order_fields([*(name for name in self.fields if name not in LAST), "remove_address"])
        spoken = patient.language
        if spoken and spoken not in dict(LANGUAGES):
            self.fields["language"].choices = [*LANGUAGES, (spoken, spoken)]  # type: ignore[attr-defined]
        self.initial = {"language": spoken, "preferred_name": patient.preferred_name, **self.initial}

    def _field_of(self, point: ContactPoint) -> forms.Field:
        what = "Phone number" if point.system == ContactPoint.System.PHONE else "E-mail address"
        label = f"{what} ({point.use})" if point.use else what
        return forms.CharField(label=label, max_length=200, initial=point.value, required=False)

    def clean(self) -> dict[str, Any]:
        told: dict[str, Any] = super().clean() or {}
        parts = [told.get(name) for name in ADDRESS_PARTS]
        if any(parts) and not all(told.get(name) for name in ("line", "city", "postal_code")):
            self.add_error("line", "A new address needs street, city and ZIP code. Or leave all of it empty.")
        if any(parts) and told.get("remove_address"):
            self.add_error("line", "Write a new address, or remove the one on file; not both.")
        for name, point in self.points.items():
            self._check(name, point, told)
        for name, each in self._found(told):
            try:
                patient_writes.tidy(each)
            except patient_writes.CorrectionRefused as refusal:
                self.add_error(name, str(refusal))
        return told

    def _check(self, name: str, point: ContactPoint, told: dict[str, Any]) -> None:
        written = (told.get(name) or "").strip()
        if told.get(f"remove_{name}"):
            if written not in ("", point.value):
                self.add_error(name, "Correct it, or remove it; not both.")
        elif not written:
            self.add_error(name, "Nothing is written here. To take it away, tick “Remove”.")

    def corrections(self) -> list[Correction]:
        """Return what differs from what is on file."""
        return [each for _, each in self._found(self.cleaned_data)]

    def _found(self, cleaned: dict[str, Any]) -> Iterator[tuple[str, Correction]]:
        """Yield what differs, each with its field; of fields that are wrong already nothing."""
        told = {name: str(value or "").strip() for name, value in cleaned.items()}
        for name, point in self.points.items():
            detail = Detail.PHONE if point.system == ContactPoint.System.PHONE else Detail.EMAIL
            if cleaned.get(f"remove_{name}"):
                yield name, Correction(detail, "", point.value)
            elif name in told and told[name] != point.value:
                yield name, Correction(detail, told[name], point.value)
        if told.get("new_phone"):
            use = told.get("new_phone_use") or "mobile"
            yield "new_phone", Correction(Detail.PHONE, told["new_phone"], use=use)
        if told.get("new_email"):
            yield "new_email", Correction(Detail.EMAIL, told["new_email"])
        if told.get("line"):
            place = " ".join(told[name] for name in ("city", "state", "postal_code") if told.get(name))
            parts = {name: told.get(name, "") for name in ADDRESS_PARTS}
            yield "line", Correction(Detail.ADDRESS, f"{told['line']}, {place}", parts=parts)
        if cleaned.get("remove_address"):
            yield "remove_address", Correction(Detail.ADDRESS, "", self.patient.address or "")
        if told.get("language") and told["language"] != self.patient.language:
            yield "language", Correction(Detail.LANGUAGE, told["language"])
        if told.get("preferred_name") and told["preferred_name"] != self.patient.preferred_name:
            yield "preferred_name", Correction(Detail.PREFERRED_NAME, told["preferred_name"])


@require_http_methods(["GET", "HEAD", "POST"])
def correct_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Show what is on file; on POST keep what was corrected and have the EHR told."""
    require(request, CHANGE)
    patient: Patient = fetch_or_404(Patient.objects.all(), request.user, pk)
    form = CorrectionForm(patient, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid() and (answer := _corrected(request, form)) is not None:
        return answer
    viewing.record_listed(request.user, [patient])
    context = {
        **admin.site.each_context(request),
        "title": "Correct contact details",
        "subtitle": None,
        "patient": patient,
        "form": form,
    }
    return TemplateResponse(request, "admin/desk/correcting.html", context)


def _corrected(request: HttpRequest, form: CorrectionForm) -> HttpResponse | None:
    """Return where to go next; None, with the reason on the form, when it was refused."""
    found = form.corrections()
    if not found:
        form.add_error(None, "Nothing differs from what is on file. Change a field, then press the button.")
        return None
    try:
        rows = patient_writes.correct(form.patient, found)
    except patient_writes.CorrectionRefused as refusal:
        form.add_error(None, str(refusal))
        return None
    messages.success(request, _said(rows))
    return HttpResponseRedirect(reverse("admin:scheduling_patient_change", args=[form.patient.pk]))


def _said(rows: list[PatientWrite]) -> str:
    if not rows:
        return "Kept. No EHR has to be told."
    names = " and ".join(sorted(row.source.name for row in rows))
    return f"Kept, and on its way to {names}. Messages go to a new number or address once consent for it is recorded."
