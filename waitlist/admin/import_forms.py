"""What is asked about a spreadsheet: the file, what its columns mean, and where consent to texts came from."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminDateWidget
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.utils import timezone

from scheduling.models import AppointmentType, Location
from scheduling.models.scope import sees_all_locations
from waitlist.importing import batches, columns, values
from waitlist.importing.limits import MAX_BYTES, MAX_ROWS
from waitlist.importing.parsing import Words
from waitlist.models import ImportBatch

SAMPLES = 3
MONTH_FIRST, DAY_FIRST = "month", "day"
_ORDERS = ((MONTH_FIRST, "month/day/year"), (DAY_FIRST, "day/month/year"))


def _file_field(label: str) -> forms.FileField:
    return forms.FileField(
        label=label,
        help_text=f"Excel (.xlsx) or text (.csv), at most {MAX_ROWS:,} rows and {MAX_BYTES // 1024 // 1024} MB.",
        error_messages={
            "required": f"Choose a file of at most {MAX_BYTES // 1024 // 1024} MB. Nothing was stored.",
            "empty": "The file is empty. Choose the one that has the list in it.",
        },
        widget=forms.ClearableFileInput(attrs={"accept": ".xlsx,.csv,.txt,.tsv"}),
    )


class ReturnedForm(forms.Form):
    """The downloaded rows with errors, corrected."""

    file = _file_field("The corrected file")


class UploadForm(forms.Form):
    """The file and what is true of all its rows."""

    file = _file_field("File")
    location = forms.ModelChoiceField(
        Location.objects.none(), label="Whose list it is", help_text="Rows that name no location wait for this one."
    )
    appointment_type = forms.ModelChoiceField(
        AppointmentType.objects.filter(active=True),
        required=False,
        label="They wait for",
        empty_label="A column of the file says so",
        help_text="Counts for every row that does not say it itself.",
    )

    def __init__(self, *args: Any, user: AbstractBaseUser | AnonymousUser, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        places = Location.objects.for_user(user).filter(active=True)
        field: Any = self.fields["location"]
        field.queryset = places
        if sees_all_locations(user) and places.count() != 1:
            field.required, field.empty_label = False, "The whole practice: anywhere"
        elif places.count() == 1:
            field.initial, field.empty_label = places.first(), None


@dataclass(frozen=True, slots=True)
class ColumnLine:
    """A column as the page shows it; ``order`` is None where no dates stand in it."""

    heading: str
    samples: list[str]
    field: forms.BoundField
    order: forms.BoundField | None
    asks: str


class ColumnsForm(forms.Form):
    """What each column means, in which order dates are written, the file's words for visits, and the consent."""

    consent = forms.ChoiceField(
        choices=[choice for choice in ImportBatch.Consent.choices if choice[0]],
        widget=forms.RadioSelect,
        label="Consent to texts",
        error_messages={"required": "Say where consent to texts came from. If you do not know, there is none."},
    )
    consent_form = forms.CharField(
        required=False, max_length=40, label="Which form", help_text="For example “form 2026-03”. Needed for a form."
    )
    consent_on = forms.DateField(
        required=False,
        widget=AdminDateWidget,
        label="Signed or said on",
        help_text="The latest day, where there are several. Needed for a form and for spoken consent.",
    )
    emails_agreed = forms.BooleanField(required=False, label="They agreed to e-mail as well")

    def __init__(self, *args: Any, batch: ImportBatch, **kwargs: Any) -> None:
        kwargs["initial"] = {
            "consent": batch.consent,
            "consent_form": batch.consent_form,
            "consent_on": batch.consent_on,
            "emails_agreed": batch.emails_agreed,
        }
        super().__init__(*args, **kwargs)
        self.batch = batch
        self._cells = batches.cells(batch)
        self._places = range(len(batch.headings))
        choices = [("", "Leave it out"), *columns.FIELDS.items()]
        for place in self._places:
            self.fields[f"column_{place}"] = forms.ChoiceField(
                choices=choices, required=False, initial=batch.fields[place], label=batch.headings[place]
            )
            if self._holds_dates(place):
                self.fields[f"order_{place}"] = forms.ChoiceField(
                    choices=_ORDERS,
                    initial=DAY_FIRST if place in batch.day_first else MONTH_FIRST,
                    label=f"Dates in {batch.headings[place]}",
                )
        self._add_type_words()

    def _add_type_words(self) -> None:
        words = Words(self.batch)
        unknown = batches.unknown_types(self.batch, self.batch.fields, words)
        told = self.batch.type_words
        #: Name of the question to the file's word.
        self.type_words: dict[str, str] = {f"type_word_{number}": text for number, text in enumerate(unknown)}
        for name, text in self.type_words.items():
            count = unknown[text]
            self.fields[name] = forms.ModelChoiceField(
                AppointmentType.objects.filter(active=True),
                required=False,
                label=f"“{text}”",
                empty_label="None of ours: these rows are errors",
                initial=told.get(values.words(text)),
                help_text=f"Stands in {count} row{'' if count == 1 else 's'}.",
            )

    def _column(self, place: int) -> list[str]:
        return [cell for cell in batches.column(self._cells, place) if cell]

    def _holds_dates(self, place: int) -> bool:
        found = self._column(place)
        return any(values.order_of(cell) for cell in found[:200])

    @property
    def lines(self) -> list[ColumnLine]:
        """The columns in the file's order."""
        return [self._line(place) for place in self._places]

    def _line(self, place: int) -> ColumnLine:
        found = self._column(place)
        asks = ""
        has_order = f"order_{place}" in self.fields
        if has_order and columns.shows_day_first(found) is None:
            example = next(cell for cell in found if values.order_of(cell) == "either")
            asks = f"Its dates can be read both ways, such as {example}. Say which it is."
        return ColumnLine(
            self.batch.headings[place],
            [self._sample(text, place) for text in list(dict.fromkeys(found))[:SAMPLES]],
            self[f"column_{place}"],
            self[f"order_{place}"] if has_order else None,
            asks,
        )

    def _sample(self, text: str, place: int) -> str:
        """Return a cell as it stands, a day that a spreadsheet keeps as a number with the date it is."""
        if self.batch.fields[place] in columns.DATES and text.isdigit():
            with suppress(values.Wrong):
                return f"{text} (the day {values.read_date(text, day_first=False, past=True):%b %-d, %Y})"
        return text

    @property
    def marked(self) -> list[forms.BoundField]:
        """The questions that were not answered as they must be."""
        return [field for field in self if field.errors]

    @property
    def type_lines(self) -> list[forms.BoundField]:
        """A question for each word for a kind of visit that is not ours."""
        return [self[name] for name in self.type_words]

    @property
    def consent_lines(self) -> list[forms.BoundField]:
        """What is asked about consent."""
        return [self[name] for name in ("consent", "consent_form", "consent_on", "emails_agreed")]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        chosen = [data.get(f"column_{place}", "") for place in self._places]
        self._check_columns(chosen)
        source, choices = data.get("consent"), ImportBatch.Consent
        if source == choices.FORM and not data.get("consent_form"):
            self.add_error("consent_form", "Say which form they signed.")
        if source in (choices.FORM, choices.SPOKEN) and not data.get("consent_on"):
            self.add_error("consent_on", "Say when it was signed or said.")
        elif data.get("consent_on") and data["consent_on"] > timezone.localdate():
            self.add_error("consent_on", "This day is still to come.")
        return data

    def _check_columns(self, chosen: Sequence[str]) -> None:
        named = [name for name in chosen if name]
        for name in sorted({name for name in named if named.count(name) > 1}):
            self.add_error(None, f"Two columns are “{columns.FIELDS[name]}”. Choose one of them.")
        if not {"full_name", "family_name"} & set(named):
            self.add_error(None, "No column is the name. Choose “Whole name”, or “Last name” and “First name”.")
        if "birth_date" not in named:
            self.add_error(None, "No column is “Birth date”. Without it, people of one name cannot be told apart.")
        if "appointment_type" not in named and self.batch.appointment_type is None:
            self.add_error(None, "Nothing says what they wait for. Choose a column as “Kind of visit”.")

    def values(self) -> dict[str, Any]:
        """Return the columns of ImportBatch that were decided."""
        data = self.cleaned_data
        meant = {values.words(text): data.get(name) for name, text in self.type_words.items()}
        kept = {word: pk for word, pk in self.batch.type_words.items() if word not in meant}
        return {
            "fields": [data[f"column_{place}"] for place in self._places],
            "day_first": [place for place in self._places if data.get(f"order_{place}") == DAY_FIRST],
            "type_words": kept | {word: kind.pk for word, kind in meant.items() if kind is not None},
            "consent": data["consent"],
            "consent_form": data["consent_form"],
            "consent_on": data["consent_on"],
            "emails_agreed": data["emails_agreed"],
        }
