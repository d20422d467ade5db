"""What a FHIR server says it can do, and in plain words what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Literal

from django.utils import timezone

from integrations.ehr.fhir.elements import Json, items
from integrations.ehr.fhir.transport import Transport
from integrations.ehr.gateway import Capabilities, GatewayError
from integrations.models import Connection

READ_AGAIN_AFTER = timedelta(days=1)
_KEY = "declared"
#: What a CapabilityStatement says; of the rest an adapter knows how it is.
STATED = frozenset(
    {
        "events",
        "search_last_updated",
        "conditional_create",
        "patch",
        "version_check",
        "writes_appointments",
        "slots",
        "book_mode",
        "retry_safety",
        "people_last_updated",
        "reads_many",
        "creates_patients",
        "conditional_patient_create",
        "corrects_patients",
        "coverage_by",
    }
)
#: Makers whose servers book exactly one open slot and refuse a taken one.
_SLOT_BOOKERS = ("cerner", "oracle", "millennium")


def of_connection(connection: Connection, transport: Transport) -> Capabilities:
    """Return what the EHR can do, asked once a day; an older answer serves while it cannot be asked."""
    known = kept(connection)
    if known and _age(known) < READ_AGAIN_AFTER:
        return _restored(known)
    try:
        statement = transport.read("metadata").resource()
    except GatewayError:
        if known:
            return _restored(known)
        raise
    declared = declared_by(statement)
    keep(connection, declared)
    return declared


def _age(known: Mapping[str, Any]) -> timedelta:
    return timezone.now() - datetime.fromisoformat(known["at"])


def _restored(known: Mapping[str, Any]) -> Capabilities:
    return Capabilities(**{**known["what"], "missing": tuple(known["what"]["missing"])})


def kept(connection: Connection) -> Mapping[str, Any]:
    """Return what the EHR at this address declared last: ``what`` by capability, ``since`` when it says so, ``at``
    when it was read; empty when it was not read yet. No call is made."""
    known = connection.capabilities.get(_KEY)
    return known if isinstance(known, dict) and known.get("of") == connection.base_url else {}


def keep(connection: Connection, declared: Capabilities) -> None:
    """Remember what the EHR declared for :data:`READ_AGAIN_AFTER`, and since when it has said so."""
    now, what, before = timezone.now().isoformat(), asdict(declared), kept(connection)
    told, since = before.get("what", {}), before.get("since", {})
    row = {
        "of": connection.base_url,
        "at": now,
        "what": what,
        "since": {name: since.get(name, now) if told.get(name) == said else now for name, said in what.items()},
    }
    connection.capabilities = {**connection.capabilities, _KEY: row}
    Connection.objects.filter(pk=connection.pk).update(capabilities=connection.capabilities)


def declared_by(statement: Json) -> Capabilities:
    """Read a CapabilityStatement."""
    server = next((rest for rest in items(statement, "rest") if rest.get("mode") == "server"), {})
    by_type = {each.get("type"): each for each in items(server, "resource")}
    appointment, slot = by_type.get("Appointment", {}), by_type.get("Slot", {})
    can = _interactions(appointment)
    one_slot = _books_one_slot(statement)
    conditional = appointment.get("conditionalCreate") is True
    declared = Capabilities(
        events="create" in _interactions(by_type.get("Subscription", {})),
        search_last_updated="_lastUpdated" in _parameters(appointment),
        conditional_create=conditional,
        patch="patch" in can,
        version_check=appointment.get("versioning") in ("versioned", "versioned-update"),
        writes_appointments="create" in can,
        slots=bool({"search-type"} & _interactions(slot)) and bool(_interactions(by_type.get("Schedule", {}))),
        book_mode="one_slot" if one_slot else "plain",
        retry_safety="conditional_create" if conditional else "slot_guard" if one_slot else "none",
        comments=True,  # Appointment.comment is part of every server's R4
        people_last_updated=all(
            "_lastUpdated" in _parameters(by_type.get(each, {})) for each in ("Patient", "Practitioner", "Location")
        ),
        reads_many=_reads_many(server, appointment),
        creates_patients="create" in _interactions(by_type.get("Patient", {})),
        conditional_patient_create=by_type.get("Patient", {}).get("conditionalCreate") is True,
        corrects_patients=_corrects_patients(_interactions(by_type.get("Patient", {}))),
        coverage_by=_coverage_by(by_type.get("Coverage", {})),
    )
    return Capabilities(**{**asdict(declared), "missing": tuple(_missing(declared, can, by_type))})


def _missing(declared: Capabilities, can: set[str], by_type: dict[Any, Json]) -> list[str]:
    wanted = {
        "It does not offer appointments to read: nothing can be mirrored.": "read" in can and "search-type" in can,
        "It does not take new appointments: staff enter each booking by hand.": declared.writes_appointments,
        "It cannot change an appointment: cancelling for a move-up is left to staff.": bool({"patch", "update"} & can),
        "It cannot recognise a repeated booking: a lost answer is left to staff.": declared.retry_safety != "none",
        "It cannot search by time of change: whole days are compared instead.": declared.search_last_updated,
        "It has no patients to read.": "read" in _interactions(by_type.get("Patient", {})),
    }
    return [sentence for sentence, is_there in wanted.items() if not is_there]


def _reads_many(server: Json, appointment: Json) -> Literal["", "batch", "ids"]:
    """A batch of reads is as good as each read; a search by ids may lag behind and says nothing of what is missing."""
    if "batch" in _interactions(server):
        return "batch"
    return "ids" if "_id" in _parameters(appointment) else ""


def _coverage_by(coverage: Json) -> Literal["", "patient", "beneficiary"]:
    """US Core asks for ``patient``; R4 has ``beneficiary`` beside it, and both find the same."""
    if "search-type" not in _interactions(coverage):
        return ""
    known = _parameters(coverage)
    return "patient" if "patient" in known else "beneficiary" if "beneficiary" in known else ""


def _corrects_patients(can: set[str]) -> Literal["", "patch", "put"]:
    return "patch" if "patch" in can else "put" if "update" in can else ""


def _interactions(resource: Json) -> set[str]:
    return {str(each.get("code")) for each in items(resource, "interaction")}


def _parameters(resource: Json) -> set[str]:
    return {str(each.get("name")) for each in items(resource, "searchParam")}


def _books_one_slot(statement: Json) -> bool:
    software = statement.get("software")
    name = software.get("name") if isinstance(software, dict) else ""
    said = f"{name} {statement.get('publisher') or ''}".lower()
    return any(maker in said for maker in _SLOT_BOOKERS)
