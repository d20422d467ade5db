"""Oracle Health (Millennium) R4: books one open slot for one patient, and is searched place by place.

Its CapabilityStatement does not say that searches for appointments need a patient, practitioner or location beside the
date, that identifiers of ours are dropped, or that a taken slot is refused by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from integrations.ehr.fhir.adapter import FhirGateway
from integrations.ehr.fhir.windows import window
from integrations.models import Connection
from scheduling.models import ExternalId, Writeback


class OracleGateway(FhirGateway):
    """An open connection to one Millennium domain."""

    known_better: Mapping[str, Any] = {
        "search_last_updated": False,
        "conditional_create": False,
        "finds_by_identifier": False,
        "book_mode": "one_slot",
        "retry_safety": "slot_guard",
    }

    def window_searches(self, asked: list[tuple[str, str]] | None = None) -> list[list[tuple[str, str]]]:
        """Return one search for each location we mirror: the EHR takes only narrow ones."""
        places = ExternalId.objects.filter(source_id=self._connection.source_id, kind=ExternalId.Kind.LOCATION)
        return [
            [("location", place), *(asked or window())]
            for place in places.order_by("pk").values_list("value", flat=True)
        ]


def open_gateway(connection: Connection, *, writeback: Writeback | None = None) -> OracleGateway:
    """Open the gateway of an Oracle Health connection. Nothing is sent yet."""
    return OracleGateway(connection, writeback)
