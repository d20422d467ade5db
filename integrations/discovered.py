"""What codes an EHR really sends, read from what is mirrored of it, with what each unmapped one holds up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, QuerySet

from integrations.ehr.fhir.elements import FREE_TEXT
from integrations.meanings import Domain, Key
from integrations.models import CodeMapping, Connection, InboundEvent
from scheduling.models import Appointment, Coverage, ExternalId, Location, Opening, Patient, Provider

_SPELLED = {
    Domain.TYPE: ("type_system", "type_code", "type_display"),
    Domain.REASON: ("reason_system", "reason_code", None),
    Domain.STATUS: (None, "status_code", None),
}
_NOT_CODES = ("", "deleted", FREE_TEXT)
_HELD = {Domain.TYPE: Opening.Held.TYPE, Domain.REASON: Opening.Held.REASON, Domain.STATUS: Opening.Held.STATUS}


@dataclass(frozen=True, slots=True)
class Seen:
    """A code as the EHR sends it. ``count`` is that of :func:`counts`; ``row_id`` is the latest that carries it: a
    visit, a patient, or the clinician or location itself.

    ``event_id`` is the latest stored event about that one, None when none is stored.
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
    found = _carried(connection, kind)
    if kind in _SPELLED:
        found = _with_events(connection, ExternalId.Kind.APPOINTMENT, "Appointment", found)
    elif kind in (Domain.LANGUAGE, Domain.PLAN):
        found = _with_events(connection, ExternalId.Kind.PATIENT, "Patient", found)
    else:
        found = _with_events(connection, ExternalId.Kind.APPOINTMENT, "Appointment", found, _visits(connection, kind))
    return {**_noted(connection, kind, found), **found}


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


def _visits(connection: Connection, kind: Domain) -> dict[int, int]:
    """Return the latest visit of each clinician or location."""
    rows = Appointment.objects.filter(source_id=connection.source_id, **{f"{kind}__isnull": False})
    return dict(rows.values_list(f"{kind}_id").annotate(Max("pk")).order_by())


def _with_events(
    connection: Connection, kind: str, resource: str, found: dict[Key, Seen], of_row: Mapping[int, int] | None = None
) -> dict[Key, Seen]:
    """Add the latest event about the row that carries each code, or about what ``of_row`` has for that row."""
    about = {key: each.row_id or 0 for key, each in found.items()}
    if of_row is not None:
        about = {key: of_row.get(pk, 0) for key, pk in about.items()}
    names = ExternalId.objects.filter(source_id=connection.source_id, kind=kind, object_id__in=about.values())
    subject_of = {pk: f"{resource}/{value}" for pk, value in names.values_list("object_id", "value")}
    events = InboundEvent.objects.filter(connection=connection, subject_key__in=subject_of.values())
    latest = dict(events.values_list("subject_key").annotate(Max("pk")).order_by())
    return {key: replace(each, event_id=latest.get(subject_of.get(about[key], ""))) for key, each in found.items()}


def _noted(connection: Connection, kind: Domain, found: Iterable[Key]) -> dict[Key, Seen]:
    """Return codes that were noted or mapped although nothing in the mirror carries them."""
    rows = CodeMapping.objects.filter(connection=connection, domain=kind, location__isnull=True)
    known = set(found)
    return {
        key: Seen(key, row.display, 0, row.last_seen_at)
        for row in rows
        if (key := Key(row.domain, row.system, row.code)) not in known and row.code not in _NOT_CODES
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
    """Return the codes that wait for a meaning."""
    rows = CodeMapping.objects.filter(connection=connection, state=CodeMapping.State.UNMAPPED, location__isnull=True)
    return rows.exclude(code=FREE_TEXT).exclude(domain__in=(Domain.PROVIDER, Domain.LOCATION))


def unmapped(connection: Connection) -> Counter[str]:
    """Return how many codes of each kind wait for a meaning."""
    return Counter(waiting(connection).values_list("domain", flat=True))
