"""What the EHR's codes mean here. A code that nobody mapped is kept, shown, and holds up what depends on it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.db.models import F
from django.utils import timezone

from integrations.models import CodeMapping, Connection
from scheduling.models import Appointment, AppointmentType
from scheduling.records import ReasonVerdict
from scheduling.worklist import ask_staff, finish_for

Domain = CodeMapping.Domain
Key = tuple[str, str, str]

#: HL7's own cancellation reasons by the beginning of their code: the patient's reasons free the time, the
#: provider's and the room's do not, anything else is for a person to say.
HL7_REASONS = "http://terminology.hl7.org/CodeSystem/appointment-cancellation-reason"
_HL7_MEANING = {
    "pat": CodeMapping.REBOOKABLE,
    "prov": CodeMapping.NOT_REBOOKABLE,
    "maint": CodeMapping.NOT_REBOOKABLE,
    "meds-inc": CodeMapping.REBOOKABLE,
    "other": CodeMapping.ASK_STAFF,
    "oth": CodeMapping.ASK_STAFF,
}
_VERDICTS: dict[str, ReasonVerdict] = {
    CodeMapping.REBOOKABLE: "rebookable",
    CodeMapping.NOT_REBOOKABLE: "not_rebookable",
    CodeMapping.ASK_STAFF: "ask_staff",
}
_MISSING: dict[str, ReasonVerdict] = {
    Connection.MissingReason.OFFER: "missing",
    Connection.MissingReason.STAFF: "ask_staff",
    Connection.MissingReason.NOTHING: "not_rebookable",
}
_STATUSES = frozenset(Appointment.Status.values) - {Appointment.Status.UNKNOWN}


class CodeBook:
    """The meanings of one connection's codes, read once and asked many times.

    Unmapped codes are counted in memory; :meth:`flush` stores the counts and tells staff of codes that are new.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._targets: dict[Key, str | None] | None = None
        self._seen: Counter[Key] = Counter()
        self._displays: dict[Key, str] = {}

    def status(self, code: str) -> str:
        """Return the appointment status a code stands for, ``unknown`` when nobody mapped it."""
        if code in _STATUSES:
            return code
        target = self._target(Domain.STATUS, "", code, "")
        return target if target in _STATUSES else Appointment.Status.UNKNOWN

    def type_target(self, system: str, code: str, display: str) -> str | None:
        """Return our appointment type's code; empty when there is no code to map, None when nobody mapped it."""
        return self._target(Domain.TYPE, system, code, display) if code else ""

    def reason(self, system: str, code: str, display: str) -> ReasonVerdict:
        """Return what a cancellation for this reason means for its time."""
        if not code:
            return _MISSING[self._connection.missing_reason]
        target = self._target(Domain.REASON, system, code, display)
        return _VERDICTS.get(target or "", "unmapped")

    def flush(self) -> None:
        """Store what was seen since the last time: counts of unmapped codes, and new codes as work for staff."""
        seen, self._seen = self._seen, Counter()
        for key, times in seen.items():
            _note(self._connection, key, self._displays.get(key, ""), times)

    def _target(self, domain: str, system: str, code: str, display: str) -> str | None:
        if self._targets is None:
            self._targets = _targets_of(self._connection)
        key = (str(domain), system, code)
        target = self._targets.get(key) or standard_target(*key)
        if target is None:
            self._seen[key] += 1
            self._displays.setdefault(key, display)
        return target


def standard_target(domain: str, system: str, code: str) -> str | None:
    """Return what a code of HL7's own list means unless the practice says otherwise; None for any other code."""
    if domain != Domain.REASON or system != HL7_REASONS:
        return None
    return _HL7_MEANING.get(code) or _HL7_MEANING.get(code.partition("-")[0])


def _targets_of(connection: Connection) -> dict[Key, str | None]:
    rows = CodeMapping.objects.filter(connection=connection, state=CodeMapping.State.MAPPED)
    return {(row.domain, row.system, row.code): row.target for row in rows}


def _note(connection: Connection, key: Key, display: str, times: int) -> None:
    domain, system, code = key
    row, created = CodeMapping.objects.get_or_create(
        connection=connection,
        domain=domain,
        system=system,
        code=code,
        defaults={"display": display, "times_seen": times, "last_seen_at": timezone.now()},
    )
    if not created:
        CodeMapping.objects.filter(pk=row.pk).update(times_seen=F("times_seen") + times, last_seen_at=timezone.now())
    if row.state == CodeMapping.State.UNMAPPED:
        _ask(row)


def _ask(row: CodeMapping) -> None:
    consequence = {
        Domain.TYPE: "Time of such visits is not offered by itself.",
        Domain.REASON: "Time freed for this reason waits for you.",
        Domain.STATUS: "Such appointments free no time.",
    }[Domain(row.domain)]
    ask_staff(
        f"mapping.{row.domain}",
        f"A code of the EHR is not mapped yet: {Domain(row.domain).label}",
        advice=f"{consequence} Say under Code mappings what it means; it then holds for all.",
        dedupe_key=_dedupe_key(row),
        subject=row,
    )


def _dedupe_key(row: CodeMapping) -> str:
    return f"mapping:{row.pk}"


def map_code(
    connection: Connection, domain: str, system: str, code: str, target: str, *, display: str = "", by: str = "system"
) -> CodeMapping:
    """Say what a code means; raises ValueError for a target that does not exist."""
    if target not in allowed_targets(domain):
        raise ValueError(f"{target} is not something a code of kind {domain} can mean.")
    defaults: dict[str, Any] = {"target": target, "state": CodeMapping.State.MAPPED}
    if display:
        defaults["display"] = display
    row, _ = CodeMapping.objects.update_or_create(
        connection=connection, domain=domain, system=system, code=code, defaults=defaults
    )
    finish_for(_dedupe_key(row), "The code was mapped.", by)
    return row


def allowed_targets(domain: str) -> set[str]:
    """Return everything a code of this kind can be mapped to."""
    if domain == Domain.TYPE:
        return set(AppointmentType.objects.values_list("code", flat=True))
    return set(_VERDICTS) if domain == Domain.REASON else set(_STATUSES)
