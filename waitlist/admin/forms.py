"""The form of a waitlist entry in the front desk's words."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminDateWidget
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Q, QuerySet
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
        time = slot(obj.start, obj.end, zone) if obj.start and obj.end else "time not known"
        return f"{kind}, {time}" if obj.status in MOVABLE else f"{kind}, {time} ({obj.get_status_display()})"


class EntryForm(forms.Form):
    """What a patient waits for. ``values`` are the arguments of the verbs in :mod:`waitlist.entries`.

    What ``entry`` asks for already can be chosen again, even if it no longer could be anew. What the person may not see
    of it stays: whoever changes a note must not undo it unasked.
    """

    appointment_type = forms.ModelChoiceField(
        AppointmentType.objects.none(), label="Waits for", empty_label="Choose a kind of visit"
    )
    urgency = forms.TypedChoiceField(
        choices=WaitlistEntry.Urgency.choices, coerce=int, initial=WaitlistEntry.Urgency.ROUTINE
    )
    providers = forms.ModelMultipleChoiceField(
        Provider.objects.none(),
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
        Plan.objects.none(),
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
        self._choose_from(user, patient, entry)
        for day in DAYS:
            self.fields[f"hours_{day.value}"] = forms.CharField(
                required=False, label=str(day.label), max_length=80, widget=forms.TextInput(attrs={"size": 24})
            )
        for need in NEEDS:
            self.fields[f"need_{need}"] = forms.IntegerField(
                required=False, min_value=0, max_value=24 * 60, label=f"{need.capitalize()}, hours’ notice"
            )

    def _choose_from(
        self, user: AbstractBaseUser | AnonymousUser, patient: Patient, entry: WaitlistEntry | None
    ) -> None:
        """Offer what is in use at the person's locations, and what the entry has; note what it has elsewhere."""
        has_places, has_providers, has_move_up = (
            (entry.locations.values("pk"), entry.providers.values("pk"), entry.move_up_id) if entry else ((), (), None)
        )
        places, ahead = Location.objects.for_user(user), Appointment.objects.for_user(user)
        is_ahead = Q(patient=patient, status__in=MOVABLE, start__gt=timezone.now())
        choices: dict[str, QuerySet[Any]] = {
            "appointment_type": AppointmentType.objects.filter(_used(entry.appointment_type_id if entry else None)),
            "providers": Provider.objects.filter(Q(active=True) | Q(pk__in=has_providers)),
            "locations": places.filter(Q(active=True) | Q(pk__in=has_places)),
            "move_up": ahead.filter(is_ahead | Q(pk=has_move_up))
            .select_related("location", "appointment_type")
            .order_by("start"),
            "plan": Plan.objects.filter(_used(entry.plan_id if entry else None)),
        }
        for name, rows in choices.items():
            self.fields[name].queryset = rows  # type: ignore[attr-defined]
        self.places_elsewhere = list(entry.locations.exclude(pk__in=places.values("pk"))) if entry else []
        if self.places_elsewhere:
            self.fields["locations"].help_text = "A location that is not yours is chosen as well; that stays."
        is_elsewhere = has_move_up is not None and not ahead.filter(pk=has_move_up).exists()
        self.move_up_elsewhere = entry.move_up if entry and is_elsewhere else None
        if self.move_up_elsewhere is not None:
            self.fields["move_up"].empty_label = "The one at another location, as before"  # type: ignore[attr-defined]

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
        return {
            **plain,
            "locations": [*data["locations"], *self.places_elsewhere],
            "move_up": data["move_up"] or self.move_up_elsewhere,
            "needs": [*needs, *kept],
            "windows": self.windows,
        }


def _used(chosen: int | None) -> Q:
    """What is in use, and what was chosen while it was."""
    return Q(active=True) | Q(pk=chosen)


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
