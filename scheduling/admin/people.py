"""Patients as the EHR knows them, and what the practice itself decides about them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from scheduling import local_patients, merging, own_details, patient_writes
from scheduling.admin.base import ScopedAdmin, ScopedRelatedFilter
from scheduling.admin.display import link, state, when
from scheduling.comparing import language_name
from scheduling.corrections import Detail
from scheduling.models import ContactPoint, Patient, PatientIdentifier, PatientMerge, PatientWrite
from scheduling.patients import request_attention

LANGUAGES = [("", "not said: English"), ("en", "English"), ("es", "Spanish")]
#: The form's fields of each column that the practice may own.
PARTS = {
    "preferred_name": ("preferred_name",),
    "language": ("language",),
    "address": ("address",),
    "emergency_contact": ("emergency_name", "emergency_relation", "emergency_phone"),
}


class _EhrOwned(admin.TabularInline[Any, Patient]):
    """Rows the EHR owns: shown, never changed here."""

    template = "admin/scheduling/patient/ehr_rows.html"
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ContactPointInline(_EhrOwned):
    model = ContactPoint
    verbose_name_plural = "phone numbers and e-mail addresses"
    fields = ("system", "value", "use", "texts", "whose", "rank", "valid_from", "valid_until", "state_shown")
    readonly_fields = ("texts", "whose", "state_shown")

    @admin.display(description="Takes texts")
    def texts(self, row: ContactPoint) -> str:
        return "yes" if row.can_text else "no"

    @admin.display(description="Whose")
    def whose(self, row: ContactPoint) -> str:
        if not row.guardian:
            return "the patient's"
        return f"a guardian's, entered by {row.entered_by}" if row.entered_by else "a parent's or guardian's"

    @admin.display(description="State")
    def state_shown(self, row: ContactPoint) -> str:
        if row.use == "old" and row.state == ContactPoint.State.USABLE:
            return state("closed", "no longer used")
        tone = "ok" if row.state == ContactPoint.State.USABLE else "danger"
        return state(row.state, row.get_state_display(), tone)


class IdentifierInline(_EhrOwned):
    model = PatientIdentifier
    verbose_name_plural = "numbers"
    fields = ("type_code", "value", "system", "source")


class PatientForm(forms.ModelForm[Patient]):
    """What the practice decides, and those details that it took over from the EHR."""

    preferred_name = forms.CharField(max_length=200, required=False)
    language = forms.ChoiceField(choices=LANGUAGES, required=False)
    address = forms.CharField(max_length=300, required=False, widget=forms.TextInput(attrs={"class": "vTextField"}))
    emergency_name = forms.CharField(label="Emergency contact", max_length=200, required=False)
    emergency_relation = forms.CharField(label="Their relation", max_length=80, required=False)
    emergency_phone = forms.CharField(label="Their phone", max_length=40, required=False)

    class Meta:
        model = Patient
        fields = ("restricted", "established")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.owned = own_details.owned(self.instance) if self.instance.pk else frozenset()
        for column, names in PARTS.items():
            for name in names if column not in self.owned else ():
                self.fields.pop(name, None)
        if (spoken := self.instance.language) and "language" in self.fields:
            known = dict(LANGUAGES)
            self.fields["language"].choices = [*LANGUAGES, *([] if spoken in known else [(spoken, spoken)])]  # type: ignore[attr-defined]
        held = self.instance.emergency_contact or {}
        told = {name: held.get(name.removeprefix("emergency_"), "") for name in PARTS["emergency_contact"]}
        told |= {name: getattr(self.instance, name) or "" for name in ("preferred_name", "language", "address")}
        self.initial = {**self.initial, **told}

    def entered(self) -> dict[str, Any]:
        """Return the details that the practice owns, as they are to be kept."""
        told = {name: self.cleaned_data[name] for name in self.owned if name in ("preferred_name", "language")}
        if "address" in self.owned:
            told["address"] = self.cleaned_data["address"] or None
        if "emergency_contact" in self.owned:
            names = PARTS["emergency_contact"]
            contact = {name.removeprefix("emergency_"): self.cleaned_data[name] for name in names}
            told["emergency_contact"] = contact if any(contact.values()) else None
        return told


@admin.register(Patient)
class PatientAdmin(ScopedAdmin):
    """The EHR owns legal name, birth date and contacts, the practice ``restricted`` and ``established``.

    The rest is the EHR's until the practice takes it over, connection by connection.
    """

    form = PatientForm
    patients_in = ("",)
    finds_patients = "pk"
    list_display = ("name", "born", "language_shown", "may_be_offered_shown", "seen_before")
    list_filter = (
        "active",
        "deceased",
        "restricted",
        "established",
        "language",
        ("locations", ScopedRelatedFilter),
    )
    fieldsets = (
        (None, {"fields": ("name", "born", "spoken", "places", "may_be_offered_shown")}),
        ("What the practice decides", {"fields": ("restricted", "established")}),
        (
            "What the EHR says",
            {"fields": ("legal", "lives", "emergency", "portal", "standing", "replaced", "updated")},
        ),
    )
    readonly_fields = (
        "name",
        "born",
        "spoken",
        "places",
        "may_be_offered_shown",
        "legal",
        "lives",
        "emergency",
        "portal",
        "standing",
        "replaced",
        "updated",
    )
    inlines = (ContactPointInline, IdentifierInline)
    change_form_template = "admin/scheduling/patient/change_form.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).order_by("-pk")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        owned = own_details.owned(obj) if obj else frozenset()
        named, (title, decides), (said, told) = self.fieldsets
        entered = tuple(name for column, names in PARTS.items() if column in owned for name in names)
        shown = {"address": "lives", "emergency_contact": "emergency"}
        hidden = {shown[column] for column in owned & shown.keys()}
        if obj and not local_patients.in_ehr([obj.pk]):
            said = "What is known here"
        return (
            named,
            (title, {"fields": (*decides["fields"], *entered)}),
            (said, {"fields": tuple(name for name in told["fields"] if name not in hidden)}),
        )

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        # The form knows its fields by itself; Django would look for all of them on the model.
        return super().get_form(request, obj, change, **{**kwargs, "fields": PatientForm.Meta.fields})

    def save_model(self, request: HttpRequest, obj: Patient, form: Any, change: bool) -> None:
        """A record that was closed or freed by hand changes what is out to the patient, too."""
        # Only what the practice decides is written: the EHR may be telling us something of the rest meanwhile.
        obj.save(update_fields=["restricted", "established", "updated_at"])
        own_details.enter(obj, form.entered())
        merging.follow(obj)
        request_attention(obj)

    @admin.display(description="Name")
    def name(self, row: Patient) -> str:
        return format_html("<bdi>{}</bdi>", " ".join(row.full_name.split()) or f"patient {row.pk} (no name)")

    @admin.display(description="Born")
    def born(self, row: Patient) -> str:
        return f"{row.birth_date:%b} {row.birth_date.day}, {row.birth_date.year}" if row.birth_date else "not known"

    @admin.display(description="Language and time zone")
    def spoken(self, row: Patient) -> str:
        return f"{self.language_shown(row)}, {row.time_zone or 'the location’s zone'}"

    @admin.display(description="Language", ordering="language")
    def language_shown(self, row: Patient) -> str:
        return language_name(row.language or "en")

    @admin.display(description="Seen here before", ordering="established")
    def seen_before(self, row: Patient) -> str:
        return "yes" if row.established else "no"

    @admin.display(description="Updated")
    def updated(self, row: Patient) -> str:
        return when(row.updated_at)

    @admin.display(description="Locations")
    def places(self, row: Patient) -> str:
        return ", ".join(place.name for place in row.locations.all()) or "none named: all locations see this patient"

    @admin.display(description="May be offered times")
    def may_be_offered_shown(self, row: Patient) -> str:
        if row.may_be_offered:
            return state("ok", "yes")
        why = (
            "deceased"
            if row.deceased
            else "replaced by another record"
            if row.replaced_by_id
            else "restricted"
            if row.restricted
            else "inactive in the EHR"
        )
        return state("no", f"no: {why}", "pause")

    @admin.display(description="Legal name")
    def legal(self, row: Patient) -> str:
        return format_html("<bdi>{}</bdi>", " ".join(f"{row.given_name} {row.family_name}".split()) or "not known")

    @admin.display(description="Address")
    def lives(self, row: Patient) -> str:
        found = patient_writes.standing(row, Detail.ADDRESS)
        if found is None:
            return row.address or "not known"
        write, told = found
        tone = "danger" if write.status == PatientWrite.Status.CONFLICT else ""
        how = state(write.status, write.get_status_display(), tone)
        ours = format_html("corrected here: <bdi>{}</bdi>", row.address) if row.address else "taken away here"
        return format_html('<bdi>{}</bdi><br><span class="quiet">{}</span> {}', told or "The EHR had none.", ours, how)

    @admin.display(description="Replaced by")
    def replaced(self, row: Patient) -> str:
        if row.replaced_by_id is None:
            return "–"
        record = link(f"patient {row.replaced_by_id}", "scheduling_patient_change", row.replaced_by_id)
        merge = merging.holding(row)
        if merge is None or merge.told_by != PatientMerge.ToldBy.STAFF:
            return record
        return format_html('{} <span class="quiet">not the EHR: {} said so here</span>', record, merge.by)

    @admin.display(description="Emergency contact")
    def emergency(self, row: Patient) -> str:
        told = row.emergency_contact or {}
        who = " ".join(part for part in (told.get("name"), told.get("phone")) if part)
        return f"{who} ({told['relation']})" if who and told.get("relation") else who or "not known"

    @admin.display(description="Portal account")
    def portal(self, row: Patient) -> str:
        if row.portal_active is None:
            return "the EHR does not say"
        return state("ok", "active") if row.portal_active else state("off", "inactive")

    @admin.display(description="Record")
    def standing(self, row: Patient) -> str:
        if not local_patients.in_ehr([row.pk]):
            return "not in the EHR yet" if row.active else "taken back: not in the EHR, offered nothing"
        said = "active" if row.active else "inactive"
        if row.deceased and merging.died_elsewhere(row):
            return f"{said}; deceased, as the EHR says of a record that this one replaces"
        return f"{said}, deceased" if row.deceased else said
