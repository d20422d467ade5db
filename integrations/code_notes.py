"""Codes that nobody mapped: noted, and asked about once."""

from __future__ import annotations

from django.utils import timezone

from audit.log import record_change
from integrations.meanings import Domain, Key
from integrations.models import CodeMapping, Connection
from scheduling.worklist import ask_staff

_CONSEQUENCES = {
    Domain.TYPE: "Time of such visits is not offered by itself.",
    Domain.REASON: "Time freed for this reason waits for you.",
    Domain.STATUS: "Such appointments free no time.",
    Domain.LANGUAGE: "Such patients are written to in English.",
    Domain.PLAN: "Who has it is offered a visit that needs insurance by a person only.",
}


def note(connection: Connection, key: Key, display: str) -> None:
    """Note that a code came which nobody mapped, and ask staff when it is new."""
    row, created = CodeMapping.objects.get_or_create(
        connection=connection,
        domain=key.domain,
        system=key.system,
        code=key.code,
        location=None,
        defaults={"display": display, "last_seen_at": timezone.now()},
    )
    if not created:
        seen = CodeMapping.objects.filter(pk=row.pk)
        seen.update(last_seen_at=timezone.now())
        if display and not row.display and seen.update(display=display):
            record_change(row, {"display": ("", display)})
    if row.state == CodeMapping.State.UNMAPPED:
        ask_about(row)


def ask_about(row: CodeMapping) -> None:
    """Ask staff what a code means; once, however often it comes."""
    ask_staff(
        f"mapping.{row.domain}",
        f"A code of the EHR is not mapped yet: {Domain(row.domain).label}",
        advice=f"{_CONSEQUENCES[Domain(row.domain)]} Say once what it means; it then holds for all.",
        dedupe_key=dedupe_key(row),
        subject=row,
    )


def dedupe_key(row: CodeMapping) -> str:
    """Return the worklist's key of the question what a code means."""
    return f"mapping:{row.pk}"
