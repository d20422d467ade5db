"""What codes an EHR really sends, read from what is mirrored of it, with what each unmapped one holds up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import Count, F, Max, QuerySet

from integrations.ehr.fhir.elements import FREE_TEXT
from integrations.meanings import Domain, Key, standard_target
from integrations.models import CodeMapping, Connection, InboundEvent
from scheduling.models import Appointment, Coverage, ExternalId, Location, Opening, Patient, Provider

_SPELLED = {
    Domain.TYPE: ("type_system", "type_code", "type_display"),
    Domain.REASON: ("reason_system", "reason_code", None),
    Domain.STATUS: (None, "status_code", None),
}
#: So many of the latest events are looked through for one about each code.
LOOKED_AT = 2000
_NOT_CODES = ("", "deleted", FREE_TEXT)
_HELD = {Domain.TYPE: Opening.Held.TYPE, Domain.REASON: Opening.Held.REASON, Domain.STATUS: Opening.Held.STATUS}


@dataclass(frozen=True, slots=True)
class Seen:
    """A code as the EHR sends it. ``count`` is that of :func:`counts`; ``row_id`` is one that carries it: a visit, a
    patient, or the clinician or location itself.

    ``event_id`` is the latest stored event about any that carries it, None when none is stored; ``row_id`` is then of
    that one.
    """

    key: Key
    display: str = ""
    count: int = 0
    last_at: datetime | None = None
    row_id: int | None = None
    event_id: int | None = None


def seen(connection: Connection, domain: str) -> dict[Key, Seen]:
    """Return every code of a kind that the EHR has sent, by code, with the latest stored event about each."""
    kind = Domain(domain)
    found = _with_events(connection, kind, _carried(connection, kind))
    noted = _noted(connection, kind)
    # Of a visit's reason the mirror holds the code alone: the EHR's words for it were noted when it first came.
    for key, each in found.items():
        if not each.display and key in noted:
            found[key] = replace(each, display=noted[key].display)
    return {**noted, **found}


def counts(connection: Connection, domain: str) -> Counter[Key]:
    """Return how many carry each code of a kind: the one number that every page shows.

    It is how many visits that are mirrored now have it, of languages and insurance plans how many patients, and of
    clinicians and locations how many of their visits. A code that nothing carries any more has none.
    """
    return Counter({key: each.count for key, each in _carried(connection, Domain(domain)).items()})


def _carried(connection: Connection, kind: Domain) -> dict[Key, Seen]:
    """Return the codes of a kind that something in the mirror carries."""
    if kind in _SPELLED:
        return _of_appointments(connection, kind)
    if kind == Domain.LANGUAGE:
        return _of_patients(connection)
    return _of_coverages(connection) if kind == Domain.PLAN else _of_names(connection, kind)


def _of_appointments(connection: Connection, kind: Domain) -> dict[Key, Seen]:
    system, code, display = _SPELLED[kind]
    rows = Appointment.objects.filter(source_id=connection.source_id).exclude(**{f"{code}__in": _NOT_CODES})
    told: dict[str, Any] = {"said": Max(display)} if display else {}
    groups = rows.values(*filter(None, (system, code))).annotate(
        count=Count("pk"), last=Max("updated_at"), latest=Max("pk"), **told
    )
    found = {}
    for row in groups:
        key = Key(kind, row[system] if system else "", row[code])
        found[key] = Seen(key, row.get("said", ""), row["count"], row["last"], row["latest"])
    return found


def _of_patients(connection: Connection) -> dict[Key, Seen]:
    names = ExternalId.objects.filter(source_id=connection.source_id, kind=ExternalId.Kind.PATIENT)
    rows = Patient.objects.filter(pk__in=names.values("object_id")).exclude(language_code="")
    found = {}
    for row in rows.values("language_code").annotate(count=Count("pk"), last=Max("updated_at"), latest=Max("pk")):
        key = Key(Domain.LANGUAGE, "", row["language_code"])
        found[key] = Seen(key, "", row["count"], row["last"], row["latest"])
    return found


def _of_coverages(connection: Connection) -> dict[Key, Seen]:
    rows = Coverage.objects.filter(source_id=connection.source_id).exclude(code="")
    groups = rows.values("system", "code").annotate(
        said=Max("display"), count=Count("patient", distinct=True), last=Max("updated_at"), latest=Max("patient")
    )
    found = {}
    for row in groups:
        key = Key(Domain.PLAN, row["system"], row["code"])
        found[key] = Seen(key, row["said"], row["count"], row["last"], row["latest"])
    return found


def _of_names(connection: Connection, kind: Domain) -> dict[Key, Seen]:
    model: Any = Provider if kind == Domain.PROVIDER else Location
    rows = {row.pk: row for row in model.objects.all()}
    visits = Appointment.objects.filter(source_id=connection.source_id).values_list(f"{kind}_id")
    counts = dict(visits.annotate(Count("pk")).order_by())
    found = {}
    for name in ExternalId.objects.filter(source_id=connection.source_id, kind=kind).order_by("value"):
        row, key = rows.get(name.object_id), Key(kind, "", name.value)
        npi = getattr(row, "npi", "")
        name_here = getattr(row, "name", "")
        display = f"{name_here}, NPI {npi}" if npi else name_here
        found[key] = Seen(key, display, counts.get(name.object_id, 0), name.seen_at, name.object_id)
    return found


def _with_events(connection: Connection, kind: Domain, found: dict[Key, Seen]) -> dict[Key, Seen]:
    """Add the latest event about anything that carries a code; the visit or patient it is about is then the example."""
    of_patients = kind in (Domain.LANGUAGE, Domain.PLAN)
    named = ExternalId.Kind.PATIENT if of_patients else ExternalId.Kind.APPOINTMENT
    resource = "Patient/" if of_patients else "Appointment/"
    events = InboundEvent.objects.filter(connection=connection, subject_key__startswith=resource).order_by("-pk")
    newest_first = events.values_list("subject_key", "pk")[:LOOKED_AT]
    latest = {subject.removeprefix(resource): pk for subject, pk in reversed(newest_first)}
    names = ExternalId.objects.filter(source_id=connection.source_id, kind=named, value__in=latest)
    event_of = {pk: latest[value] for pk, value in names.values_list("object_id", "value")}
    told = dict(found)
    for key, pk in _carriers(connection, kind, event_of):
        if key in told and event_of[pk] > (told[key].event_id or 0):
            example = told[key].row_id if kind in (Domain.PROVIDER, Domain.LOCATION) else pk
            told[key] = replace(told[key], event_id=event_of[pk], row_id=example)
    return told


def _carriers(connection: Connection, kind: Domain, pks: Iterable[int]) -> Iterator[tuple[Key, int]]:
    """Yield which of these visits, of languages and insurance plans which of these patients, carry which code."""
    if kind == Domain.LANGUAGE:
        for code, pk in Patient.objects.filter(pk__in=pks).values_list("language_code", "pk"):
            yield Key(kind, "", code), pk
    elif kind == Domain.PLAN:
        rows = Coverage.objects.filter(source_id=connection.source_id, patient__in=pks)
        for system, code, pk in rows.values_list("system", "code", "patient_id"):
            yield Key(kind, system, code), pk
    elif kind in _SPELLED:
        in_system, in_code, _ = _SPELLED[kind]
        for row in Appointment.objects.filter(pk__in=pks).values("pk", *filter(None, (in_system, in_code))):
            yield Key(kind, row[in_system] if in_system else "", row[in_code]), row["pk"]
    else:
        names: dict[int, list[str]] = {}
        for name in ExternalId.objects.filter(source_id=connection.source_id, kind=kind):
            names.setdefault(name.object_id, []).append(name.value)
        for row_id, pk in Appointment.objects.filter(pk__in=pks).values_list(f"{kind}_id", "pk"):
            for value in names.get(row_id, ()):
                yield Key(kind, "", value), pk


def _noted(connection: Connection, kind: Domain) -> dict[Key, Seen]:
    """Return the codes that were noted or mapped, whether or not anything in the mirror carries them."""
    # What stands for all places last: its words and time go before those of a single place.
    rows = CodeMapping.objects.filter(connection=connection, domain=kind).order_by(F("location").desc(nulls_last=True))
    return {
        key: Seen(key, row.display, 0, row.last_seen_at)
        for row in rows
        if (key := Key(row.domain, row.system, row.code)).code not in _NOT_CODES
    }


def held_up(connection: Connection, domain: str) -> dict[Key, list[int]]:
    """Return the openings that each code of this kind holds up, by code."""
    kind = Domain(domain)
    if kind not in _HELD:
        return {}
    system, code, _ = _SPELLED[kind]
    rows = Opening.objects.filter(
        source_id=connection.source_id, held=_HELD[kind], status__in=Opening.CLAIMABLE, freed_by__isnull=False
    )
    columns = (f"freed_by__{system}" if system else "freed_by__status_code", f"freed_by__{code}", "pk")
    held: dict[Key, list[int]] = {}
    for its_system, its_code, pk in rows.order_by("start").values_list(*columns):
        held.setdefault(Key(kind, its_system if system else "", its_code), []).append(pk)
    return held


def waiting(connection: Connection) -> QuerySet[CodeMapping]:
    """Return the codes that wait for a meaning, which one of a public list never does."""
    rows = CodeMapping.objects.filter(connection=connection, state=CodeMapping.State.UNMAPPED, location__isnull=True)
    rows = rows.exclude(code=FREE_TEXT).exclude(domain__in=(Domain.PROVIDER, Domain.LOCATION))
    by_list = [pk for pk, *key in rows.values_list("pk", "domain", "system", "code") if standard_target(*key)]
    return rows.exclude(pk__in=by_list)


def unmapped(connection: Connection) -> Counter[str]:
    """Return how many codes of each kind wait for a meaning."""
    return Counter(waiting(connection).values_list("domain", flat=True))
