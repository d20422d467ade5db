"""Whether a source is in shadow: its calendar is read and everything computed, but nothing is offered, sent or written.

Each gate asks the database anew, since a shadow run may have begun after its row was read.
"""

from __future__ import annotations

from django.db.models import Q

from scheduling.models import ExternalId, Source

IN_SHADOW = Q(shadow_since__isnull=False, shadow_until__isnull=True)


def is_on(source_id: int) -> bool:
    """Return whether the source is in shadow now."""
    return Source.objects.filter(IN_SHADOW, pk=source_id).exists()


def names() -> list[str]:
    """Return the names of the sources that are in shadow, in order."""
    return list(Source.objects.filter(IN_SHADOW).order_by("name").values_list("name", flat=True))


def covers(patient_id: int | None) -> bool:
    """Return whether a patient is known to no source but those in shadow; for None, whether any is in shadow."""
    shadowed = list(Source.objects.filter(IN_SHADOW).values_list("pk", flat=True))
    if not shadowed or patient_id is None:
        return bool(shadowed)
    known = ExternalId.objects.filter(kind=ExternalId.Kind.PATIENT, object_id=patient_id)
    return not known.exclude(source__in=shadowed).exists()
