"""*Guardian's contact*: of a patient who is not of age, entered by staff, with consent of its own."""

from __future__ import annotations

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from config.desk.rights import require
from scheduling import guardians
from scheduling.admin import viewing
from scheduling.admin.scope import fetch_or_404
from scheduling.models import Patient, Practice

CHANGE = "scheduling.change_patient"


class GuardianForm(forms.Form):
    """One address of one guardian."""

    value = forms.CharField(label="Their phone number or e-mail address", max_length=200)


@require_http_methods(["GET", "HEAD", "POST"])
def guardian_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the guardians' contacts; on POST keep another one, or use one no more."""
    require(request, CHANGE)
    patient: Patient = fetch_or_404(Patient.objects.all(), request.user, pk)
    if "remove" in request.POST:
        return _removed(request, patient)
    form = GuardianForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            guardians.enter(patient, form.cleaned_data["value"])
        except guardians.NotUsable as refusal:
            form.add_error("value", str(refusal))
        else:
            messages.success(request, "Kept. Nothing is sent there before the guardian's own consent is recorded: ask.")
            return HttpResponseRedirect(f"{reverse('admin:waitlist_consentrecord_add')}?patient={patient.pk}")
    viewing.record_view([patient])
    context = {
        **admin.site.each_context(request),
        "title": "Guardian’s contact",
        "subtitle": None,
        "patient": patient,
        "form": form,
        "rule": _rule(patient),
        "contacts": patient.contact_points.filter(guardian=True).exclude(use="old"),
    }
    return TemplateResponse(request, "admin/desk/guardian.html", context)


def _removed(request: HttpRequest, patient: Patient) -> HttpResponse:
    given = request.POST.get("remove", "")
    key = int(given) if given.isascii() and given.isdigit() and len(given) < 18 else 0
    contact = patient.contact_points.filter(pk=key, guardian=True).select_related("patient").first()
    if contact is None:
        raise Http404
    if guardians.remove(contact):
        messages.success(request, "It is used no more.")
    else:
        messages.warning(request, "Nothing changed: the EHR told this contact. Take it off there.")
    return HttpResponseRedirect(reverse("admin:desk_guardian", args=[patient.pk]))


def _rule(patient: Patient) -> str:
    """Return what holds for somebody of this age, in a sentence."""
    house, age = Practice.current(), patient.age_on(timezone.localdate())
    if age is None:
        return "Their age is not known. Offers go to staff first, and a guardian’s contact is not used."
    if age >= house.adult_at_age:
        return f"They are {age}, of age here: they are written to themselves, and a guardian’s contact is not used."
    if age >= house.guardian_until_age:
        return f"They are {age}: nothing is sent by itself. Staff decide whom to talk to, and call."
    return f"They are {age}: messages go to a guardian’s contact only, with the guardian’s own consent."
