"""Two descriptions of a person side by side, line by line, with what differs said in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from scheduling.matching import Reason
from scheduling.models import ContactPoint, Patient, PatientReview

Verdict = Literal["same", "different", "one_side", "unknown"]


@dataclass(frozen=True, slots=True)
class Line:
    """One thing both sides say, as staff read it; the lists hold one text per value, none for ``nothing``."""

    label: str
    left: tuple[str, ...]
    right: tuple[str, ...]
    nothing: str = "not known"

    @property
    def verdict(self) -> Verdict:
        """Whether the sides agree; several values agree where they share one."""
        left, right = {_plain(each) for each in self.left}, {_plain(each) for each in self.right}
        if not left and not right:
            return "unknown"
        if not left or not right:
            return "one_side"
        return "same" if left & right else "different"


_NOTHING = {"Locations": "none named"}


def lines(review: PatientReview) -> list[Line]:
    """Return the lines of a review: on the left its patient, on the right the other one or who is described."""
    left = _of_patient(review.patient)
    right = _of_patient(review.other) if review.other is not None else _of_description(review.described or {})
    return [
        Line(label, left[label], right.get(label, ()), _NOTHING.get(label, "not known"))
        for label in left
        if left[label] or right.get(label)
    ]


def why(reasons: Iterable[str]) -> str:
    """Return the codes of :class:`~scheduling.matching.Reason` as one sentence."""
    labels = {str(reason): reason.label for reason in Reason}
    text = ", ".join(labels[each] for each in reasons if each in labels)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def language_name(tag: str) -> str:
    """Return a language in words: "Spanish" for es-MX; the tag itself where there is no word of ours."""
    return {"en": "English", "es": "Spanish"}.get(tag[:2].lower(), tag)


def _of_patient(patient: Patient) -> dict[str, tuple[str, ...]]:
    contacts = [each for each in patient.contact_points.all() if each.use != "old"]
    emergency = patient.emergency_contact or {}
    return {
        "First name": _some(patient.given_name),
        "Called": _some(patient.preferred_name),
        "Family name": _some(patient.family_name),
        "Born": _some(_day(patient.birth_date)),
        "Numbers": tuple(each.value for each in patient.identifiers.all()),
        "Phones": tuple(each.value for each in contacts if each.system == ContactPoint.System.PHONE),
        "E-mail": tuple(each.value for each in contacts if each.system == ContactPoint.System.EMAIL),
        "Address": _some(patient.address or ""),
        "Emergency contact": _some(" ".join(str(emergency.get(part) or "") for part in ("name", "phone"))),
        "Language": _some(language_name(patient.language)),
        "Record": (_standing(patient),),
        "Locations": tuple(place.name for place in patient.locations.all()),
    }


def _of_description(written: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    born = written.get("birth_date") or ""
    return {
        "First name": _some(written.get("given_name", "")),
        "Family name": _some(written.get("family_name", "")),
        "Born": _some(_day(date.fromisoformat(born)) if born else ""),
        "Numbers": tuple(value for _, value in written.get("numbers", ())),
        "Phones": tuple(written.get("phones", ())),
    }


def _standing(patient: Patient) -> str:
    if patient.deceased:
        return "deceased"
    if patient.replaced_by_id is not None:
        return "replaced by another record"
    if patient.restricted:
        return "restricted"
    return "in use" if patient.active else "inactive in the EHR"


def _day(day: date | None) -> str:
    return f"{day:%b} {day.day}, {day.year}" if day else ""


def _some(text: str) -> tuple[str, ...]:
    return (text.strip(),) if text.strip() else ()


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
