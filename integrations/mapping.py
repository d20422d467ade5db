"""What the EHR's codes mean here. A code that nobody mapped is kept, shown, and holds up what depends on it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from django.db import transaction
from django.utils import timezone

from integrations import mapping_effects
from integrations.code_notes import ask_about, dedupe_key
from integrations.codebook import CodeBook
from integrations.meanings import LANGUAGES, REASON_VERDICTS, STATUS_MEANINGS, Key, Meanings, standard_target
from integrations.models import CodeChange, CodeMapping, Connection, MappingChange
from scheduling.models import AppointmentType, ExternalId, Location, Plan, Provider
from scheduling.worklist import finish_for

__all__ = [
    "CodeBook",
    "allowed_targets",
    "last_change",
    "map_code",
    "may_undo",
    "meant",
    "originals",
    "standard_target",
    "standing",
    "undo",
    "undoable",
    "unmap",
]

Domain = CodeMapping.Domain


def map_code(
    connection: Connection,
    domain: str,
    system: str,
    code: str,
    target: str,
    *,
    display: str = "",
    by: str = "system",
    location: Location | None = None,
    part_of: MappingChange | None = None,
) -> CodeMapping:
    """Say what a code means, everywhere or at one location; raises ValueError for a target that does not exist.

    Openings that were held for want of it go on, those it says must not be offered close, and what is mirrored
    already follows within seconds. The change is kept, so that :func:`undo` can take it back; ``part_of`` is the import
    it belongs to.
    """
    if target not in allowed_targets(domain):
        raise ValueError(f"{target} is not something a code of kind {domain} can mean.")
    with transaction.atomic():
        row = _locked(connection, Key(domain, system, code), location, display)
        _change(row, target, by, part_of=part_of)
    return row


def unmap(
    connection: Connection,
    domain: str,
    system: str,
    code: str,
    *,
    by: str = "system",
    location: Location | None = None,
    part_of: MappingChange | None = None,
) -> CodeMapping | None:
    """Take a code's meaning away, everywhere or at one location; None when it had none.

    Offers that rest on it are withdrawn, their patients told, and their openings held for a person.
    """
    with transaction.atomic():
        rows = CodeMapping.objects.select_for_update().select_related("connection__source")
        row = rows.filter(connection=connection, domain=domain, system=system, code=code, location=location).first()
        if row is None or row.state == CodeMapping.State.UNMAPPED:
            return None
        _change(row, _original(row), by, part_of=part_of)
    return row


def meant(connection: Connection, key: Key, location: Location | None = None) -> str:
    """Return what is said of a code at one place, or everywhere; empty for nothing.

    Everywhere that is what a public list says, or which row of ours an id names, unless the practice says otherwise.
    """
    rows = CodeMapping.objects.filter(connection=connection, location=location, **key._asdict())
    own = rows.exclude(target="").values_list("target", flat=True).first()
    if own is not None or location is not None:
        return own or ""
    if key.domain in (Domain.PROVIDER, Domain.LOCATION):
        return originals(connection).get((key.domain, key.code), "")
    return standard_target(*key) or ""


def last_change(connection: Connection, key: Key) -> int:
    """Return the number of the last change of what a code means, wherever; 0 where there was none."""
    if not key.can_be_kept:
        return 0
    changes = CodeChange.objects.filter(mapping__connection=connection, mapping__domain=key.domain)
    rows = changes.filter(mapping__system=key.system, mapping__code=key.code).order_by("-pk")
    return rows.values_list("pk", flat=True).first() or 0


def undoable(row: CodeMapping) -> CodeChange | None:
    """Return the last change of a code that was not taken back yet, or None."""
    held = standing(row.changes.all())
    return held[-1] if held else None


def standing(changes: Iterable[CodeChange]) -> list[CodeChange]:
    """Return the changes of one code that hold, the earliest first; ``changes`` are all it had, in their order.

    An undo takes out what it took back, and the undo of an undo stands for what it brought back.
    """
    held: dict[int, CodeChange] = {}
    for each in changes:
        if each.undoes_id is None or held.pop(each.undoes_id, None) is None:
            held[each.pk] = each
    return [*held.values()]


def may_undo(change: CodeChange, changes: Sequence[CodeChange]) -> bool:
    """Return whether nothing newer stands on a change: it is the last that holds, or an undo after which none came."""
    held = standing(changes)
    return change.pk in {each.pk for each in (*changes[-1:], *held[-1:])}


def undo(change: CodeChange, by: str) -> bool:
    """Take the last change of a code back, with all that follows from it; False when it is not the last any more.

    The last undo is taken back in the same way. Raises ValueError when what the code meant before does not exist any
    more.
    """
    with transaction.atomic():
        rows = CodeMapping.objects.select_for_update().select_related("connection__source")
        row = rows.get(pk=change.mapping_id)
        if not may_undo(change, list(row.changes.all())):
            return False
        if change.before and change.before not in allowed_targets(row.domain):
            raise ValueError("What it meant before does not exist any more.")
        _change(row, change.before, by, undoes=change)
    return True


def allowed_targets(domain: str) -> Collection[str]:
    """Return everything a code of this kind can be mapped to."""
    if domain == Domain.TYPE:
        return set(AppointmentType.objects.values_list("code", flat=True))
    if domain == Domain.PLAN:
        return set(Plan.objects.values_list("code", flat=True))
    if domain == Domain.PROVIDER:
        return {str(pk) for pk in Provider.objects.values_list("pk", flat=True)}
    if domain == Domain.LOCATION:
        return {str(pk) for pk in Location.objects.values_list("pk", flat=True)}
    return {Domain.REASON: set(REASON_VERDICTS), Domain.STATUS: set(STATUS_MEANINGS)}.get(
        Domain(domain), set(LANGUAGES)
    )


def _locked(connection: Connection, key: Key, location: Location | None, display: str) -> CodeMapping:
    row, _ = CodeMapping.objects.select_for_update().get_or_create(
        connection=connection,
        domain=key.domain,
        system=key.system,
        code=key.code,
        location=location,
        defaults={"display": display},
    )
    if display and row.display != display:
        row.display = display
        row.save(update_fields=["display"])
    return row


def _change(
    row: CodeMapping,
    target: str,
    by: str,
    *,
    undoes: CodeChange | None = None,
    part_of: MappingChange | None = None,
) -> None:
    """Write the change and do all that follows from it. ``row`` is locked; an empty target unmaps."""
    undoes = undoes or _part_undone(row, part_of)
    if target == row.target and undoes is None:
        return
    before = Meanings.of(row.connection)
    earlier = row.target or _original(row)
    row.target = target
    row.state = CodeMapping.State.MAPPED if target else CodeMapping.State.UNMAPPED
    row.apply_due_at = timezone.now()
    row.save(update_fields=["target", "state", "apply_due_at"])
    told = {"at": timezone.now(), "by": by[:150], "undoes": undoes, "part_of": part_of}
    CodeChange.objects.create(mapping=row, before=earlier, after=target, **told)
    if target:
        finish_for(dedupe_key(row), "The code was mapped.", by)
    elif standard_target(row.domain, row.system, row.code) is None and row.location_id is None:
        ask_about(row)
    mapping_effects.follow(row, earlier, before, Meanings.of(row.connection))


def _part_undone(row: CodeMapping, part_of: MappingChange | None) -> CodeChange | None:
    """Return what the undo of an import takes back of this code, unless something newer stands on that."""
    if part_of is None or part_of.undoes_id is None:
        return None
    changes = list(row.changes.all())
    part = next((each for each in changes if each.part_of_id == part_of.undoes_id), None)
    return part if part is not None and may_undo(part, changes) else None


def originals(connection: Connection) -> dict[tuple[str, str], str]:
    """Return which row of ours each id of a clinician or place named before anybody said otherwise, by kind and id."""
    kinds = (Domain.PROVIDER, Domain.LOCATION)
    names = ExternalId.objects.filter(source_id=connection.source_id, kind__in=kinds)
    found = {(kind, value): str(pk) for kind, value, pk in names.values_list("kind", "value", "object_id")}
    changes = CodeChange.objects.filter(mapping__connection=connection, mapping__domain__in=kinds).order_by("-pk")
    for domain, code, before in changes.values_list("mapping__domain", "mapping__code", "before"):
        found[domain, code] = before
    return found


def _original(row: CodeMapping) -> str:
    """Return what a code means without us: nothing, but an id of the EHR has named a row of ours from the first."""
    if row.domain not in (Domain.PROVIDER, Domain.LOCATION):
        return ""
    first = row.changes.order_by("pk").values_list("before", flat=True).first()
    if first is not None:
        return first
    named = ExternalId.objects.filter(source_id=row.connection.source_id, kind=row.domain, value=row.code)
    return "".join(str(pk) for pk in named.values_list("object_id", flat=True))
