"""The meanings of one connection's codes as a value: what a code means, and would mean after a change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from integrations.models import CodeMapping, Connection
from scheduling.models import Appointment
from scheduling.records import ReasonVerdict

Domain = CodeMapping.Domain
Status = Appointment.Status


class Key(NamedTuple):
    """A code of the EHR: its kind, the system that gives it, and itself."""

    domain: str
    system: str
    code: str

    @property
    def can_be_kept(self) -> bool:
        """Return whether a row can hold it: at most 255 and 120 characters, without the NUL PostgreSQL refuses."""
        return 0 < len(self.code) <= 120 and len(self.system) <= 255 and "\x00" not in self.code + self.system


#: HL7's own cancellation reasons by the beginning of their code: the patient's reasons free the time, the
#: provider's and the room's do not, anything else is for a person to say.
HL7_REASONS = "http://terminology.hl7.org/CodeSystem/appointment-cancellation-reason"
_HL7_MEANING = {
    "pat": CodeMapping.REBOOKABLE,
    "prov": CodeMapping.NOT_REBOOKABLE,
    "maint": CodeMapping.NOT_REBOOKABLE,
    "meds-inc": CodeMapping.REBOOKABLE,
    "other": CodeMapping.ASK_STAFF,
    "oth": CodeMapping.ASK_STAFF,
}
REASON_VERDICTS: dict[str, ReasonVerdict] = {
    CodeMapping.REBOOKABLE: "rebookable",
    CodeMapping.NOT_REBOOKABLE: "not_rebookable",
    CodeMapping.ASK_STAFF: "ask_staff",
}
_MISSING: dict[str, ReasonVerdict] = {
    Connection.MissingReason.OFFER: "missing",
    Connection.MissingReason.STAFF: "ask_staff",
    Connection.MissingReason.NOTHING: "not_rebookable",
}
#: FHIR's statuses, which mean what they say where nobody mapped them otherwise.
_PLAIN_STATUSES = frozenset(Status.values) - {Status.UNKNOWN, Status.BUMPED}
#: Filler status codes of HL7 v2 (SCH-25, table 0278), case aside: 2.3 wrote them in capitals. Blocked is no visit.
_HL7V2_STATUSES = {
    "pending": Status.PENDING,
    "waitlist": Status.WAITLIST,
    "booked": Status.BOOKED,
    "overbook": Status.BOOKED,
    "started": Status.CHECKED_IN,
    "complete": Status.FULFILLED,
    "cancelled": Status.CANCELLED,
    "dc": Status.CANCELLED,
    "deleted": Status.ENTERED_IN_ERROR,
    "noshow": Status.NOSHOW,
}
#: What a status can be mapped to, and the status an appointment then has. *Confirmed* is booked, and stays so.
STATUS_MEANINGS: dict[str, str] = {
    **{status: status for status in Status.values if status != Status.UNKNOWN},
    "confirmed": Status.BOOKED,
}
#: Languages a code can be mapped to. Messages are written in the first two; whoever speaks another gets English.
LANGUAGES: dict[str, str] = {
    "en": "English",
    "es": "Spanish",
    "ar": "Arabic",
    "de": "German",
    "fr": "French",
    "hi": "Hindi",
    "ht": "Haitian Creole",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "so": "Somali",
    "tl": "Tagalog",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
#: ISO 639-2 and what people write, beside the names above.
_LANGUAGE_CODES = {
    **{name.lower(): tag for tag, name in LANGUAGES.items()},
    "eng": "en",
    "spa": "es",
    "español": "es",
    "espanol": "es",
    "ara": "ar",
    "ger": "de",
    "deu": "de",
    "fre": "fr",
    "fra": "fr",
    "hin": "hi",
    "hat": "ht",
    "ita": "it",
    "jpn": "ja",
    "kor": "ko",
    "pol": "pl",
    "por": "pt",
    "rus": "ru",
    "som": "so",
    "tgl": "tl",
    "vie": "vi",
    "chi": "zh",
    "zho": "zh",
}


def standard_target(domain: str, system: str, code: str) -> str | None:
    """Return what a code of a public list means unless the practice says otherwise; None for any other code."""
    if domain == Domain.REASON and system == HL7_REASONS:
        return _HL7_MEANING.get(code) or _HL7_MEANING.get(code.partition("-")[0])
    if domain == Domain.STATUS:
        return code if code in _PLAIN_STATUSES else _HL7V2_STATUSES.get(code.lower())
    if domain == Domain.LANGUAGE:
        tag = code.lower()
        # A tag such as es-MX says itself what it is.
        return _LANGUAGE_CODES.get(tag) or (code if tag[:2] in LANGUAGES and tag[2:3] in ("", "-") else None)
    return None


def with_type(verdict: ReasonVerdict, type_target: str | None) -> ReasonVerdict:
    """Nobody knows what a visit of an unmapped type (None) was, so nobody may be offered its time."""
    return "unmapped_type" if type_target is None and verdict in ("rebookable", "missing") else verdict


@dataclass(frozen=True, slots=True)
class Meanings:
    """What a connection's codes mean. ``targets`` are by code and the key of the location, None for all of them."""

    targets: Mapping[tuple[Key, int | None], str] = field(default_factory=dict)
    missing_reason: str = Connection.MissingReason.OFFER

    @classmethod
    def of(cls, connection: Connection) -> Meanings:
        """Return what is mapped now, in one query."""
        rows = CodeMapping.objects.filter(connection=connection, state=CodeMapping.State.MAPPED)
        columns = rows.values_list("domain", "system", "code", "location_id", "target")
        targets: dict[tuple[Key, int | None], str] = {
            (Key(domain, system, code), place): target for domain, system, code, place, target in columns
        }
        return cls(targets, connection.missing_reason)

    def changed(self, key: Key, location_id: int | None, target: str) -> Meanings:
        """Return the meanings after a change; an empty target unmaps."""
        targets: dict[tuple[Key, int | None], str] = dict(self.targets)
        targets.pop((key, location_id), None)
        if target:
            targets[key, location_id] = target
        return Meanings(targets, self.missing_reason)

    def target(self, key: Key, location_id: int | None = None) -> str | None:
        """Return what a code was mapped to, at the location before everywhere; None when nobody mapped it."""
        here = self.targets.get((key, location_id)) if location_id is not None else None
        return here or self.targets.get((key, None)) or standard_target(*key)

    def status(self, code: str, location_id: int | None = None) -> str:
        """Return the appointment status a code stands for, ``unknown`` when nobody mapped it."""
        target = self.target(Key(Domain.STATUS, "", code), location_id)
        return STATUS_MEANINGS.get(target or "", Status.UNKNOWN)

    def type_target(self, system: str, code: str, location_id: int | None = None) -> str | None:
        """Return our appointment type's code; empty when there is no code to map, None when nobody mapped it."""
        return self.target(Key(Domain.TYPE, system, code), location_id) if code else ""

    def reason(self, system: str, code: str, location_id: int | None = None) -> ReasonVerdict:
        """Return what a cancellation for this reason means for its time."""
        if not code:
            return _MISSING[self.missing_reason]
        return REASON_VERDICTS.get(self.target(Key(Domain.REASON, system, code), location_id) or "", "unmapped")

    def language(self, code: str) -> str | None:
        """Return the tag of a language; empty for no code, None when nobody mapped it."""
        return self.target(Key(Domain.LANGUAGE, "", code)) if code else ""

    @property
    def differ_by_location(self) -> bool:
        """Whether any code means something else at one location."""
        return any(place is not None for _, place in self.targets)
