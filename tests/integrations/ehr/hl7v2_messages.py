"""HL7 v2 messages for tests: the real ones, and what is made of them by changing fields."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.utils import timezone

from tests.integrations.ehr.payload_ehr import payload

#: The real messages have one that was valid in 2000.
HOME = "1000&Hospital Lane^Ste. 123^Ann Arbor^MI^99999^USA^H"


def real(name: str) -> str:
    """A message such as ``SIU-S12``, its segments ended as the standard asks."""
    text = payload(f"hl7v2/{name}-01.hl7").decode()
    return "\r".join(text.replace("\r\n", "\r").replace("\n", "\r").strip().split("\r"))


def changed(message: str, **fields: str | None) -> str:
    """The message with fields of its first such segment set, as in ``PID_7="19800101"``; None removes the segment."""
    lines = message.split("\r")
    for name, value in fields.items():
        kind, _, number = name.partition("_")
        at = next((place for place, line in enumerate(lines) if line.startswith(kind)), None)
        if at is None:
            continue
        if value is None:
            lines = [line for line in lines if not line.startswith(kind)]
            continue
        parts = lines[at].split("|")
        position = int(number) - (kind == "MSH")
        parts += [""] * (position + 1 - len(parts))
        parts[position] = value
        lines[at] = "|".join(parts)
    return "\r".join(lines)


def stamp(moment: datetime) -> str:
    """A moment as HL7 v2 writes it."""
    return f"{moment.astimezone(UTC):%Y%m%d%H%M%S}+0000"


def soon(days: float = 3) -> datetime:
    """The beginning of a visit, on the hour, some days ahead."""
    return (timezone.now() + timedelta(days=days)).replace(minute=0, second=0, microsecond=0)


def siu(trigger: str, start: datetime | None = None, *, minutes_ago: float = 0, **fields: str | None) -> bytes:
    """The real SIU of this event, of the visit at ``start``, made ``minutes_ago``."""
    begin = start or soon()
    text = real(f"SIU-{trigger}")
    text = text.replace("20210924093000+0215", stamp(begin)).replace(
        "20210924102000+0215", stamp(begin + timedelta(minutes=50))
    )
    sent = timezone.now() - timedelta(minutes=minutes_ago)
    wanted: dict[str, str | None] = {**_fresh(trigger, sent), "SCH_6": ""}
    return changed(text, **{**wanted, **fields}).encode()


def adt(trigger: str = "A08", *, minutes_ago: float = 0, **fields: str | None) -> bytes:
    """The real ADT of this event, made ``minutes_ago``."""
    sent = timezone.now() - timedelta(minutes=minutes_ago)
    wanted: dict[str, str | None] = {**_fresh(trigger, sent), "PID_11": HOME}
    return changed(real(f"ADT-{trigger}"), **{**wanted, **fields}).encode()


def _fresh(trigger: str, sent: datetime) -> dict[str, str | None]:
    """A time and a control id of its own; and the patient, who is dead in the real messages, lives."""
    return {"MSH_7": stamp(sent), "MSH_10": f"{trigger}-{sent:%H%M%S%f}", "PID_29": "", "PID_30": ""}
