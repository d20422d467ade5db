"""What a person states before a practice goes live: that the sender is registered, and that calls to it arrive."""

from __future__ import annotations

import re
from datetime import date

from django.utils import timezone

from waitlist.models import LaunchStatement

Topic, Answer = LaunchStatement.Topic, LaunchStatement.Answer
#: Prefixes of American numbers that callers do not pay for.
_TOLL_FREE = re.compile(r"^\+?1?[\s(.-]*8(?:00|33|44|55|66|77|88)")
_NUMBER = re.compile(r"^\+?[\d\s().-]{7,}$")
ANSWERS = {
    Topic.SENDER: (Answer.LONG_CODE, Answer.TOLL_FREE, Answer.NOT_YET),
    Topic.CALLS: (Answer.REACHED, Answer.NOT_YET),
}


def newest(topic: str, sender: str) -> LaunchStatement | None:
    """Return what was last stated of ``sender``; what was stated of another number says nothing about this one."""
    return LaunchStatement.objects.filter(topic=topic, about=sender).order_by("-pk").first()


def holds(statement: LaunchStatement | None) -> bool:
    """Return whether a statement says that the thing is done."""
    return statement is not None and statement.answer != Answer.NOT_YET


def state(topic: str, answer: str, sender: str, *, reference: str, done_on: date, by: str) -> LaunchStatement:
    """Put a statement on record. Raises ValueError, with a sentence for the person, for one that cannot be true."""
    if answer not in ANSWERS[Topic(topic)]:
        raise ValueError("Choose one of the answers.")
    if done_on > timezone.localdate():
        raise ValueError("The day lies ahead. State it when it has happened.")
    if topic == Topic.SENDER and answer != Answer.NOT_YET:
        if not reference.strip():
            raise ValueError("Enter the registration's id; the carrier shows it.")
        is_number, is_free = bool(_NUMBER.match(sender)), bool(_TOLL_FREE.match(sender))
        if is_number and is_free != (answer == Answer.TOLL_FREE):
            kind = (
                "a toll-free number, which is verified" if is_free else "a local number, which needs a 10DLC campaign"
            )
            raise ValueError(f"{sender} is {kind}.")
    return LaunchStatement.objects.create(
        topic=topic,
        answer=answer,
        reference=reference.strip()[:60],
        about=sender[:60],
        done_on=done_on,
        stated_by=by[:150],
        stated_at=timezone.now(),
    )
