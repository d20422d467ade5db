"""Reading codes while records are read: what each means, and a note of those nobody mapped."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from integrations.code_notes import note
from integrations.ehr.fhir.elements import FREE_TEXT
from integrations.meanings import Domain, Key, Meanings
from integrations.models import Connection
from scheduling.models import ExternalId
from scheduling.records import PatientRecord, ReasonVerdict


class CodeBook:
    """The meanings of one connection's codes, read once and asked many times.

    ``location`` is the visit's location by its id at the EHR. Unmapped codes are kept in memory; :meth:`flush`
    notes them and tells staff of those that are new.
    """

    def __init__(self, connection: Connection, meanings: Meanings | None = None) -> None:
        self._connection = connection
        if meanings is not None:
            self.meanings = meanings
        self._missed: dict[Key, str] = {}
        self._places: dict[str, int | None] = {}

    @cached_property
    def meanings(self) -> Meanings:
        """What the codes mean, as of the first question."""
        return Meanings.of(self._connection)

    def status(self, code: str, location: str = "") -> str:
        """Return the appointment status a code stands for, ``unknown`` when nobody mapped it."""
        found = self.meanings.status(code, self._place(location))
        if found == "unknown":
            self._miss(Key(Domain.STATUS, "", code), "")
        return found

    def type_target(self, system: str, code: str, display: str, location: str = "") -> str | None:
        """Return our appointment type's code; empty when there is no code to map, None when nobody mapped it.

        Nobody is asked what free text means: nothing of it is kept that could be mapped.
        """
        found = self.meanings.type_target(system, code, self._place(location))
        if found is None and code != FREE_TEXT:
            self._miss(Key(Domain.TYPE, system, code), display)
        return found

    def reason(self, system: str, code: str, display: str, location: str = "") -> ReasonVerdict:
        """Return what a cancellation for this reason means for its time. Free text is for a person to read."""
        if code == FREE_TEXT:
            return "ask_staff"
        found = self.meanings.reason(system, code, self._place(location))
        if found == "unmapped":
            self._miss(Key(Domain.REASON, system, code), display)
        return found

    def with_language(self, person: PatientRecord) -> PatientRecord:
        """Return the person with their language as a tag: empty, which is English, when nobody mapped it."""
        code = person.language
        if not code:
            return person
        found = self.meanings.language(code)
        if found is None:
            self._miss(Key(Domain.LANGUAGE, "", code), "")
        return replace(person, language=found or "", language_code=code)

    def plan(self, system: str, code: str, display: str = "") -> str:
        """Return the code of our insurance plan; empty when nobody mapped it."""
        key = Key(Domain.PLAN, system, code)
        found = self.meanings.target(key) if code else ""
        if found is None:
            self._miss(key, display)
        return found or ""

    def flush(self) -> None:
        """Note the unmapped codes that came since the last time; new ones become work for staff."""
        missed, self._missed = self._missed, {}
        for key, display in missed.items():
            note(self._connection, key, display)

    def _miss(self, key: Key, display: str) -> None:
        self._missed.setdefault(key, display)

    @cached_property
    def _differ_by_location(self) -> bool:
        return self.meanings.differ_by_location

    def _place(self, location: str) -> int | None:
        if not location or not self._differ_by_location:
            return None
        if location not in self._places:
            names = ExternalId.objects.filter(
                source_id=self._connection.source_id, kind=ExternalId.Kind.LOCATION, value=location
            )
            self._places[location] = names.values_list("object_id", flat=True).first()
        return self._places[location]
