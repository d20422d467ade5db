"""Bringing what is mirrored in line with a code's meaning, soon after it changed, and as often as it takes."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from audit.log import record_changes
from integrations.mapping_effects import Fate, codes_of, fate_of
from integrations.meanings import Domain, Key, Meanings
from integrations.models import CodeMapping, Connection
from scheduling import coverages
from scheduling.models import Appointment, AppointmentType, ExternalId, Patient
from scheduling.patients import ours
from scheduling.records import ReasonVerdict
from scheduling.restating import open_given_up, restate

BATCH = 500
SETBACK = timedelta(seconds=30)
#: How the time is opened of what was given up before the code said what it meant; nothing else is opened then.
_VERDICTS: dict[Fate, ReasonVerdict] = {"offer": "rebookable", "reason": "ask_staff", "type": "unmapped_type"}


def due(now: datetime | None = None, limit: int = 50) -> list[int]:
    """Return the mappings whose mirror is to be brought in line."""
    rows = CodeMapping.objects.filter(apply_due_at__lte=now or timezone.now()).order_by("apply_due_at")
    return list(rows.values_list("pk", flat=True)[:limit])


def is_due(now: datetime) -> bool:
    """Return whether :func:`due` would find any."""
    return bool(due(now, 1))


def apply(mapping_id: int) -> bool:
    """Bring what is mirrored in line with a code's meaning; False when another worker has seen to it."""
    row = CodeMapping.objects.select_related("connection__source").filter(pk=mapping_id).first()
    if row is None or row.apply_due_at is None:
        return False
    seen = row.apply_due_at
    taken = CodeMapping.objects.filter(pk=row.pk, apply_due_at=seen)
    # Put off first: a worker that dies half-way leaves it due.
    if not taken.update(apply_due_at=timezone.now() + SETBACK):
        return False
    row.refresh_from_db(fields=["apply_due_at"])
    meanings = Meanings.of(row.connection)
    if row.domain == Domain.TYPE:
        _set_types(row, meanings)
    elif row.domain == Domain.STATUS:
        _set_statuses(row, meanings)
    elif row.domain == Domain.LANGUAGE:
        _set_language(row, meanings)
    elif row.domain == Domain.PLAN:
        _set_plans(row)
    if row.domain in (Domain.STATUS, Domain.REASON):
        _open_what_was_given_up(row)
    # Whoever changed it once more meanwhile has set a due time of their own.
    CodeMapping.objects.filter(pk=row.pk, apply_due_at=row.apply_due_at).update(apply_due_at=None)
    return True


def _set_types(row: CodeMapping, meanings: Meanings) -> None:
    """A type that lost its code stays with the visits it was known of; only what is known now is written."""
    types = dict(AppointmentType.objects.values_list("code", "pk"))
    last = 0
    while batch := list(
        Appointment.objects.filter(codes_of(row), pk__gt=last)
        .order_by("pk")
        .only("pk", "location_id", "appointment_type_id")[:BATCH]
    ):
        last = batch[-1].pk
        wanted: dict[int, list[Appointment]] = {}
        for each in batch:
            target = types.get(meanings.type_target(row.system, row.code, each.location_id) or "")
            if target is not None and each.appointment_type_id != target:
                wanted.setdefault(target, []).append(each)
        with transaction.atomic():
            # The EHR may have told of another kind meanwhile.
            still = Appointment.objects.select_for_update().filter(codes_of(row), pk__in=[each.pk for each in batch])
            carry = set(still.values_list("pk", flat=True))
            for target, visits in wanted.items():
                rows = [each for each in visits if each.pk in carry]
                Appointment.objects.filter(pk__in=[each.pk for each in rows]).update(appointment_type_id=target)
                record_changes([(each, {"appointment_type": (each.appointment_type_id, target)}) for each in rows])


def _set_statuses(row: CodeMapping, meanings: Meanings) -> None:
    rows = Appointment.objects.filter(codes_of(row)).only("pk", "status", "location_id")
    for each in rows.iterator():
        wanted = meanings.status(row.code, each.location_id)
        if each.status != wanted:
            restate(each.pk, row.code, wanted)


def given_up(row: CodeMapping) -> QuerySet[Appointment]:
    """Return the visits ahead with this code whose time we were told is given up and nobody opened so far."""
    rows = Appointment.objects.filter(codes_of(row), status_seen_at__isnull=False, start__gt=timezone.now())
    return rows.filter(openings__isnull=True, provider__isnull=False, location__isnull=False)


def _open_what_was_given_up(row: CodeMapping) -> None:
    """One by one, each in a transaction of its own: what a worker that dies has opened is not found again."""
    found = given_up(row).filter(status__in=Appointment.FREEING).order_by("start")
    for pk in found.values_list("pk", flat=True).iterator(BATCH):
        with transaction.atomic():
            # Locked as by whoever changes them: what opens here is found by the change that closes it.
            list(CodeMapping.objects.select_for_update().filter(connection_id=row.connection_id).order_by("pk"))
            connection = Connection.objects.get(pk=row.connection_id)
            open_given_up(pk, partial(_verdict, meanings=Meanings.of(connection)))


def _verdict(visit: Appointment, meanings: Meanings) -> ReasonVerdict | None:
    return _VERDICTS.get(fate_of(visit, meanings))


def _set_language(row: CodeMapping, meanings: Meanings) -> None:
    source = row.connection.source
    if "language" in ours(source):
        return
    tag = meanings.language(row.code) or ""
    names = ExternalId.objects.filter(source=source, kind=ExternalId.Kind.PATIENT).values("object_id")
    wrong = Patient.objects.filter(language_code=row.code, pk__in=names).exclude(language=tag)
    while True:
        with transaction.atomic():
            batch = list(wrong.select_for_update().order_by("pk").only("pk", "language")[:BATCH])
            if not batch:
                return
            Patient.objects.filter(pk__in=[each.pk for each in batch]).update(language=tag)
            record_changes([(each, {"language": (each.language, tag)}) for each in batch])


def _set_plans(row: CodeMapping) -> None:
    is_ours = CodeMapping.objects.filter(pk=row.pk, apply_due_at=row.apply_due_at)
    while True:
        with transaction.atomic():
            # Whoever keeps what the EHR just told has this row, and read what the codes mean after it had.
            Connection.objects.select_for_update().get(pk=row.connection_id)
            # Changed once more meanwhile: whoever applies that may have finished.
            if not is_ours.exists():
                return
            if coverages.set_plan(row.connection.source, row.system, row.code, row.target) < coverages.BATCH:
                return


def times_to_open(row: CodeMapping, target: str) -> int:
    """Return how many times that were given up already would be opened if ``row`` came to mean ``target``."""
    if row.domain not in (Domain.STATUS, Domain.REASON):
        return 0
    after = Meanings.of(row.connection).changed(Key(row.domain, row.system, row.code), row.location_id, target)
    return sum(fate_of(each, after) in _VERDICTS for each in given_up(row))
