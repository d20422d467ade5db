"""Where a work item is dealt with, when that is a page of its own: one link instead of a name to look for."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser, User
from django.urls import reverse

from integrations import patient_outcomes
from integrations.meanings import Domain
from integrations.models import CodeMapping, Connection, FieldHealth
from scheduling.models import WorkItem

CODES = {f"mapping.{domain.value}" for domain in Domain}
#: Kinds that are mended on a connection's page *Connect*; the other ``health.`` kinds are looked up on *Sync status*.
CONNECT = {
    "connection.worse",
    "connection.subscription_ended",
    "coverage.refused",
    "health.stopped",
    "health.deaf",
    "health.login_ends",
}

#: Kinds about what the EHR must be told of a patient, with the words of the link to it.
CORRECTIONS = {
    patient_outcomes.CONFLICT: "Compare both and decide",
    patient_outcomes.BY_HAND: "See what to enter",
    patient_outcomes.DEAD: "Send it again, or give it up",
    patient_outcomes.REGISTER: "See who is to be registered",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A page and the words of the link to it; ``address`` is empty for whoever may not see it."""

    label: str
    address: str


def place_of(item: WorkItem, user: User | AnonymousUser) -> Place | None:
    """Return the page where ``item`` is dealt with, None where that is its own page."""
    permission, place = _found(item)
    if place and permission and not user.has_perm(permission):
        return Place(place.label, "")
    return place


def _found(item: WorkItem) -> tuple[str, Place | None]:
    """Return the right a page asks for, empty where all staff may see it, and the page."""
    if item.kind in CODES:
        return "integrations.view_codemapping", _code(item)
    if item.kind == "mapping.field":
        return "integrations.view_fieldmapping", _field(item)
    if item.kind == "patient.reviews":
        address = reverse("admin:scheduling_patientreview_changelist") + "?state__exact=open"
        return "scheduling.view_patientreview", Place("Compare the records", address)
    if item.kind in CORRECTIONS and item.subject_id:
        address = reverse("admin:scheduling_patientwrite_change", args=[item.subject_id])
        return "scheduling.view_patientwrite", Place(CORRECTIONS[item.kind], address)
    if item.kind == "calendar.differs":
        return "integrations.view_difference", Place("Decide on Differences", reverse("admin:desk_differences"))
    if item.kind in CONNECT:
        return "integrations.view_connection", _connect(item)
    if item.kind.startswith("reply.") and item.subject_id:
        return "waitlist.view_reply", Place(
            "Read the thread, answer", reverse("admin:waitlist_reply_change", args=[item.subject_id])
        )
    if item.kind.startswith("health.") or item.kind == "calendar.implausible":
        return "", Place("Look at Sync status", reverse("admin:desk_status"))
    return "", None


def _code(item: WorkItem) -> Place | None:
    row = CodeMapping.objects.filter(pk=item.subject_id or 0).first()
    if row is None:
        return None
    address = f"{reverse('admin:desk_mapper', args=[row.connection_id])}?domain={row.domain}"
    return Place("Say what the code means", address)


def _field(item: WorkItem) -> Place | None:
    row = FieldHealth.objects.filter(pk=item.subject_id or 0).first()
    if row is None:
        return None
    return Place("See where the field stopped", reverse("admin:desk_field", args=[row.connection_id, row.field]))


def _connect(item: WorkItem) -> Place | None:
    """Items about health are known by their key alone, ``health.deaf:7``; the others by their subject."""
    pk = str(item.subject_id or item.dedupe_key.rpartition(":")[2])
    row = Connection.objects.filter(pk=pk).first() if pk.isdecimal() else None
    return Place("Open Connect", reverse("admin:desk_connecting", args=[row.pk])) if row else None
