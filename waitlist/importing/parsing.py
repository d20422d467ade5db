"""One row's cells as what somebody waits for, with every problem in it named at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any, TypeVar

from scheduling.models import AppointmentType, Location, Provider
from waitlist.importing import values
from waitlist.importing.people import Person
from waitlist.importing.values import Wrong
from waitlist.models import ImportBatch, ImportRow, WaitlistEntry

Value = TypeVar("Value")
Problem = tuple[str, str]
LONGEST_NAME = 100
LONGEST_NOTE = 300


@dataclass(slots=True)
class Wish:
    """A row understood. ``person`` is None where names or birth date are missing; ``agreed`` None: no such column."""

    person: Person | None = None
    language: str = ""
    appointment_type: AppointmentType | None = None
    providers: tuple[Provider, ...] = ()
    locations: tuple[Location, ...] = ()
    urgency: int = int(WaitlistEntry.Urgency.ROUTINE)
    joined_on: date | None = None
    earliest_date: date | None = None
    latest_date: date | None = None
    agreed: bool | None = None
    note: str = ""
    problems: list[Problem] = field(default_factory=list)


class Words:
    """The practice's types, clinicians and places by the words people write for them."""

    def __init__(self, batch: ImportBatch) -> None:
        self.types = list(AppointmentType.objects.filter(active=True))
        self.providers = list(Provider.objects.filter(active=True))
        places = Location.objects.filter(active=True)
        if batch.uploaded_by is not None:
            places = places.for_user(batch.uploaded_by)
        self.locations = list(places)
        self._type_words = {key: int(pk) for key, pk in batch.type_words.items()}

    def type_of(self, text: str) -> AppointmentType | None:
        """Return the kind of visit that ``text`` is called, by name, code or what staff said it means."""
        chosen = self._type_words.get(values.words(text))
        return self.type_named(text) or next((each for each in self.types if each.pk == chosen), None)

    def type_named(self, text: str) -> AppointmentType | None:
        """Return the kind of visit that ``text`` is called by ourselves."""
        wanted = values.words(text)
        ours = (each for each in self.types if wanted in (values.words(each.name), values.words(each.code)))
        return next(ours, None)

    def read_type(self, text: str) -> AppointmentType:
        found = self.type_of(text)
        if found is None:
            raise Wrong(f"No kind of visit is called this. Write one of: {_names(self.types)}.")
        return found

    def read_provider(self, text: str) -> tuple[Provider, ...]:
        wanted = _titleless(text)
        if wanted in ("any", "anyone", "any provider", "cualquiera", "first available"):
            return ()
        exact = [each for each in self.providers if _titleless(each.name) == wanted]
        found = exact or [each for each in self.providers if set(wanted.split()) <= set(_titleless(each.name).split())]
        if len(found) != 1:
            says = "More than one clinician is" if found else "No clinician is"
            raise Wrong(f"{says} called this. Write one of: {_names(self.providers)}; empty for any.")
        return (found[0],)

    def read_location(self, text: str) -> tuple[Location, ...]:
        wanted = values.words(text)
        if wanted in ("any", "anywhere", "either", "cualquiera"):
            return ()
        found = [each for each in self.locations if values.words(each.name) == wanted]
        if len(found) != 1:
            raise Wrong(f"No location of yours is called this. Write one of: {_names(self.locations)}; empty for any.")
        return (found[0],)


def cells_of(batch: ImportBatch, row: ImportRow) -> dict[str, str]:
    """Return the row's text by field, what staff corrected included."""
    found = {
        name: row.cells[place] if place < len(row.cells) else "" for place, name in enumerate(batch.fields) if name
    }
    return {**found, **row.corrections}


def days_first(batch: ImportBatch) -> set[str]:
    """Return the fields whose dates are day/month/year."""
    return {batch.fields[place] for place in batch.day_first if place < len(batch.fields)}


def parse(batch: ImportBatch, row: ImportRow, words: Words, today: date) -> Wish:
    """Return what the row says; its ``problems`` are empty when it can be taken as it is."""
    return _Parser(batch, row, words, today).wish


class _Parser:
    def __init__(self, batch: ImportBatch, row: ImportRow, words: Words, today: date) -> None:
        self._cells = cells_of(batch, row)
        self._batch, self._today, self._corrected = batch, today, set(row.corrections)
        self.wish = wish = Wish()
        for place in row.unread:
            name = batch.fields[place] if place < len(batch.fields) else ""
            if name and name not in self._corrected:
                self._wrong(
                    name, "This is a formula without a stored value, and formulas are not computed here. Write it."
                )
        wish.person = self._person()
        wish.language = self._read("language", values.read_language, "")
        wish.appointment_type = self._type(words)
        wish.providers = self._read("provider", words.read_provider, ())
        wish.locations = self._read("location", words.read_location, (batch.location,) if batch.location else ())
        wish.urgency = self._read("urgency", values.read_urgency, wish.urgency)
        wish.agreed = self._read("consent", values.read_yes, False) if "consent" in batch.fields else None
        wish.note = self._cells.get("note", "")[:LONGEST_NOTE]
        self._dates(wish)

    def _wrong(self, name: str, says: str) -> None:
        """Note what is wrong with a field; the first says it, since what is written instead is asked for once."""
        if name not in dict(self.wish.problems):
            self.wish.problems.append((name, says))

    def _read(self, name: str, read: Callable[[str], Value], empty: Any) -> Any:
        text = self._cells.get(name, "")
        if not text:
            return empty
        try:
            return read(text)
        except Wrong as wrong:
            self._wrong(name, str(wrong))
            return empty

    def _read_date(self, name: str, read: Callable[..., date]) -> date | None:
        day_first = name in days_first(self._batch)
        found: date | None = self._read(name, lambda text: read(text, day_first=day_first), None)
        return found

    def _person(self) -> Person | None:
        given, family = self._names()
        born = self._read_date("birth_date", lambda text, **how: values.read_birth_date(text, self._today, **how))
        if born is None and not self._cells.get("birth_date"):
            self._wrong("birth_date", "Write the birth date: it tells people of one name apart.")
        phones = tuple(
            dict.fromkeys(
                each for name in ("phone", "other_phone") if (each := self._read(name, values.read_phone, ""))
            )
        )
        email = self._read("email", values.read_email, "")
        mrn = self._cells.get("mrn", "").strip()
        if len(mrn) > LONGEST_NAME:
            self._wrong("mrn", "This is too long for a chart number. Correct it, or leave it empty.")
        if not (family and born):
            return None
        return Person(given, family, born, mrn, phones, email)

    def _names(self) -> tuple[str, str]:
        given, family = self._cells.get("given_name", ""), self._cells.get("family_name", "")
        whole = self._cells.get("full_name", "")
        if whole and not family:
            given, family = values.split_name(whole)
        name = "full_name" if "full_name" in self._batch.fields else "family_name"
        if not family:
            self._wrong(name, "Write the patient’s name.")
        elif not given:
            self._wrong("full_name" if name == "full_name" else "given_name", "Write first and last name.")
        elif max(len(given), len(family)) > LONGEST_NAME:
            self._wrong(name, f"Write names of {LONGEST_NAME} characters at most.")
        return given, family

    def _type(self, words: Words) -> AppointmentType | None:
        found: AppointmentType | None = self._read("appointment_type", words.read_type, self._batch.appointment_type)
        if found is None and not self._cells.get("appointment_type"):
            self._wrong("appointment_type", f"Write what they wait for, one of: {_names(words.types)}.")
        return found

    def _dates(self, wish: Wish) -> None:
        def near(text: str, *, day_first: bool) -> date:
            return values.read_date(text, day_first=day_first, past=False)

        wish.joined_on = self._read_date("joined_on", near)
        wish.earliest_date = self._read_date("earliest_date", near)
        wish.latest_date = self._read_date("latest_date", near)
        if wish.joined_on and wish.joined_on > self._today:
            self._wrong("joined_on", "This day is still to come. Write since when they have been waiting.")
        if wish.latest_date and wish.latest_date < self._today:
            self._wrong("latest_date", "This day is over. Write a later one, or leave it empty.")
        elif wish.earliest_date and wish.latest_date and wish.latest_date < wish.earliest_date:
            self._wrong("latest_date", "This lies before the earliest day. Correct one of the two.")


def _titleless(text: str) -> str:
    titles = {"dr", "dra", "doctor", "doctora", "md", "do", "np", "pa", "dds", "phd"}
    return " ".join(part for part in values.words(text).split() if part not in titles)


def _names(rows: list[Any]) -> str:
    names = [str(each.name) for each in rows]
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "") if names else "none is set up yet"


__all__ = ["Problem", "Wish", "Words", "cells_of", "days_first", "parse"]
