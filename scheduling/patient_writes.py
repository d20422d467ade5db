"""The outbox of patients' details: what the EHR that owns them must be told, and how each attempt ended.

A correction counts here at once, and stands over what the EHR says until the EHR has it or staff decide otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from audit.context import correlation_id, current_actor
from scheduling import corrections
from scheduling.corrections import REMOVABLE, SEVERAL, Correction, Detail, normal
from scheduling.models import ExternalId, Patient, PatientWrite, Source
from scheduling.patient_contacts import enter_contact
from scheduling.patient_keys import address_index, read_phone
from scheduling.patients import keep_search_tokens
from scheduling.transitions import move
from scheduling.wake import wake
from scheduling.worklist import finish_for

Status = PatientWrite.Status
#: Longer than any one call to an EHR may take, so that a running call never loses its lease.
LEASE = timedelta(seconds=20)

CHANGED_MEANWHILE = "It changed meanwhile. Nothing was changed; look at the page again."


class CorrectionRefused(Exception):
    """A detail cannot be kept as it was entered; the text says why, in words for whoever entered it."""


def correct(patient: Patient, wanted: Sequence[Correction]) -> list[PatientWrite]:
    """Keep corrected details and have each EHR told that owns them; return what is on its way, empty where it is ours.

    Of each correction ``detail``, ``new``, ``old``, ``use`` and ``parts`` count; the rest is filled in here. One
    without ``new`` takes ``old`` away. Details that the practice owns, and those of a patient no EHR knows, stay here.
    Raises :class:`CorrectionRefused`, changing nothing.
    """
    wanted = [tidy(each) for each in wanted]
    with transaction.atomic():
        patient = Patient.objects.select_for_update(no_key=True).get(pk=patient.pk)
        based = [_based(patient, each) for each in wanted]
        _keep(patient, based)
        names = ExternalId.objects.filter(kind=ExternalId.Kind.PATIENT, object_id=patient.pk)
        told: dict[int, ExternalId] = {}
        for name in names.select_related("source").order_by("-seen_at", "pk"):
            told.setdefault(name.source_id, name)
        return [row for name in told.values() if (row := _request(patient, name, based)) is not None]


def tidy(each: Correction) -> Correction:
    """Return a correction in the form in which it is kept; raises :class:`CorrectionRefused` where it is incomplete."""
    new = " ".join(each.new.split())
    if not new and each.old and each.detail in REMOVABLE:
        return replace(each, new="")
    if each.detail == Detail.PHONE:
        new, valid, extension = read_phone(new)
        if not valid or extension:
            raise CorrectionRefused("This is no complete phone number. Write it with its area code, no extension.")
    elif each.detail == Detail.EMAIL:
        new = new.lower()
        if "@" not in new.strip("@") or " " in new:
            raise CorrectionRefused("This is no complete e-mail address. Nothing was changed.")
    if not new:
        raise CorrectionRefused(f"{each.detail.label}: nothing was entered. Nothing was changed.")
    return replace(each, new=new[:300])


def _based(patient: Patient, each: Correction) -> Correction:
    """Return the correction with what we hold now."""
    if each.detail not in SEVERAL:
        held = getattr(patient, each.detail.value) or ""
        if each.removes and each.old != held:
            raise CorrectionRefused(CHANGED_MEANWHILE)
        if held == each.new:
            raise CorrectionRefused(f"{each.detail.label}: it is on file so already. Nothing was changed.")
        return replace(each, old=held, base=(held,) if held else ())
    points = patient.contact_points.filter(system=each.detail.value)
    if (
        not each.removes
        and points.filter(guardian=True, address_index=address_index(each.detail.value, each.new)).exists()
    ):
        raise CorrectionRefused(f"{each.detail.label}: it is on file as a guardian’s. Nothing was changed.")
    base = tuple(row.value for row in points.filter(guardian=False).exclude(use="old"))
    if each.new in base:
        raise CorrectionRefused(f"{each.detail.label}: it is on file already. Nothing was changed.")
    if each.old and each.old not in base:
        raise CorrectionRefused(CHANGED_MEANWHILE)
    return replace(each, base=base)


def _keep(patient: Patient, wanted: Iterable[Correction]) -> None:
    columns: list[str] = []
    for each in wanted:
        if each.detail in SEVERAL:
            enter_contact(patient, each)
        else:
            setattr(patient, each.detail.value, None if each.removes else each.new)
            columns.append(each.detail.value)
    if columns:
        patient.save(update_fields=[*columns, "updated_at"])
    if Detail.PREFERRED_NAME in columns:
        keep_search_tokens(patient)


def _request(patient: Patient, name: ExternalId, wanted: Sequence[Correction]) -> PatientWrite | None:
    source, now = name.source, timezone.now()
    theirs = [each for each in wanted if each.detail.value not in source.practice_owns]
    if not theirs:
        return None
    row = PatientWrite.objects.create(
        patient=patient,
        source=source,
        wanted=corrections.written(_with_earlier(patient, source, theirs)),
        base_version=name.version,
        status=Status.WAITING,
        due_at=now,
        requested_by=current_actor().name[:150],
        correlation_id=correlation_id(),
    )
    wake("writebacks")
    return row


def _with_earlier(patient: Patient, source: Source, wanted: Sequence[Correction]) -> list[Correction]:
    """Take over what earlier corrections still want, and end those: a later word on the same detail replaces theirs."""
    earlier = PatientWrite.objects.filter(patient=patient, source=source, kind=PatientWrite.Kind.UPDATE)
    resting = Q(status__in=(Status.BY_HAND, Status.CONFLICT, Status.DEAD)) | Q(status=Status.WAITING, sent_at=None)
    found = list(wanted)
    for row in earlier.filter(resting).order_by("pk"):
        if not drop(row, "It was corrected again."):
            continue
        for old in corrections.read(row.wanted):
            found = _over_earlier(found, old)
    return found


def _over_earlier(found: list[Correction], old: Correction) -> list[Correction]:
    """Return what is wanted by now, given one thing more that was wanted earlier."""
    later = next((at for at, new in enumerate(found) if _replaces(new, old)), None)
    if later is None:
        return [*found, old]
    new = found[later]
    if not new.removes:
        return [*found[:later], replace(new, old=old.old, base=old.base), *found[later + 1 :]]
    # Whether the EHR has the earlier value by now or still the one before: both are to go.
    return [*found, replace(old, new="")] if old.old else found


def _replaces(new: Correction, old: Correction) -> bool:
    if new.detail != old.detail:
        return False
    if old.removes and new.detail in SEVERAL:
        return new.new == old.old
    return new.detail not in SEVERAL or new.old == old.new


def due(now: datetime | None = None, limit: int = 50) -> list[int]:
    """Return the ids of rows to take up now; of one patient at one EHR the earliest first."""
    now = now or timezone.now()
    before = PatientWrite.objects.filter(
        patient=OuterRef("patient"), source=OuterRef("source"), pk__lt=OuterRef("pk"), status__in=PatientWrite.MOVING
    )
    rows = PatientWrite.objects.filter(_is_due(now)).exclude(Exists(before))
    return list(rows.order_by("due_at").values_list("pk", flat=True)[:limit])


def _is_due(now: datetime) -> Q:
    resting = (Status.WAITING, Status.UNKNOWN, Status.BY_HAND, Status.CONFLICT)
    return Q(status__in=resting, due_at__lte=now) | Q(status=Status.SENDING, lease_until__lte=now)


def lease(write_id: int, now: datetime | None = None) -> PatientWrite | None:
    """Take a due row into our hands; None when another worker has it.

    ``sent_at`` says whether an earlier call may have worked: what a worker that died left behind is *unknown*.
    """
    now = now or timezone.now()
    row = PatientWrite.objects.select_related("source", "patient").get(pk=write_id)
    if row.status == Status.SENDING:
        lapsed = Q(lease_until__lte=now)
        if not move(row, Status.UNKNOWN, where=lapsed, due_at=now, error_code="worker_lost"):
            return None
    if row.status not in (Status.WAITING, Status.UNKNOWN, Status.BY_HAND, Status.CONFLICT):
        return None
    rested = row.status in (Status.BY_HAND, Status.CONFLICT)
    attempts = row.attempts if rested else row.attempts + 1
    taken = move(row, Status.SENDING, where=Q(due_at__lte=now), lease_until=now + LEASE, attempts=attempts)
    return row if taken else None


def keep(row: PatientWrite, *, sent: bool = False) -> bool:
    """Hold the row for a further call, with ``sent`` one that may have an effect; False when another worker has it."""
    now = timezone.now()
    fields: dict[str, Any] = {"lease_until": now + LEASE, **({"sent_at": now} if sent else {})}
    if not PatientWrite.objects.filter(_in_our_hands(row), pk=row.pk).update(**fields):
        return False
    for name, value in fields.items():
        setattr(row, name, value)
    return True


def _in_our_hands(row: PatientWrite) -> Q:
    return Q(status=Status.SENDING, lease_until=row.lease_until)


def put_down(row: PatientWrite, to: str, due_at: datetime, code: str = "", **fields: Any) -> bool:
    """End our lease with the row in state ``to``, to be taken up at ``due_at``; False when another worker has it."""
    return move(row, to, where=_in_our_hands(row), due_at=due_at, lease_until=None, error_code=code[:60], **fields)


def end(row: PatientWrite, to: str, code: str = "") -> bool:
    """End our lease and the row's work; False when another worker has it."""
    if not put_down(row, to, timezone.now(), code, finished_at=timezone.now()):
        return False
    if to != Status.DEAD:
        clear_work(row, "It was settled.")
    return True


def drop(row: PatientWrite, why: str) -> bool:
    """Give a row up that nobody works on; False when somebody does, or it ended."""
    if row.status not in (Status.WAITING, Status.BY_HAND, Status.CONFLICT, Status.DEAD):
        return False
    if not move(row, Status.DROPPED, finished_at=timezone.now()):
        return False
    clear_work(row, why)
    return True


def mark(row: PatientWrite) -> str:
    """Return a mark of what the EHR says otherwise: it differs once the EHR has changed any of it again."""
    return salted_hmac("patient_write.conflicts", json.dumps(row.conflicts, sort_keys=True)).hexdigest()


def take_theirs(row: PatientWrite) -> bool:
    """Staff choose what the EHR says of the details in conflict; the rest goes on. False when it was decided before."""
    rest = [each for each in corrections.read(row.wanted) if each.key not in row.conflicts]
    if not _is_contradicted(row):
        return False
    if not rest:
        return drop(row, "The EHR’s was taken.")
    return _go_on(row, wanted=corrections.written(rest), conflicts={})


def send_ours(row: PatientWrite) -> bool:
    """Staff choose ours over what ``row``, as it was read, has the EHR say. False when it was decided before.

    Whoever shows it keeps its :func:`mark`: what staff did not see is not theirs to overrule.
    """
    return _is_contradicted(row) and _go_on(row, overrules=row.conflicts, conflicts={})


def _is_contradicted(row: PatientWrite) -> bool:
    return row.status == Status.CONFLICT and row.kind == PatientWrite.Kind.UPDATE


def retry(row: PatientWrite) -> bool:
    """Take a dead letter up again, from its first try."""
    return row.status == Status.DEAD and _go_on(row, finished_at=None)


def _go_on(row: PatientWrite, **fields: Any) -> bool:
    if not move(row, Status.WAITING, due_at=timezone.now(), attempts=0, error_code="", **fields):
        return False
    clear_work(row, "It is on its way to the EHR.")
    wake("writebacks")
    return True


def pending(patient: Patient) -> QuerySet[PatientWrite]:
    """Return the rows of a patient that have not ended."""
    return PatientWrite.objects.filter(patient=patient, status__in=PatientWrite.LIVE).order_by("pk")


def standing(patient: Patient, detail: Detail) -> tuple[PatientWrite, str] | None:
    """Return the correction by which we hold something else of a detail than its EHR, and what that said last.

    Empty for nothing; details of which there are several are not looked at. None where the two are known to be alike.
    """
    held = normal(detail, getattr(patient, detail.value) or "")
    names = ExternalId.objects.filter(kind=ExternalId.Kind.PATIENT, object_id=OuterRef("patient"))
    read_since = names.filter(source=OuterRef("source"), seen_at__gte=OuterRef("finished_at"))
    # A dead letter stands until the EHR's own news, and one given up until the EHR was read again for that.
    stands = Q(status__in=(*PatientWrite.LIVE, Status.DEAD)) | Q(~Exists(read_since), status=Status.DROPPED)
    rows = PatientWrite.objects.filter(stands, patient=patient, kind=PatientWrite.Kind.UPDATE)
    for row in rows.order_by("-pk"):
        for each in corrections.read(row.wanted):
            if each.detail == detail and normal(detail, each.new) == held:
                told = row.conflicts.get(detail.value) or row.overrules.get(detail.value)
                return row, ", ".join(told) if told else each.old
    return None


def work_key(row: PatientWrite) -> str:
    """Return the key of the row's work item."""
    return f"patient.write:{row.pk}"


def clear_work(row: PatientWrite, why: str) -> None:
    """Close the row's work item: its reason is gone."""
    finish_for(work_key(row), why, by=current_actor().name)
