"""An HL7 v2 patient as the FHIR resource that says the same, after HL7's own mapping of v2 to FHIR.

So what is known of names that are over, ranks, guardians and emergency contacts holds for both. What a message leaves
out is another matter: :func:`silent` names the details that it says nothing of, which stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.utils import timezone

from integrations.ehr.fhir.elements import Json
from integrations.ehr.hl7v2.segments import Message, Part, Segment

#: Table 0200, names. Of a type that is not here (alias, maiden, partner, …) nobody goes by it now.
_NAME_USES = {"L": "official", "D": "usual", "N": "nickname", "T": "temp", "": "", "U": ""}
#: Table 0190, addresses. Bad ones, and those of birth or burial, are where nobody is reached.
_ADDRESS_USES = {"H": "home", "P": "home", "L": "home", "C": "temp", "M": "", "": "", "O": "work", "B": "work"}
#: Table 0201, what a telephone is for, and 0202, what it is.
_PHONE_USES = {"PRN": "home", "ORN": "home", "WPN": "work", "VHN": "temp", "PRS": "mobile"}
_NO_PHONES = frozenset({"FX", "MD", "BP", "TDD", "TTY", "X.400"})
_NOT_THEIR_OWN = frozenset({"ASN", "BPN", "EMR"})
#: Table 0063, relationships, as FHIR's role codes; 0131, what somebody is asked for.
_RELATIONS = {"MTH": "MTH", "FTH": "FTH", "PAR": "PRN", "GRD": "GUARD", "EMC": "C"}
_EMERGENCY = frozenset({"C", "EP", "ECON"})
_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})\d*(\.\d+)?([+-]\d{4})?")


def patient(message: Message, external_id: str, mrn_system: str, number: str) -> Json:
    """Return the patient of a message. ``number`` is their medical record number in ``mrn_system``."""
    pid = message.first("PID")
    resource: Json = {
        "resourceType": "Patient",
        "id": external_id,
        "identifier": [{"system": mrn_system, "value": number}],
        "contact": [_contact(each, is_emergency=wanted) for each, wanted in _next_of_kin(message)],
    }
    if pid is None:
        return resource
    resource["name"] = [
        *_names(pid, 5, _NAME_USES),
        *_names(pid, 9, {"": "nickname", "N": "nickname", "D": "nickname"}),
    ]
    resource["telecom"] = list(_telecom(pid))
    resource["address"] = [address(each) for each in pid.parts(11)]
    resource["deceasedBoolean"] = pid.said(30) == "Y" or bool(pid.said(29))
    if born := pid.said(7):
        resource["birthDate"] = day(born)
    if language := pid.said(15, 1) or pid.said(15, 2):
        resource["communication"] = [{"language": {"coding": [{"code": language}]}, "preferred": True}]
    return resource


def silent(message: Message) -> frozenset[str]:
    """Return the details, by their key, of which the message says nothing: neither a value nor that it is deleted."""
    pid = message.first("PID")
    if pid is None:
        return frozenset({*_DETAILS, "phones", "emails", "given_name", "family_name", "preferred_name", "deceased"})
    fields = {"birth_date": 7, "language": 15, "address": 11}
    found = {"active", "portal_active", *(key for key, field in fields.items() if not pid.parts(field))}
    legal = _legal(pid)
    for key, component in (("family_name", 1), ("given_name", 2)):
        if legal is None or legal.said(component) is None:
            found.add(key)
    if not any(_type(each) in ("N", "D") for each in pid.parts(5)) and not pid.parts(9):
        found.add("preferred_name")
    if not pid.parts(30) and not pid.parts(29):
        found.add("deceased")
    if not any(each.parts(2) for each in message.all("NK1")):
        found.add("emergency_contact")
    if {"work", "other"} <= silent_lists(message):
        found |= {"phones", "emails"}
    return frozenset(found)


_DETAILS = ("birth_date", "language", "address", "active", "portal_active", "emergency_contact")


#: The lists of contact points, each of which a message tells or leaves out.
LISTS = frozenset({"work", "other", "guardian"})


def silent_lists(message: Message) -> frozenset[str]:
    """Return which lists of contact points the message leaves out: ``work``, ``other``, ``guardian``.

    A list that is sent replaces the one before, as a whole.
    """
    pid = message.first("PID")
    if pid is None:
        return LISTS
    beside = {"work" if each.said(2) == "WPN" else "other" for each in pid.parts(40)}
    told = {name for name, field in (("other", 13), ("work", 14)) if pid.parts(field)} | beside
    told |= {"guardian"} if message.first("NK1") is not None else set()
    return LISTS - told


def day(value: str) -> str:
    """Return a date as FHIR writes it; what is none comes back as it is, to be shown as unreadable."""
    match = _DATE.fullmatch(value.strip())
    return "-".join(match.groups()[:3]) if match else value


def address(part: Part) -> Json:
    """Return an XAD as FHIR's Address."""
    street, *others = (part.said(1, sub) or "" for sub in (1, 2, 3))
    # Some write the street whole, some its name and the number of the house apart.
    lines = [street if " " in street or not any(others) else " ".join(filter(None, (street, *others)))]
    held: Json = {
        "use": _ADDRESS_USES.get(part.said(7) or "", "old"),
        "line": [line for line in (*lines, part.said(2)) if line],
        **{name: part.said(at) or "" for name, at in (("city", 3), ("state", 4), ("postalCode", 5))},
    }
    return held | _period(part.said(13) or part.said(12, 1), part.said(14) or part.said(12, 2))


def contact_points(part: Part, rank: int, use: str = "") -> Iterator[Json]:
    """Yield the telephone number and the e-mail address of an XTN; ``rank`` where it has no order of preference."""
    said_for, kind, plain = part.said(2) or "", (part.said(3) or "").upper(), part.said(1) or ""
    order = part.said(18) or ""
    held: Json = {"rank": order if order.isdecimal() else rank, **_period(part.said(13), part.said(14))}
    mail = part.said(4) or (plain if "@" in plain else "")
    if "@" in mail:
        yield held | {"system": "email", "value": mail, "use": "work" if "WPN" in (said_for, use) else "home"}
    if "@" in plain or kind in _NO_PHONES or kind == "INTERNET" or said_for in ("NET", *_NOT_THEIR_OWN):
        return
    number = plain or part.said(12) or _assembled(part)
    if not number:
        return
    inner = part.said(8) or ""
    yield held | {
        "system": "phone",
        "value": f"{number} x{inner}" if inner and not plain else number,
        "use": "mobile" if kind == "CP" else _PHONE_USES.get(said_for or use, ""),
    }


def _assembled(part: Part) -> str:
    country, area, local = (part.said(at) or "" for at in (5, 6, 7))
    if not local:
        return ""
    return f"{'+' + country.lstrip('+') if country else ''}{area}{local}"


def _period(start: str | None, end: str | None) -> Json:
    return {"period": {"start": day(start or ""), "end": day(end or "")}} if start or end else {}


def _type(part: Part) -> str:
    return part.said(7) or ""


def _names(segment: Segment, field: int, uses: dict[str, str]) -> list[Json]:
    found = []
    for part in segment.parts(field):
        name: Json = {"use": uses.get(_type(part), "old"), "family": part.said(1) or "", "given": [part.said(2) or ""]}
        found.append(name | _period(part.said(12), part.said(13)))
    return found


def _legal(pid: Segment) -> Part | None:
    """Return the name that is the legal one now: of type L, else of type D, else one without a type."""
    wanted = {"L": 0, "D": 1, "": 2, "U": 2}
    parts = [part for part in pid.parts(5) if not part.is_deleted]
    today = timezone.now().date().isoformat()
    lasting = [part for part in parts if not (end := part.said(13)) or day(end) >= today] or parts
    return min(lasting, key=lambda part: wanted.get(_type(part), 3), default=None)


def _telecom(pid: Segment) -> Iterator[Json]:
    rank = 0
    for field, use in ((13, "PRN"), (40, ""), (14, "WPN")):
        for part in pid.parts(field):
            rank += 1
            yield from contact_points(part, rank, use)


def _next_of_kin(message: Message) -> list[tuple[Segment, bool]]:
    """Return who is named, and of each whether it is the emergency contact: who is said to be, else the first."""
    people = [each for each in message.all("NK1") if any(not part.is_deleted for part in each.parts(2))]
    roles = [(each.said(7) or "") in _EMERGENCY or (each.said(3) or "") == "EMC" for each in people]
    if people and not any(roles) and not any(each.said(7) for each in people):
        roles[0] = True
    return list(zip(people, roles, strict=True))


def _contact(segment: Segment, *, is_emergency: bool) -> Json:
    code, words = segment.said(3, 1) or "", segment.said(3, 2) or ""
    relation: Any = [{"coding": [{"code": _RELATIONS.get(code, code), "display": words}]}]
    if is_emergency:
        relation.append({"coding": [{"code": "C"}]})
    points = [point for part in segment.parts(5) for point in contact_points(part, 1)]
    return {
        "name": {"family": segment.said(2, 1) or "", "given": [segment.said(2, 2) or ""]},
        "relationship": relation,
        "telecom": points,
    }
