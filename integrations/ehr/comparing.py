"""What an appointment of the EHR's and ours say, put side by side. Pure but for reading our rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from scheduling.models import Appointment, ExternalId, Source
from scheduling.records import AppointmentRecord

#: Both sides as plain values; a key that is missing is something the side does not say.
Said = dict[str, str]
#: What is compared, in the order in which staff read it, and the values that each is made of.
COMPARED: Mapping[str, tuple[str, ...]] = {
    "status": ("status",),
    "time": ("start", "end"),
    "provider": ("provider",),
    "patient": ("patient",),
    "location": ("location",),
    "type": ("type",),
}
_KINDS = {
    "patient": ExternalId.Kind.PATIENT,
    "provider": ExternalId.Kind.PROVIDER,
    "location": ExternalId.Kind.LOCATION,
}


def said_by(record: AppointmentRecord) -> Said:
    """Return what the EHR says."""
    said = {
        "status": record.status,
        "start": _moment(record.start),
        "end": _moment(record.end),
        "patient": record.patient_id,
        "provider": record.provider_id,
        "location": record.location_id,
        "type": record.type_code,
        "type_name": record.type_display,
    }
    return {name: value for name, value in said.items() if value}


def held(source: Source, appointment: Appointment) -> Said:
    """Return what we hold, in the EHR's own names."""
    keys = {
        "patient": appointment.patient_id,
        "provider": appointment.provider_id,
        "location": appointment.location_id,
    }
    names = ExternalId.objects.filter(
        source=source, kind__in=_KINDS.values(), object_id__in=filter(None, keys.values())
    )
    by_row = {(kind, pk): value for kind, pk, value in names.order_by("-pk").values_list("kind", "object_id", "value")}
    said = {
        "status": appointment.status,
        "start": _moment(appointment.start),
        "end": _moment(appointment.end),
        **{name: by_row.get((str(_KINDS[name]), pk), f"#{pk}") if pk else "" for name, pk in keys.items()},
        "type": appointment.type_code,
        "type_name": appointment.type_display,
    }
    return {name: value for name, value in said.items() if value}


def differing(ehr_says: Said, we_hold: Said) -> list[str]:
    """Return what differs. Where neither takes up time nothing matters; a type one side lacks is no difference."""
    if not any(takes_time(said) for said in (ehr_says, we_hold)):
        return []
    found = [name for name, keys in COMPARED.items() if _values(ehr_says, keys) != _values(we_hold, keys)]
    if "type" in found and not (ehr_says.get("type") and we_hold.get("type")):
        found.remove("type")
    return found


def takes_time(said: Said) -> bool:
    """Return whether an appointment so described takes up its time."""
    return said.get("status", "") in Appointment.OCCUPYING


def start_of(*sides: Said) -> datetime | None:
    """Return when it begins by the first side that says so."""
    return next((datetime.fromisoformat(side["start"]) for side in sides if side.get("start")), None)


def _values(said: Said, keys: Iterable[str]) -> list[str]:
    return [said.get(key, "") for key in keys]


def _moment(moment: datetime | None) -> str:
    return moment.astimezone(UTC).isoformat() if moment else ""
