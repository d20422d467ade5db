"""The form of a waitlist entry in the front desk's words."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminDateWidget
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.utils import timezone

from scheduling import coverages
from scheduling.admin.display import slot
from scheduling.models import Appointment, AppointmentType, Location, Patient, Plan, Provider
from waitlist.admin.hours import read_hours, write_hours
from waitlist.models import EntryWindow, WaitlistEntry

NEEDS = ("interpreter", "transport", "escort", "fasting", "preparation")
DAYS = tuple(EntryWindow.Weekday)
MOVABLE = (Appointment.Status.BOOKED, Appointment.Status.PENDING)


class MoveUpField(forms.ModelChoiceField):
    """The patient's own appointments ahead, each with its time."""

    def label_from_instance(self, obj: Any) -> str:
        kind = obj.appointment_type.name if obj.appointment_type else obj.type_display or "visit"
        zone = obj.location.zone if obj.location else None
        return f"{kind}, {slot(obj.start, obj.end, zone)}"


class EntryForm(forms.Form):
    """What a patient waits for. ``values`` are the arguments of the verbs in :mod:`waitlist.entries`."""

    appointment_type = forms.ModelChoiceField(
        AppointmentType.objects.filter(active=True), label="Waits for", empty_label="Choose a kind of visit"
    )
    urgency = forms.TypedChoiceField(
        choices=WaitlistEntry.Urgency.choices, coerce=int, initial=WaitlistEntry.Urgency.ROUTINE
    )
    providers = forms.ModelMultipleChoiceField(
        Provider.objects.filter(active=True),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="With",
        help_text="None chosen: with anybody.",
    )
    locations = forms.ModelMultipleChoiceField(
        Location.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="At",
        help_text="None chosen: anywhere.",
    )
    earliest_date = forms.DateField(required=False, widget=AdminDateWidget, label="Not before")
    latest_date = forms.DateField(required=False, widget=AdminDateWidget, label="Not after")
    minimum_notice_minutes = forms.IntegerField(
        min_value=0,
        max_value=60 * 24 * 30,
        initial=120,
        label="Must know before (minutes)",
        help_text="How long before the start the patient must know. 120: two hours.",
    )
    texts_by_night = forms.BooleanField(
        required=False,
        label="Texts in quiet hours too",
        help_text="Only where the patient asked for it: a time that would be gone by the morning is texted at once.",
    )
    move_up = MoveUpField(
        Appointment.objects.none(),
        required=False,
        label="Appointment to move up",
        empty_label="None: an extra visit",
        help_text="It is cancelled only after the earlier one is confirmed.",
    )
    referral_required = forms.BooleanField(required=False)
    referral_valid_until = forms.DateField(required=False, widget=AdminDateWidget)
    authorization_required = forms.BooleanField(required=False)
    authorization_valid_until = forms.DateField(required=False, widget=AdminDateWidget)
    plan = forms.ModelChoiceField(
        Plan.objects.filter(active=True),
        required=False,
        label="Insurance plan",
        empty_label="Not known",
        help_text="Only kinds of visit that need insurance look at it.",
    )
    note = forms.CharField(
        required=False, max_length=300, widget=forms.Textarea(attrs={"rows": 2}), help_text="For staff. No diagnosis."
    )

    def __init__(
        self,
        *args: Any,
        user: AbstractBaseUser | AnonymousUser,
        patient: Patient,
        entry: WaitlistEntry | None = None,
        **kwargs: Any,
    ) -> None:
        if entry is not None:
            kwargs["initial"] = {**_initial(entry), **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)
        self.entry = entry
        if told := coverages.in_words(patient):
            self.fields["plan"].empty_label = "As the EHR says"  # type: ignore[attr-defined]
            self.fields["plan"].help_text = f"The EHR says: {'; '.join(told)}. What is chosen here goes before it."
        self.fields["locations"].queryset = Location.objects.for_user(user).filter(active=True)  # type: ignore[attr-defined]
        ahead = Appointment.objects.for_user(user).filter(patient=patient, status__in=MOVABLE, start__gt=timezone.now())
        self.fields["move_up"].queryset = ahead.select_related("location", "appointment_type").order_by("start")  # type: ignore[attr-defined]
        for day in DAYS:
            self.fields[f"hours_{day.value}"] = forms.CharField(
                required=False, label=str(day.label), max_length=80, widget=forms.TextInput(attrs={"size": 24})
            )
        for need in NEEDS:
            self.fields[f"need_{need}"] = forms.IntegerField(
                required=False, min_value=0, max_value=24 * 60, label=f"{need.capitalize()}, hours’ notice"
            )

    @property
    def sections(self) -> list[tuple[str, str, list[forms.BoundField]]]:
        """Title, explanation and fields of each part of the page."""
        hours = [f"hours_{day.value}" for day in DAYS]
        needs = [f"need_{need}" for need in NEEDS]
        parts = (
            ("What", "", ["appointment_type", "urgency", "move_up"]),
            ("With whom and where", "", ["providers", "locations"]),
            ("When", "", ["earliest_date", "latest_date", "minimum_notice_minutes", "texts_by_night"]),
            ("Hours", "For example 8-12, 1:30pm-5pm, or: all day. All empty: any day, any hour.", hours),
            ("Needs", "Write how many hours it takes to arrange; leave empty what is not needed.", needs),
            (
                "Papers",
                "",
                [
                    "referral_required",
                    "referral_valid_until",
                    "authorization_required",
                    "authorization_valid_until",
                    "plan",
                    "note",
                ],
            ),
        )
        return [(title, text, [self[name] for name in names]) for title, text, names in parts]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        self.windows: list[EntryWindow] = []
        for day in DAYS:
            name = f"hours_{day.value}"
            try:
                spans = read_hours(data.get(name) or "")
            except forms.ValidationError as problem:
                self.add_error(name, problem)
                continue
            self.windows += [EntryWindow(weekday=day.value, start=start, end=end) for start, end in spans]
        earliest, latest = data.get("earliest_date"), data.get("latest_date")
        if earliest and latest and latest < earliest:
            self.add_error("latest_date", "This lies before the earliest date. Correct one of the two.")
        return data

    def values(self) -> dict[str, Any]:
        """Return the verbs' keyword arguments."""
        data = self.cleaned_data
        plain = {
            name: data[name]
            for name in (
                "appointment_type",
                "urgency",
                "providers",
                "locations",
                "earliest_date",
                "latest_date",
                "minimum_notice_minutes",
                "texts_by_night",
                "move_up",
                "referral_required",
                "referral_valid_until",
                "authorization_required",
                "authorization_valid_until",
                "plan",
                "note",
            )
        }
        needs = [
            {"need": need, "notice_minutes": data[f"need_{need}"] * 60}
            for need in NEEDS
            if data.get(f"need_{need}") is not None
        ]
        kept = [need for need in (self.entry.needs if self.entry else []) if need.get("need") not in NEEDS]
        return {**plain, "needs": [*needs, *kept], "windows": self.windows}


def _initial(entry: WaitlistEntry) -> dict[str, Any]:
    windows = list(entry.windows.all())
    hours = {f"hours_{day.value}": write_hours(w for w in windows if w.weekday == day.value) for day in DAYS}
    needs = {f"need_{need['need']}": -(-int(need.get("notice_minutes", 0)) // 60) for need in entry.needs}
    return {
        **{
            name: getattr(entry, name)
            for name in (
                "appointment_type",
                "urgency",
                "earliest_date",
                "latest_date",
                "minimum_notice_minutes",
                "texts_by_night",
                "move_up",
                "referral_required",
                "referral_valid_until",
                "authorization_required",
                "authorization_valid_until",
                "plan",
                "note",
            )
        },
        "providers": entry.providers.all(),
        "locations": entry.locations.all(),
        **hours,
        **needs,
    }
