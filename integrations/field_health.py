"""How the fields of a connection fare: counted in memory while patients are read, stored a page at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils import timezone

from integrations.fields import FIELDS
from integrations.models import Connection, FieldHealth
from scheduling.records import PatientRecord
from scheduling.worklist import ask_staff, finish_for

#: So many patients in a row whose value could not be read, and staff are told.
TOLD_AFTER = 10
#: So many in a row who have nothing where others had something: it has probably moved.
EMPTY_AFTER = 200
#: While all is well, the last good value is stored no more often than this.
KEPT_EVERY = timedelta(minutes=1)


@dataclass(slots=True)
class _Tally:
    """What was seen of a field since the last flush; the counts are of those since its last good value."""

    good: bool = False
    value: str = ""
    external_id: str = ""
    failures: int = 0
    failing_since: datetime | None = None
    problem: str = ""
    empty: int = 0


class HealthBook:
    """Counts how fields fare at one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tallies: dict[str, _Tally] = {}

    def failed(self, field: str, problem: str) -> None:
        """Count a value that could not be read; ``problem`` quotes nothing of it."""
        tally = self._tally(field)
        tally.failures += 1
        tally.failing_since = tally.failing_since or timezone.now()
        tally.problem = problem[:120]

    def note(self, record: PatientRecord, own: set[str], silent: frozenset[str] = frozenset()) -> None:
        """Count what a patient's record has and what it lacks; ``own`` are the fields with a path of the practice's.

        Of ``silent`` ones this source says nothing, so nothing is counted.
        """
        for field, declared in FIELDS.items():
            if field in silent:
                continue
            if field in record.unread:
                if field not in own:
                    self.failed(field, "it cannot be read")
                continue
            if not declared.fhirpath and field not in own:
                continue
            value = said(record, field)
            if value:
                self._tallies[field] = _Tally(True, value, record.external_id)
            elif declared.always:
                self.failed(field, "there is none")
                continue
            elif declared.usual or field in own:
                # Of what few patients have, nothing follows from one more who has none.
                tally = self._tally(field)
                tally.empty += 1

    def flush(self) -> None:
        """Store what was seen since the last time, and tell staff of what keeps failing."""
        tallies, self._tallies = self._tallies, {}
        if not tallies:
            return
        held = {row.field: row for row in FieldHealth.objects.filter(connection=self._connection)}
        for field, tally in tallies.items():
            row = held.get(field)
            if row is None:
                row = FieldHealth.objects.get_or_create(connection=self._connection, field=field)[0]
            _store(row, tally)

    def _tally(self, field: str) -> _Tally:
        return self._tallies.setdefault(field, _Tally())


def said(record: PatientRecord, field: str) -> str:
    """Return what the record says of a field, as text; empty for nothing."""
    if field in ("phones", "emails"):
        system = "phone" if field == "phones" else "email"
        return next((each.value for each in record.contacts if each.system == system and not each.guardian), "")
    value = getattr(record, field)
    if field == "emergency_contact":
        return " ".join(part for part in (value.name, value.phone) if part) if value else ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value or "")


def is_failing(row: FieldHealth) -> bool:
    """Return whether a field stopped coming: its value cannot be read, or nobody has one any more."""
    return row.failures >= TOLD_AFTER or (row.last_good_at is not None and row.empty >= EMPTY_AFTER)


def start_anew(connection: Connection, fields: Iterable[str], by: str) -> None:
    """Count fields from nothing because they are read otherwise from now on; what was asked about them is answered."""
    rows = FieldHealth.objects.filter(connection=connection, field__in=fields)
    for pk in rows.values_list("pk", flat=True):
        finish_for(_key(pk), "It is read otherwise from now on, and asked about again if it still does not come.", by)
    rows.update(failures=0, failing_since=None, empty=0)


def _key(pk: int) -> str:
    return f"field:{pk}"


def _store(row: FieldHealth, tally: _Tally) -> None:
    now = timezone.now()
    was_failing = is_failing(row)
    is_fresh = row.last_good_at is not None and now - row.last_good_at < KEPT_EVERY
    if tally.good and not tally.failures and not tally.empty and is_fresh and not row.failures and not row.empty:
        return
    rows = FieldHealth.objects.filter(pk=row.pk)
    if tally.good:
        rows.update(
            last_good_at=now,
            last_good_value=tally.value,
            last_good_external_id=tally.external_id,
            failures=tally.failures,
            failing_since=tally.failing_since,
            empty=tally.empty,
        )
    else:
        rows.update(
            failures=F("failures") + tally.failures,
            failing_since=Coalesce("failing_since", tally.failing_since),
            empty=F("empty") + tally.empty,
        )
    if tally.problem:
        rows.update(last_problem=tally.problem)
    row.refresh_from_db(fields=["failures", "failing_since", "empty", "last_good_at", "last_problem"])
    if is_failing(row):
        _tell(row)
    elif was_failing and not is_failing(row):
        finish_for(_key(row.pk), "Values come again.", "system")


def _tell(row: FieldHealth) -> None:
    label = FIELDS[row.field].label
    ask_staff(
        "mapping.field",
        f"A detail of patients no longer comes from the EHR: {label}",
        advice="What we have stays as it is. Look where it stopped, and give the path where it "
        "stands now. This closes by itself once values come again.",
        dedupe_key=_key(row.pk),
        subject=row,
    )
