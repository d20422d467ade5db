"""Reading FHIR's common elements from raw JSON, however untidy, without losing an entry for a detail.

The raw JSON is the truth. What only decorates is skipped when it has the wrong form; what a booking depends on raises
:class:`Unreadable`, which sends the entry to a person.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from integrations.ehr.fhir.answers import ID
from integrations.ehr.gateway import Malformed

Json = dict[str, Any]

VERSION_LENGTH = 120
#: Marks a version of ours for a resource whose server keeps none; it never goes into an If-Match.
MADE_UP = "~"


class Unreadable(Malformed):
    """A resource came but cannot be understood, however often it is asked for; the detail quotes nothing of it."""

    code = "unreadable"


def text(value: Any, length: int = 255) -> str:
    """Return ``value`` if it is text, trimmed and safe to store, else an empty string."""
    if not isinstance(value, str):
        return ""
    if not value.isascii():
        value = value.encode("utf-8", "replace").decode()
    return value.replace("\x00", "").strip()[:length]


def items(holder: Any, name: str) -> Iterator[Json]:
    """Yield the objects of a repeating element; a single object where a list belongs counts as one."""
    value = holder.get(name) if isinstance(holder, dict) else None
    if isinstance(value, dict):
        yield value
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict):
                yield item


#: Stands for a concept that came as free text alone, which may name a patient and is therefore not kept.
FREE_TEXT = "(free text)"


def first_coding(concepts: Any) -> tuple[str, str, str]:
    """Return system, code and display of the first coding of a CodeableConcept or list of them.

    All are empty when there is none; one that says something in free text alone has the code ``(free text)``.
    """
    said = False
    for concept in concepts if isinstance(concepts, list) else [concepts]:
        for coding in items(concept, "coding"):
            code = text(coding.get("code"), 120)
            if code:
                return text(coding.get("system")), code, text(coding.get("display"), 200)
        said = said or (isinstance(concept, dict) and bool(text(concept.get("text"))))
    return ("", FREE_TEXT, "") if said else ("", "", "")


def codes(concept: Any) -> set[str]:
    """Return every code of a CodeableConcept."""
    return {text(coding.get("code")) for coding in items(concept, "coding")} - {""}


def resource_id(resource: Json) -> str:
    """Return the resource's logical id; raises Unreadable."""
    value = resource.get("id")
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise Unreadable("it has no usable id")
    return value


def version_of(resource: Json, fallback: str = "") -> str:
    """Return the version the server gave, else ``fallback`` (the ETag's), else one made of its last update."""
    meta = resource.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    given = meta.get("versionId")
    if isinstance(given, str | int) and not isinstance(given, bool) and str(given).strip():
        return text(str(given), VERSION_LENGTH)
    if fallback:
        return fallback[:VERSION_LENGTH]
    updated = text(meta.get("lastUpdated"), VERSION_LENGTH - 1)
    return f"{MADE_UP}{updated}" if updated else ""


def reference_id(reference: Any, resource_type: str, base_url: str) -> str:
    """Return the id that a Reference to ``resource_type`` names at this server, or an empty string.

    Contained resources, ``urn:uuid`` and other servers' resources have no id here.
    """
    value = reference.get("reference") if isinstance(reference, dict) else None
    # Most references are to something else, or to somebody else: seen at once.
    if not isinstance(value, str) or resource_type not in value or value.startswith(("#", "urn:")):
        return ""
    if "://" in value:
        if not _same_server(value, base_url):
            return ""
        value = urlsplit(value).path
    parts = value.split("/_history/")[0].strip("/").split("/")
    if len(parts) < 2 or parts[-2] != resource_type or not ID.fullmatch(parts[-1]):
        return ""
    return parts[-1]


def _same_server(value: str, base_url: str) -> bool:
    theirs, ours = urlsplit(value), urlsplit(base_url)
    base = ours.path.rstrip("/")
    return (theirs.scheme, theirs.netloc.lower()) == (ours.scheme, ours.netloc.lower()) and theirs.path.startswith(
        f"{base}/"
    )


def full_date(value: Any) -> date | None:
    """Return the day of a FHIR date or dateTime; None for a year or month alone, or anything else."""
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) and len(value) >= 10 else None
    except ValueError:
        return None


def is_true(value: Any) -> bool:
    """Return whether a boolean, or a text that was meant as one, is true."""
    return value is True or (isinstance(value, str) and value.strip().lower() == "true")


def is_false(value: Any) -> bool:
    """Return whether a boolean, or a text that was meant as one, is false."""
    return value is False or (isinstance(value, str) and value.strip().lower() == "false")


def extension(holder: Any, url: str) -> Json:
    """Return the first extension of that url, or an empty object."""
    return next((each for each in items(holder, "extension") if each.get("url") == url), {})
