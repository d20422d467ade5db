"""The worklist: what only a person can decide, asked once, owned by somebody, and finished with a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import IntegrityError, models, transaction
from django.db.models import F, Q
from django.utils import timezone

from audit.log import record_change
from scheduling.models import ContactPoint, Location, Opening, Patient, WorkItem
from scheduling.transitions import move

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser


@dataclass(frozen=True, slots=True)
class Action:
    """A button on a work item. ``consequence`` says before the click what will happen and who is told.

    ``run`` returns a sentence about what it did, shown to the person and kept as the resolution; :class:`NotYet` where
    the item is not done with that. ``consequence_of`` says it of one item where it is not the same for all of a kind.
    """

    slug: str
    label: str
    consequence: str
    run: Callable[[WorkItem, AbstractBaseUser], str]
    consequence_of: Callable[[WorkItem], str] | None = None


@dataclass(frozen=True, slots=True)
class Script:
    """What to say to a patient on the phone, in one language; ``name`` is the language's."""

    language: str
    name: str
    text: str


class NotYet(str):
    """What a button says to the person while its item stays open."""

    __slots__ = ()


class NoSuchButton(LookupError):
    """A work item does not come with the button that was pressed, or not any more."""


#: Who has done an item whose reason is gone.
BY_ITSELF = "system"
#: Numbers that reach nobody else, as far as we know.
CAN_RING = Q(system=ContactPoint.System.PHONE, state=ContactPoint.State.USABLE)
_ACTIONS: dict[str, list[Action]] = {}
_SCRIPTS: dict[str, Callable[[WorkItem], list[Script]]] = {}
_NUMBERS: dict[str, Callable[[WorkItem], list[ContactPoint]]] = {}
_NO_NUMBER: dict[str, str] = {}
_COUNTERS: dict[str, Callable[[Sequence[WorkItem]], Mapping[int, int]]] = {}


def register_action(kind: str, action: Action, *, is_first: bool = False) -> None:
    """Offer ``action`` on every work item of ``kind``. Called by the app that knows how to do it.

    ``is_first``: it stands before those of other apps; else after what is there.
    """
    actions = _ACTIONS.setdefault(kind, [])
    others = [known for known in actions if known.slug != action.slug]
    actions[:] = [action, *others] if is_first else [*others, action]


def actions_for(item: WorkItem) -> list[Action]:
    """Return the buttons of a work item; the first is what is mostly done."""
    return [
        replace(action, consequence=action.consequence_of(item)) if action.consequence_of else action
        for action in _ACTIONS.get(item.kind, ())
    ]


def register_script(kind: str, write: Callable[[WorkItem], list[Script]]) -> None:
    """Have ``write`` say what to say in the calls of work items of ``kind``, the patient's language first."""
    _SCRIPTS[kind] = write


def scripts_for(item: WorkItem) -> list[Script]:
    """Return what to say in the call that a work item asks for; nothing where nobody has written it."""
    write = _SCRIPTS.get(item.kind)
    return write(item) if write else []


def register_numbers(kind: str, choose: Callable[[WorkItem], list[ContactPoint]], *, without: str) -> None:
    """Have ``choose`` say at which numbers the patients of items of ``kind`` are called, the best first.

    ``without`` is what is said in their place where there is none.
    """
    _NUMBERS[kind], _NO_NUMBER[kind] = choose, without


def numbers_for(item: WorkItem) -> list[ContactPoint]:
    """Return where the item's patient may be called, the best first; nowhere where the patient wants no calls."""
    if item.patient is None or item.patient.restricted:
        return []
    choose = _NUMBERS.get(item.kind)
    if choose is not None:
        return choose(item)
    today = timezone.localdate()
    points = item.patient.contact_points.filter(CAN_RING).order_by("rank", "pk")
    return [each for each in points if each.usable_on(today)]


def without_number(item: WorkItem) -> str:
    """Return what is said where :func:`numbers_for` has none."""
    return _NO_NUMBER.get(item.kind, "the EHR has no usable number")


def register_counter(kind: str, count: Callable[[Sequence[WorkItem]], Mapping[int, int]]) -> None:
    """Have ``count`` say by item how often what items of ``kind`` are about is there, instead of how often we asked."""
    _COUNTERS[kind] = count


def with_times(items: Iterable[WorkItem]) -> list[WorkItem]:
    """Return the items with ``times_seen`` as it is shown to staff."""
    rows = list(items)
    for count in dict.fromkeys(_COUNTERS.get(row.kind) for row in rows):
        if count is not None:
            mine = [row for row in rows if _COUNTERS.get(row.kind) is count]
            times = count(mine)
            for row in mine:
                row.times_seen = times.get(row.pk, row.times_seen)
    return rows


def ask_staff(
    kind: str,
    title: str,
    *,
    advice: str = "",
    dedupe_key: str,
    urgency: int = WorkItem.Urgency.SOON,
    subject: models.Model | None = None,
    opening: Opening | None = None,
    patient: Patient | None = None,
    location: Location | None = None,
    due_at: datetime | None = None,
) -> WorkItem:
    """Put something on the worklist, or count it again when it is still open there.

    ``title`` says what happened, ``advice`` what is safe and what to do; neither names a patient.
    """
    values = {
        "kind": kind,
        "title": title[:200],
        "advice": advice[:400],
        "urgency": urgency,
        "subject_kind": subject._meta.label_lower if subject is not None else "",
        "subject_id": subject.pk if subject is not None else None,
        "opening": opening,
        "patient": patient,
        "location": location or (opening.location if opening is not None else None),
        "due_at": due_at,
    }
    still_open = WorkItem.objects.filter(dedupe_key=dedupe_key, status=WorkItem.Status.OPEN)
    if not still_open.update(times_seen=F("times_seen") + 1):
        try:
            with transaction.atomic():
                return WorkItem.objects.create(dedupe_key=dedupe_key, **values)
        except IntegrityError:  # asked by somebody else at the same moment
            still_open.update(times_seen=F("times_seen") + 1)
    return WorkItem.objects.filter(dedupe_key=dedupe_key).latest("pk")


def take(item: WorkItem, user: AbstractBaseUser) -> bool:
    """Give the item to ``user``, also from another person; False when it was finished or taken meanwhile."""
    return _hand(item, user.pk)


def let_go(item: WorkItem, user: AbstractBaseUser) -> bool:
    """Put ``user``'s item back for others; False when it is not theirs."""
    return item.owner_id == user.pk and _hand(item, None)


def _hand(item: WorkItem, owner_id: int | None) -> bool:
    before = item.owner_id
    # As the clicking person saw it: two who take it at once must not both believe that they have it.
    rows = WorkItem.objects.filter(pk=item.pk, status=WorkItem.Status.OPEN, owner_id=before)
    with transaction.atomic():
        if not rows.update(owner_id=owner_id):
            return False
        item.owner_id = owner_id
        record_change(item, {"owner": (before, owner_id)})
    return True


def finish(item: WorkItem, by: str, resolution: str) -> bool:
    """Close a work item; False when somebody else did."""
    return move(item, WorkItem.Status.DONE, done_at=timezone.now(), done_by=by[:150], resolution=resolution[:300])


def finish_for(dedupe_key: str, resolution: str, by: str = BY_ITSELF) -> None:
    """Close the open item of a key, if there is one, because its reason is gone."""
    finish_each((dedupe_key,), resolution, by)


def finish_each(dedupe_keys: Iterable[str], resolution: str, by: str = BY_ITSELF) -> None:
    """Close the open items of some keys, as far as there are any, at the cost of one look."""
    for item in WorkItem.objects.filter(dedupe_key__in=tuple(dedupe_keys), status=WorkItem.Status.OPEN):
        finish(item, by, resolution)


def run_action(item: WorkItem, slug: str, user: AbstractBaseUser) -> str:
    """Do what the button says and close the item with what came of it, unless that is :class:`NotYet`.

    Raises :class:`NoSuchButton`.
    """
    action = next((known for known in actions_for(item) if known.slug == slug), None)
    if action is None:
        raise NoSuchButton(slug)
    pressed_at, by = timezone.now(), user.get_username()
    said = action.run(item, user)
    if isinstance(said, NotYet):
        return said
    if not finish(item, by, said):
        # What was done may have closed the item by itself; it is this person's doing all the same.
        closed = WorkItem.objects.filter(pk=item.pk, status=WorkItem.Status.DONE, done_by=BY_ITSELF)
        signed = {"done_by": by[:150], "resolution": said[:300]}
        if closed.filter(done_at__gte=pressed_at).update(**signed):
            record_change(item, {"done_by": (BY_ITSELF, by)})
    return said
