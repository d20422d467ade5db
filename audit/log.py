"""Recording who did what, and registering models whose changes are logged."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from auditlog.diff import model_instance_diff
from auditlog.models import LogEntry
from auditlog.registry import auditlog
from django.contrib.contenttypes.models import ContentType
from django.db import models

from audit import context
from audit.context import ActorKind
from audit.fields import BlindIndexField, EncryptedMixin
from audit.models import AccessRecord
from audit.stamping import stamp

MASK = "•••"
VOLATILE_FIELDS = frozenset({"updated_at", "modified_at"})
INDEX_ENDINGS = ("_index", "_tokens")
LONGEST_DETAIL_TEXT = 200

Changes = Mapping[str, tuple[Any, Any]]
Detail = Mapping[str, Any]


def record(
    action: str,
    *,
    subject: models.Model | None = None,
    subject_kind: str = "",
    subject_id: int | str = "",
    location_id: int | None = None,
    result: str = AccessRecord.Result.DONE,
    reason: str = "",
    detail: Detail | None = None,
) -> AccessRecord:
    """Adds an `AccessRecord` with actor, address and correlation id of the context.

    The subject is a model instance, or its kind ("scheduling.patient") and id. ``detail`` takes numbers, booleans,
    None, short words of ours and lists of these, and no patient data; anything else raises ValueError.
    It is written in the current transaction: what is rolled back was not done.
    """
    row = _access_record(action, location_id, result, reason, detail)
    _set_subject(row, subject, subject_kind, subject_id)
    row.save(force_insert=True)
    return row


def record_each(
    action: str,
    subjects: Iterable[models.Model],
    *,
    location_id: int | None = None,
    result: str = AccessRecord.Result.DONE,
    reason: str = "",
    detail: Detail | None = None,
) -> int:
    """One `AccessRecord` for each subject, in one statement: for lists and exports. Gives their number."""
    rows = []
    for subject in subjects:
        row = _access_record(action, location_id, result, reason, detail)
        _set_subject(row, subject, "", "")
        rows.append(row)
    AccessRecord.objects.bulk_create(rows, batch_size=500)
    return len(rows)


def _access_record(
    action: str, location_id: int | None, result: str, reason: str, detail: Detail | None
) -> AccessRecord:
    actor = context.current_actor()
    return AccessRecord(
        actor_kind=actor.kind,
        actor_name=actor.name[:150],
        user_id=actor.user_id if actor.kind == ActorKind.USER else None,
        action=AccessRecord.Action(action),
        location_id=location_id,
        source_address=context.source_address(),
        result=AccessRecord.Result(result),
        reason=(reason or context.reason())[:200],
        correlation_id=context.correlation_id(),
        detail=_checked(detail or {}),
    )


def _set_subject(row: AccessRecord, subject: models.Model | None, kind: str, identifier: int | str) -> None:
    if subject is not None:
        kind, identifier = subject._meta.label_lower, str(subject.pk)
    row.subject_kind = kind
    row.subject_id = str(identifier)[:64]


def _checked(detail: Detail) -> dict[str, Any]:
    for name, value in detail.items():
        for item in value if isinstance(value, list | tuple) else [value]:
            if isinstance(item, str) and len(item) <= LONGEST_DETAIL_TEXT:
                continue
            if item is None or isinstance(item, bool | int | float):
                continue
            raise ValueError(f"Audit detail '{name}' must be a number, a short word of ours, or a list of these.")
    return dict(detail)


def record_change(instance: models.Model, changes: Changes, *, action: int = LogEntry.Action.UPDATE) -> LogEntry:
    """The log entry for a change that ``queryset.update()`` made: ``{"state": ("open", "claimed")}``.

    Encrypted and other masked fields of the model are masked here too.
    """
    return record_changes([(instance, changes)], action=action)[0]


def record_changes(
    changed: Iterable[tuple[models.Model, Changes]], *, action: int = LogEntry.Action.UPDATE
) -> list[LogEntry]:
    """Like `record_change` for several instances, in one statement."""
    entries = [stamp(_entry(instance, changes, action)) for instance, changes in changed]
    return LogEntry.objects.bulk_create(entries, batch_size=500)


def record_created(instances: Iterable[models.Model]) -> list[LogEntry]:
    """The log entries that saving these new rows one by one would have left, for rows that were inserted in bulk.

    Rows of models that are not registered leave none.
    """
    created = [
        (instance, model_instance_diff(None, instance)) for instance in instances if auditlog.contains(type(instance))
    ]
    return record_changes(created, action=LogEntry.Action.CREATE)


def _entry(instance: models.Model, changes: Changes, action: int) -> LogEntry:
    masked = masked_fields(type(instance))
    return LogEntry(
        content_type=ContentType.objects.get_for_model(instance),
        object_pk=str(instance.pk),
        object_id=instance.pk if isinstance(instance.pk, int) else None,
        object_repr=str(instance),
        action=action,
        changes={
            name: [MASK, MASK] if name in masked else [str(old), str(new)] for name, (old, new) in changes.items()
        },
    )


def mask(value: str) -> str:
    """Hides all of a value. Set as ``AUDITLOG_MASK_CALLABLE``."""
    return MASK


def masked_fields(model: type[models.Model]) -> set[str]:
    """The fields whose values the log never shows: encrypted ones, their indexes, and those named on registration."""
    names = {
        field.name
        for field in model._meta.concrete_fields
        if isinstance(field, EncryptedMixin | BlindIndexField) or field.name.endswith(INDEX_ENDINGS)
    }
    if auditlog.contains(model):
        names.update(auditlog.get_model_fields(model)["mask_fields"])
    return names


def register_model(
    model: type[models.Model],
    *,
    mask_fields: Collection[str] = (),
    exclude: Collection[str] = (),
    m2m_fields: Collection[str] = (),
) -> None:
    """Has django-auditlog log each change of the model; encrypted and index fields are masked by themselves.

    ``exclude`` names fields that change all the time and matter to nobody; ``updated_at`` is among them already.
    Binary fields are left out too: django-auditlog reads them as UTF-8 and fails on anything else. So are other
    models' relations to this one, which it would query for each new row, to note nothing of it.
    """
    known = {field.name for field in model._meta.get_fields()}
    for name in (*mask_fields, *exclude, *m2m_fields):
        if name not in known:
            raise ValueError(f"{model._meta.label} has no field '{name}' to mask, exclude or log.")
    binary = {field.name for field in model._meta.concrete_fields if isinstance(field, models.BinaryField)}
    relations = {field.name for field in model._meta.get_fields() if field.auto_created and not field.concrete}
    if auditlog.contains(model):
        auditlog.unregister(model)
    auditlog.register(
        model,
        mask_fields=sorted(masked_fields(model) | set(mask_fields)),
        mask_callable="audit.log.mask",
        exclude_fields=sorted((VOLATILE_FIELDS & known) | binary | relations | set(exclude)),
        m2m_fields=set(m2m_fields),
    )
