"""A change of mappings in words: what changes, from what to what, and what it will do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from integrations.field_mapping import PathKind
from integrations.fields import FIELDS, Transform
from integrations.mapping_changes import Entry
from integrations.mapping_effects import fate_of, offers_at_stake, resting_on
from integrations.mapping_mirror import times_to_open
from integrations.mapping_state import Key as StateKey
from integrations.meanings import LANGUAGES, Key, Meanings, standard_target
from integrations.models import CodeMapping, Connection
from scheduling.models import Appointment, AppointmentType, ExternalId, Location, Plan, Provider

Domain = CodeMapping.Domain
REASONS = {
    CodeMapping.REBOOKABLE: "the time may be offered",
    CodeMapping.NOT_REBOOKABLE: "the time is not offered",
    CodeMapping.ASK_STAFF: "staff decide each time",
}
STATUSES = {
    **{str(value): str(label) for value, label in Appointment.Status.choices if value != Appointment.Status.UNKNOWN},
    "confirmed": "confirmed by the patient",
}
_OWNERS = {"ehr": "the EHR", "practice": "the practice"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a difference. ``kind`` is added, changed or removed; ``effect`` is empty where nothing follows."""

    kind: str
    what: str
    before: str
    after: str
    effect: str = ""


def lines(connection: Connection, entries: Sequence[Entry], *, is_done: bool = False) -> list[Line]:
    """Return what the entries change, with what will follow from each unless it is done already."""
    words, effects = _Words(), _Effects(connection, () if is_done else entries)
    return [
        Line(
            each.kind,
            words.what(each.key),
            words.value(each.key, each.before),
            words.value(each.key, each.after),
            "" if is_done else effects.of(each),
        )
        for each in entries
    ]


def withdraws(connection: Connection, entries: Iterable[Entry]) -> bool:
    """Return whether any of the entries takes offers back that are out."""
    rows = {_key_of(row): row for row in CodeMapping.objects.filter(connection=connection)}
    return any(each.key in rows and offers_at_stake(rows[each.key], each.after) for each in entries)


def _key_of(row: CodeMapping) -> StateKey:
    return ("code", row.domain, row.system, row.code, str(row.location_id or ""))


def what(key: StateKey) -> str:
    """Return what a key is about, in words."""
    return _Words().what(key)


class _Words:
    def __init__(self) -> None:
        self._places = {str(pk): name for pk, name in Location.objects.values_list("pk", "name")}
        self._targets: dict[str, dict[str, str]] = {
            Domain.TYPE: dict(AppointmentType.objects.values_list("code", "name")),
            Domain.REASON: REASONS,
            Domain.STATUS: STATUSES,
            Domain.LANGUAGE: LANGUAGES,
            Domain.PLAN: dict(Plan.objects.values_list("code", "name")),
            Domain.PROVIDER: {str(pk): name for pk, name in Provider.objects.values_list("pk", "name")},
            Domain.LOCATION: self._places,
        }

    def what(self, key: StateKey) -> str:
        if key[0] == "setting":
            return "A cancellation without a reason"
        if key[0] == "owner":
            return f"{FIELDS[key[1]].label}: who owns it"
        if key[0] == "path":
            return f"{FIELDS[key[1]].label}: where it stands ({PathKind(key[2]).label})"
        _, domain, system, code, place = key
        where = f" at {self._places.get(place, 'a location that is gone')}" if place else ""
        return f"{Domain(domain).label.capitalize()} “{code}”{f' of {system}' if system else ''}{where}"

    def value(self, key: StateKey, value: Any) -> str:
        if key[0] == "setting":
            return str(Connection.MissingReason(value).label)
        if key[0] == "owner":
            return _OWNERS[value]
        if key[0] == "path":
            return f"{value['path']}, {Transform(value['transform']).label}" if value["path"] else "nowhere"
        return self._meaning(key, value)

    def _meaning(self, key: StateKey, value: str) -> str:
        _, domain, system, code, place = key
        names = self._targets.get(domain, {})
        if value:
            return names.get(value, value)
        if place:
            return "as everywhere"
        standard = standard_target(domain, system, code)
        return f"{names.get(standard, standard)}, by the standard" if standard else "not mapped"


class _Effects:
    """What the entries will do, all of them together."""

    def __init__(self, connection: Connection, entries: Sequence[Entry]) -> None:
        self._connection = connection
        self._before = self._after = Meanings.of(connection)
        for each in entries:
            if each.key[0] == "code":
                _, domain, system, code, place = each.key
                self._after = self._after.changed(Key(domain, system, code), int(place) if place else None, each.after)

    def of(self, entry: Entry) -> str:
        key, after = entry.key, entry.after
        if key[0] == "code":
            return self._of_code(key, after)
        if key[0] == "owner" and after == "practice":
            return "What we have stays; the EHR no longer overwrites it."
        if key[0] in ("owner", "path"):
            if self._connection.only_sends:
                return "It holds for messages from now on."
            if self._connection.loaded_at is None:
                return "It holds from the first load on."
            names = ExternalId.objects.filter(source_id=self._connection.source_id, kind=ExternalId.Kind.PATIENT)
            return f"{_counted(names.count(), 'patient')} read again from the EHR."
        return "It holds for cancellations from now on."

    def _of_code(self, key: StateKey, after: str) -> str:
        _, domain, system, code, place = key
        rows = CodeMapping.objects.filter(connection=self._connection, domain=domain, system=system, code=code)
        row = (rows.filter(location_id=place) if place else rows.filter(location__isnull=True)).first()
        if row is None or domain not in (Domain.TYPE, Domain.REASON, Domain.STATUS):
            return ""
        ends: Counter[str] = Counter()
        for opening in resting_on(row).select_related("freed_by"):
            if opening.freed_by is None:
                continue
            fate = fate_of(opening.freed_by, self._after, opening)
            if fate != fate_of(opening.freed_by, self._before, opening):
                ends[_ENDS.get(fate, "held until somebody decides")] += 1
        told = [f"{_counted(count, 'opening')} {end}." for end, count in sorted(ends.items())]
        if count := times_to_open(row, after):
            told.append(f"{_counted(count, 'time')} opened that had been given up before, after a fresh look.")
        if stake := offers_at_stake(row, after):
            told.append(f"{_counted(stake, 'offer')} withdrawn, and whoever has one is told.")
        return " ".join(told)


_ENDS = {"offer": "released and offered after a fresh look", "close": "closed and not offered"}


def _counted(count: int, noun: str) -> str:
    return f"1 {noun} is" if count == 1 else f"{count} {noun}s are"
