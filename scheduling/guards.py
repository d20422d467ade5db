"""Doubts about freed time that only a person can settle: is the provider out, what was it for, may it be booked?"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from scheduling import openings
from scheduling.models import Block, Opening, Practice, WorkItem, Writeback
from scheduling.records import Interval
from scheduling.worklist import BY_ITSELF, ask_staff, finish, finish_each, finish_for

#: What staff are asked about a whole day, and why its openings are held meanwhile.
PROVIDER_DAY = "opening.provider_day"
ABOUT_THE_DAY = (Opening.Held.PROVIDER_DAY, Opening.Held.BLOCKED)
GOES_ON = "The time is offered, after a fresh look at the EHR."


def hold_if_doubtful(opening: Opening, verdict: str, house: Practice) -> None:
    """Hold ``opening``, and the rest of the provider's day, where offering it could be wrong."""
    if verdict in ("unmapped", "ask_staff"):
        hold_and_ask(opening, Opening.Held.REASON)
    elif verdict == "unmapped_type":
        hold_and_ask(opening, Opening.Held.TYPE)
    hold_doubtful_day(opening, house)


#: Title and advice of what staff are asked about time whose codes leave it in doubt.
_QUESTIONS = {
    Opening.Held.REASON: (
        "A cancellation's reason does not say whether its time may be offered",
        "Nobody is offered it. Choose whether to offer this time; map the reason to decide it for good.",
    ),
    Opening.Held.TYPE: (
        "Time was freed whose kind of visit is not mapped",
        "Nobody is offered it: nobody knows which visits fit. Look in the EHR what it was, then choose "
        "whether to offer this time. Mapping the type decides it for good.",
    ),
    Opening.Held.STATUS: (
        "Time was freed by a status that is not mapped",
        "Nobody is offered it: nobody knows whether the visit was cancelled. Look in the EHR, then choose whether to "
        "offer this time. Mapping the status decides it for good.",
    ),
}


def hold_and_ask(opening: Opening, why: Opening.Held) -> None:
    """Hold time whose codes leave it in doubt, and ask staff; ``why`` is REASON, TYPE or STATUS."""
    openings.hold(opening, why)
    title, advice = _QUESTIONS[why]
    ask_staff(
        f"opening.{why.value}",
        title,
        advice=advice,
        dedupe_key=f"opening.{why.value}:{opening.pk}",
        opening=opening,
        subject=opening,
        due_at=opening.start,
    )


def settle_doubts(opening: Opening, resolution: str) -> None:
    """Finish what staff were asked about the opening's codes."""
    finish_each((f"opening.{why.value}:{opening.pk}" for why in _QUESTIONS), resolution)


def hold_refused(opening: Opening) -> None:
    """The EHR will not book this time for anybody: the next patient would be told yes and then no as well."""
    openings.hold(opening, Opening.Held.REFUSED)
    ask_staff(
        "opening.refused",
        "The EHR keeps refusing to book a freed time",
        advice="Nobody else is offered it until you say. Look in the EHR what keeps this time from being booked.",
        dedupe_key=f"opening.refused:{opening.pk}",
        opening=opening,
        subject=opening,
        due_at=opening.start,
    )


def hold_doubtful_day(opening: Opening, house: Practice) -> None:
    """Hold a provider's whole day after several cancellations of it in a short time, whenever they are opened."""
    day = _openings_of_day(opening)
    already_held = day.filter(held=Opening.Held.PROVIDER_DAY, status__in=Opening.CLAIMABLE).exists()
    if not already_held and not _was_freed_with_others(opening, day, house):
        return
    if _freed_by_us(opening):
        return
    for held in day.filter(status__in=Opening.CLAIMABLE, held=Opening.Held.NO):
        openings.hold(held, Opening.Held.PROVIDER_DAY)
    ask_about_day(opening, "Several appointments of one provider's day were cancelled within minutes")


def ask_about_day(opening: Opening, title: str) -> None:
    """Ask staff whether the provider is out that day."""
    ask_staff(
        PROVIDER_DAY,
        title,
        advice="Is the provider out? Nobody is offered this day until you say. Go on, or close the day's openings.",
        dedupe_key=day_key(opening),
        urgency=WorkItem.Urgency.RED,
        opening=opening,
        subject=opening,
        due_at=opening.start,
    )


def go_on(opening: Opening, by: str) -> bool:
    """A person decides that held time may be offered: what staff were asked about that is answered. False: too late."""
    why = opening.held
    with transaction.atomic():
        if not openings.unhold(opening):
            return False
        if why not in ABOUT_THE_DAY:
            finish_for(f"opening.{why}:{opening.pk}", GOES_ON, by)
        elif not _held_of_day(opening).exists():
            finish_for(day_key(opening), GOES_ON, by)
    return True


def release_day(opening: Opening) -> int:
    """The provider is in: go on with every held opening of the day. Returns how many can be offered again."""
    held = _openings_of_day(opening).filter(held__in=ABOUT_THE_DAY, status__in=Opening.LIVE)
    return sum(openings.unhold(each) and each.status in Opening.CLAIMABLE for each in held)


def close_day(opening: Opening) -> int:
    """The provider is out: close every opening of the day. Returns how many."""
    live = _openings_of_day(opening).filter(status__in=Opening.CLAIMABLE)
    return sum(openings.close(each, Opening.Closed.BLOCKED) for each in live)


def apply_block(block: Block, *, hold_day: bool = True) -> tuple[int, int]:
    """A block came: close what lies under it and ask about the rest of its days, unless ``hold_day`` is false.

    Returns how many openings were closed and how many are held. One that is claimed stays with its claim.
    """
    live = Opening.objects.filter(provider_id=block.provider_id, status__in=Opening.CLAIMABLE)
    if block.location_id is not None:
        live = live.filter(location_id=block.location_id)
    closed = 0
    for opening in live.filter(start__lt=block.end, end__gt=block.start):
        if not openings.close(opening, Opening.Closed.BLOCKED):
            continue  # claimed or closed meanwhile: what is left of it is no longer ours to offer
        closed += 1
        for piece in Interval(opening.start, opening.end).minus([Interval(block.start, block.end)]):
            openings.open_remainder(opening, piece)
    if not hold_day:
        return closed, 0
    held, day = 0, timedelta(days=1)
    rest = live.filter(start__gte=block.start - day, start__lt=block.end + day, held=Opening.Held.NO)
    for opening in rest.select_related("location"):
        zone = opening.location.zone
        # What ends at midnight lies on the day before.
        ends = (block.start, block.end - timedelta.resolution)
        first, last = (timezone.localtime(moment, zone).date() for moment in ends)
        if first <= _local_day(opening) <= last and openings.hold(opening, Opening.Held.BLOCKED):
            held += 1
            ask_about_day(opening, "A block was put on a provider's day that has open time")
    return closed, held


def settle_ended(opening: Opening) -> None:
    """The opening is filled or closed: what staff were asked about its time asks for nothing any more."""
    asked = WorkItem.objects.filter(opening=opening, kind__startswith="opening.", status=WorkItem.Status.OPEN)
    for item in asked.exclude(kind=PROVIDER_DAY):
        finish(item, "system", "The time is no longer open.")
    # One question for all of the day, whichever of its openings it hangs on.
    if not _held_of_day(opening).exists():
        finish_for(day_key(opening), "None of the day's times is open any more.")


def _was_freed_with_others(opening: Opening, day: QuerySet[Opening], house: Practice) -> bool:
    """Return whether so many of ``day`` were cancelled about when ``opening`` was as looks like an absence.

    What staff said of the day settles what was cancelled before.
    """
    within = timedelta(minutes=house.absence_minutes)
    own = Writeback.objects.filter(kind=Writeback.Kind.CANCEL).values("appointment_id")
    freed = day.filter(parent__isnull=True, freed_by__isnull=False).exclude(freed_by__in=own)
    freed = freed.filter(freed_at__gt=opening.freed_at - within, freed_at__lt=opening.freed_at + within)
    moments = list(freed.values_list("freed_at", flat=True))
    if not look_like_absence(moments, house):  # what was said of the day could only take some away
        return False
    answers = WorkItem.objects.filter(dedupe_key=day_key(opening), status=WorkItem.Status.DONE, done_at__isnull=False)
    decided_at = answers.exclude(done_by=BY_ITSELF).order_by("-done_at").values_list("done_at", flat=True).first()
    return decided_at is None or look_like_absence([at for at in moments if at > decided_at], house)


def look_like_absence(moments: Iterable[datetime], house: Practice) -> bool:
    """Return whether so many cancellations of one clinician's day came within so few minutes as the practice says."""
    within, needed = timedelta(minutes=house.absence_minutes), house.absence_cancellations
    told = sorted(moments)
    return any(last - first < within for first, last in zip(told, told[needed - 1 :], strict=False))


def _freed_by_us(opening: Opening) -> bool:
    if opening.freed_by_id is None:
        return False
    return Writeback.objects.filter(appointment_id=opening.freed_by_id, kind=Writeback.Kind.CANCEL).exists()


def _local_day(opening: Opening) -> date:
    return timezone.localtime(opening.start, opening.location.zone).date()


def day_key(opening: Opening) -> str:
    """Return the key of the question whether the opening's provider is out on its day; one for all of that day."""
    return f"{PROVIDER_DAY}:{opening.provider_id}:{_local_day(opening)}"


def _held_of_day(opening: Opening) -> QuerySet[Opening]:
    return _openings_of_day(opening).filter(held__in=ABOUT_THE_DAY, status__in=Opening.CLAIMABLE)


def _openings_of_day(opening: Opening) -> QuerySet[Opening]:
    zone = opening.location.zone
    midnight = datetime.combine(timezone.localtime(opening.start, zone).date(), time.min, zone)
    next_midnight = datetime.combine(midnight.date() + timedelta(days=1), time.min, zone)
    return Opening.objects.filter(provider_id=opening.provider_id, start__gte=midnight, start__lt=next_midnight)
