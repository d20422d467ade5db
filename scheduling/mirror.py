"""Which version of what the source calls by which name we hold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db.models import F, Q

from scheduling.exceptions import UnknownReference
from scheduling.models import ExternalId, Source

#: Stands for the version of a visit of which we do not know whose it is, until the EHR is read again. No EHR's own
#: version begins like that, so it is never sent.
IN_DOUBT = "~in doubt"


def known(source: Source, kind: str, value: str) -> ExternalId | None:
    """Return our name for what ``source`` calls ``value``, or None."""
    return ExternalId.objects.filter(source=source, kind=kind, value=value).first()


def object_id(source: Source, kind: str, value: str) -> int | None:
    """Return the key of our row for ``value``, None for an empty one; raises UnknownReference when there is none."""
    return object_ids(source, {kind: value})[kind]


def object_ids(source: Source, values: Mapping[str, str]) -> dict[str, int | None]:
    """Return :func:`object_id` of one name per kind, in one query."""
    names = ExternalId.objects.filter(source=source, kind__in=values, value__in=values.values())
    found = {(kind, value): pk for kind, value, pk in names.values_list("kind", "value", "object_id")}
    for kind, value in values.items():
        if value and (kind, value) not in found:
            raise UnknownReference(kind, value)
    return {kind: found.get((kind, value)) for kind, value in values.items()}


def external_value(source: Source, kind: str, pk: int) -> str:
    """Return what ``source`` calls our row ``pk``, of several names the one it used last.

    Raises UnknownReference when it has no name there.
    """
    return external_values(source, {kind: pk})[kind]


def external_values(source: Source, rows: Mapping[str, int]) -> dict[str, str]:
    """Return :func:`external_value` of one row per kind, in one query."""
    asked = Q(*(Q(kind=kind, object_id=pk) for kind, pk in rows.items()), _connector=Q.OR)
    names = ExternalId.objects.filter(asked, source=source).order_by(F("seen_at").desc(nulls_last=True), "pk")
    found: dict[str, str] = {}
    for kind, value in names.values_list("kind", "value"):
        found.setdefault(kind, value)
    for kind in rows:
        if kind not in found:
            raise UnknownReference(kind, "")
    return found


def held_version(source_id: int, kind: str, pk: int) -> str:
    """Return the version we hold of our row ``pk`` at the source; empty for a row it has no name for."""
    names = ExternalId.objects.filter(source_id=source_id, kind=kind, object_id=pk)
    return names.order_by("pk").values_list("version", flat=True).first() or ""


def describes(external: ExternalId) -> bool:
    """Whether what stands under this name describes our row: of several names only the first one does."""
    earlier = ExternalId.objects.filter(source_id=external.source_id, kind=external.kind, object_id=external.object_id)
    return not earlier.filter(pk__lt=external.pk).exists()


def accept(external: ExternalId, version: str, fetched_at: datetime) -> bool:
    """Take ``version`` as the one we hold, unless a fetch that began later already told us more.

    The UPDATE also locks the row until the transaction ends, so that two workers apply one after the other.
    """
    newer = ExternalId.objects.filter(pk=external.pk).filter(Q(seen_at__isnull=True) | Q(seen_at__lte=fetched_at))
    if not newer.update(version=version, seen_at=fetched_at):
        return False
    external.version, external.seen_at = version, fetched_at
    return True


def name(source: Source, kind: str, value: str, pk: int, *, version: str, fetched_at: datetime) -> ExternalId:
    """Remember what ``source`` calls our new row ``pk``; IntegrityError when it has another by that name."""
    return ExternalId.objects.create(
        source=source, kind=kind, value=value, object_id=pk, version=version, seen_at=fetched_at
    )
