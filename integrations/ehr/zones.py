"""The time zone of a place at an EHR: times without an offset are read in it."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from integrations.models import Connection
from scheduling.models import ExternalId, Location


def mirrored(connection: Connection, location_id: str) -> ZoneInfo | None:
    """Return the zone of the location that the EHR calls ``location_id``, None when we do not know the place."""
    names = ExternalId.objects.filter(source_id=connection.source_id, kind=ExternalId.Kind.LOCATION, value=location_id)
    row = Location.objects.filter(pk__in=names.values("object_id")).first()
    return row.zone if row else None
