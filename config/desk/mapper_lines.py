"""The lines of the mapper: left what the EHR sends, right what it means here, with a guess where nobody has said."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.contrib.auth.models import AnonymousUser, User

from integrations import likeness, mapping
from integrations.discovered import Seen, held_up, seen
from integrations.mapping_words import REASONS, STATUSES
from integrations.meanings import LANGUAGES, Domain, Key, standard_target
from integrations.models import CodeChange, CodeMapping, Connection
from scheduling.admin.display import day, slot
from scheduling.models import Appointment, AppointmentType, Location, Plan, Provider
from waitlist.entries import LIVE
from waitlist.models import WaitlistEntry

#: Kinds whose codes may mean something else at one location.
BY_LOCATION = (Domain.STATUS, Domain.REASON, Domain.TYPE)
_NPI = ", NPI "
#: What an unmapped code of the kind costs, in a few words.
HOLDS = {
    Domain.TYPE: "Time of such visits waits for you.",
    Domain.REASON: "Time freed for it waits for you.",
    Domain.STATUS: "Such visits free no time.",
    Domain.LANGUAGE: "Such patients are written to in English.",
    Domain.PLAN: "Who has it is offered a visit that needs insurance by a person only.",
}


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code means at one place; ``location`` None is everywhere."""

    target: str
    label: str
    location: Location | None = None
    row: CodeMapping | None = None
    last: CodeChange | None = None


@dataclass(slots=True)
class Line:
    """One code. ``general`` is its meaning everywhere, ``special`` those at single locations.

    ``changed`` is the number of the last change of any of them, 0 where there was none: whoever changes one says so.
    ``detail`` is what else stands at the kind of visit it means.
    """

    number: int
    seen: Seen
    general: Meaning
    special: list[Meaning] = field(default_factory=list)
    by_list: bool = False
    guess: str = ""
    guess_label: str = ""
    holds: list[int] = field(default_factory=list)
    example: str = ""
    changed: int = 0
    detail: str = ""

    @property
    def is_mapped(self) -> bool:
        """Whether anybody, or a public list, says what it means."""
        return bool(self.general.target)


def names_of(domain: str) -> dict[str, str]:
    """Return what a code of this kind can mean, with what we call it, in reading order."""
    kind = Domain(domain)
    if kind == Domain.TYPE:
        return dict(AppointmentType.objects.order_by("name").values_list("code", "name"))
    if kind == Domain.PLAN:
        return dict(Plan.objects.order_by("name").values_list("code", "name"))
    if kind == Domain.PROVIDER:
        return {str(row.pk): f"{row.name}{_NPI}{row.npi}" if row.npi else row.name for row in Provider.objects.all()}
    if kind == Domain.LOCATION:
        return {str(row.pk): row.name for row in Location.objects.all()}
    if kind == Domain.REASON:
        return dict(REASONS)
    if kind == Domain.LANGUAGE:
        return dict(LANGUAGES)
    return dict(STATUSES)


def lines_of(connection: Connection, domain: str) -> list[Line]:
    """Return every code of a kind: unmapped ones first, of these what holds up most, then what comes most often."""
    names, holds = names_of(domain), held_up(connection, domain)
    rows: dict[Key, list[CodeMapping]] = {}
    mapped = CodeMapping.objects.filter(connection=connection, domain=domain)
    for row in mapped.select_related("location").prefetch_related("changes"):
        rows.setdefault(Key(row.domain, row.system, row.code), []).append(row)
    lines = [
        _line(number, each, rows.get(each.key, []), names, holds.get(each.key, []))
        for number, each in enumerate(seen(connection, domain).values(), 1)
    ]
    details = _details() if domain == Domain.TYPE else {}
    for line in lines:
        line.detail = details.get(line.general.target, "")
    return sorted(lines, key=lambda line: (line.is_mapped, -len(line.holds), -line.seen.count, line.seen.key.code))


def add_examples(lines: list[Line], domain: str, user: User | AnonymousUser) -> None:
    """Name the latest visit that carries each code, by its time, clinician and place; never by its patient.

    Of an insurance plan it is a wait of somebody who has it: for what, and since when.
    """
    if domain == Domain.PLAN:
        _add_waits(lines, user)
    if domain not in BY_LOCATION:
        return
    rows = Appointment.objects.for_user(user).filter(pk__in=[line.seen.row_id for line in lines if line.seen.row_id])
    visits = {row.pk: row for row in rows.select_related("provider", "location")}
    for line in lines:
        visit = visits.get(line.seen.row_id or 0)
        if visit is not None and visit.start and visit.end:
            time = slot(visit.start, visit.end, visit.location.zone if visit.location else None)
            line.example = ", ".join([time, *(each.name for each in (visit.provider, visit.location) if each)])


def _add_waits(lines: list[Line], user: User | AnonymousUser) -> None:
    rows = WaitlistEntry.objects.for_user(user).filter(
        patient_id__in=[line.seen.row_id for line in lines if line.seen.row_id],
        status__in=LIVE,
        appointment_type__needs_insurance=True,
    )
    waits = {entry.patient_id: entry for entry in rows.select_related("appointment_type").order_by("-joined_at")}
    for line in lines:
        entry = waits.get(line.seen.row_id or 0)
        if entry is not None:
            line.example = f"a wait for {entry.appointment_type.name} since {day(entry.joined_at)}"


def _details() -> dict[str, str]:
    """Return how long each kind of visit is, and whether it needs insurance: by that likely names are told apart."""
    rows = AppointmentType.objects.values_list("code", "duration_minutes", "needs_insurance")
    return {code: f"{minutes} min{', insurance needed' if insured else ''}" for code, minutes, insured in rows}


def _line(number: int, code: Seen, rows: list[CodeMapping], names: dict[str, str], holds: list[int]) -> Line:
    general = next((row for row in rows if row.location_id is None), None)
    target = general.target if general else ""
    standard = standard_target(*code.key) if not target else None
    if not target and code.key.domain in (Domain.PROVIDER, Domain.LOCATION):
        standard = str(code.row_id or "")
    target = target or standard or ""
    line = Line(
        number,
        code,
        Meaning(target, names.get(target, target), None, general, mapping.undoable(general) if general else None),
        [
            Meaning(row.target, names.get(row.target, row.target), row.location, row, mapping.undoable(row))
            for row in rows
            if row.location_id is not None and (row.target or mapping.undoable(row))
        ],
        by_list=bool(standard),
        holds=holds,
        changed=max((change.pk for row in rows for change in row.changes.all()), default=0),
    )
    guess = _guess(code, names, target)
    if guess:
        line.guess, line.guess_label = guess, names[guess]
    return line


def _guess(code: Seen, names: dict[str, str], target: str) -> str:
    if code.key.domain in (Domain.PROVIDER, Domain.LOCATION):
        return _twin(code, {each: name for each, name in names.items() if each != target})
    return "" if target else likeness.suggestion(code.key.domain, (code.display, code.key.code), names) or ""


def _twin(code: Seen, others: dict[str, str]) -> str:
    """Return the row that looks the same: each id is a row of ours already, and only another one is worth a word.

    Who has the same NPI is the same clinician, and who has another one is not, whatever their names.
    """
    name, _, npi = code.display.partition(_NPI)
    told = {each: other.partition(_NPI) for each, other in others.items()}
    same = [each for each, (_, _, number) in told.items() if npi and number == npi]
    if same:
        return same[0] if len(same) == 1 else ""
    possible = {each: other for each, (other, _, number) in told.items() if not (npi and number)}
    guess = likeness.suggestion(code.key.domain, (name,), possible) or ""
    return guess if guess and likeness.are_twins(name, possible[guess]) else ""
