"""A change of mappings in words: what changes, from what to what, and what it will do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from integrations.field_mapping import PathKind
from integrations.fields import FIELDS, Transform
from integrations.mapping_changes import Entry
from integrations.mapping_state import Key
from integrations.models import CodeMapping, Connection
from scheduling.models import Appointment, AppointmentType, ExternalId, Location, Opening, Provider

Domain = CodeMapping.Domain
REASONS = {
    CodeMapping.REBOOKABLE: "the time may be offered",
    CodeMapping.NOT_REBOOKABLE: "the time is not offered",
    CodeMapping.ASK_STAFF: "staff decide each time",
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


def lines(connection: Connection, entries: Iterable[Entry]) -> list[Line]:
    """Return what the entries change, with what will follow from each."""
    words = _Words()
    return [
        Line(
            each.kind,
            words.what(each.key),
            words.value(each.key, each.before),
            words.value(each.key, each.after),
            _effect(connection, each),
        )
        for each in entries
    ]


def what(key: Key) -> str:
    """Return what a key is about, in words."""
    return _Words().what(key)


class _Words:
    def __init__(self) -> None:
        self._places = {str(pk): name for pk, name in Location.objects.values_list("pk", "name")}
        self._targets: dict[str, dict[str, str]] = {
            Domain.TYPE: dict(AppointmentType.objects.values_list("code", "name")),
            Domain.REASON: REASONS,
            Domain.STATUS: {str(value): str(label) for value, label in Appointment.Status.choices},
            Domain.PROVIDER: {str(pk): name for pk, name in Provider.objects.values_list("pk", "name")},
            Domain.LOCATION: self._places,
        }

    def what(self, key: Key) -> str:
        if key[0] == "setting":
            return "A cancellation without a reason"
        if key[0] == "owner":
            return f"{FIELDS[key[1]].label}: who owns it"
        if key[0] == "path":
            return f"{FIELDS[key[1]].label}: where it stands ({PathKind(key[2]).label})"
        _, domain, system, code, place = key
        where = f" at {self._places.get(place, 'a location that is gone')}" if place else ""
        return f"{Domain(domain).label.capitalize()} “{code}”{f' of {system}' if system else ''}{where}"

    def value(self, key: Key, value: Any) -> str:
        if key[0] == "setting":
            return str(Connection.MissingReason(value).label)
        if key[0] == "owner":
            return _OWNERS[value]
        if key[0] == "path":
            return f"{value['path']}, {Transform(value['transform']).label}" if value["path"] else "nowhere"
        return self._targets.get(key[1], {}).get(value, value) or "not mapped"


def _effect(connection: Connection, entry: Entry) -> str:
    key, after = entry.key, entry.after
    if key[0] == "code":
        return _effect_of_code(connection, key, after)
    if key[0] == "owner" and after == "practice":
        return "What we have stays; the EHR no longer overwrites it."
    if key[0] in ("owner", "path"):
        names = ExternalId.objects.filter(source_id=connection.source_id, kind=ExternalId.Kind.PATIENT)
        return f"{_counted(names.count(), 'patient')} read again from the EHR."
    return "It holds for cancellations from now on."


def _effect_of_code(connection: Connection, key: Key, after: str) -> str:
    _, domain, system, code, place = key
    if domain not in (Domain.TYPE, Domain.REASON):
        return ""
    held = (Opening.Held.REASON, Opening.Held.TYPE)
    openings = Opening.objects.filter(
        source_id=connection.source_id,
        status__in=Opening.CLAIMABLE,
        **{f"freed_by__{domain}_system": system, f"freed_by__{domain}_code": code},
        **({"location_id": place} if place else {}),
    )
    waiting = openings.filter(held__in=held).count()
    if after and waiting:
        ends = {CodeMapping.NOT_REBOOKABLE: "closed", CodeMapping.ASK_STAFF: "left to staff"}
        return f"{_counted(waiting, 'held opening')} {ends.get(after, 'released')}."
    live = openings.exclude(held__in=held).count()
    if not after and live:
        return f"{_counted(live, 'live opening')} held until somebody says what it means."
    return ""


def _counted(count: int, noun: str) -> str:
    return f"1 {noun} is" if count == 1 else f"{count} {noun}s are"
