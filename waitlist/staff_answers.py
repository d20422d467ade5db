"""A person's own words to a patient, in answer to what the patient wrote: shown before they go, and sent once.

They go to the very address the patient wrote from and nowhere else, at once, by night too. Whether they may is decided
as for every message, when they are shown and again when they leave.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from audit.log import record
from audit.models import AccessRecord
from scheduling.models import AppointmentType, Practice, WorkItem
from scheduling.worklist import ask_staff, finish
from waitlist import messages, senders
from waitlist.models import Channel, Message, Reply
from waitlist.proofreading import Finding, Length, length, proofread_answer
from waitlist.senders import Sender

#: Later it is no answer any more but a message that we start.
STANDS = timedelta(days=7)
#: Later the words may be wrong: staff hear that they did not leave.
WORTH = timedelta(hours=24)
#: What an answer closes; urgent words and a wrong person need more than a text.
CLOSED_BY_IT = ("reply.unclear", "reply.who")

_CALL = "Call them instead."
_REFUSALS = {
    "opted_out": f"They wrote STOP: nothing may be sent there. {_CALL}",
    "frozen": "This contact reaches the wrong person: nothing is sent there, and nobody is called there.",
    "invalid": f"Messages do not arrive there. {_CALL}",
    "restricted": "The record is restricted: no message of any kind, calls included.",
    "deceased": "The record says that the patient has died. Nothing is sent.",
    "replaced": "The record was replaced by another one. Answer from the record that is kept, by a call.",
    "shadow": "The connection runs in shadow: nothing is sent to its patients. " + _CALL,
}


@dataclass(frozen=True, slots=True)
class Draft:
    """An answer as it would arrive. ``length`` is None for an e-mail; ``number``: which answer to the reply it is."""

    message: Message
    findings: list[Finding]
    length: Length | None
    number: int

    @property
    def is_blocked(self) -> bool:
        """Whether something must be mended first."""
        return any(finding.blocks for finding in self.findings)


def answers_to(reply: Reply) -> int:
    """Return how many answers of staff the reply has had."""
    return Message.objects.filter(kind=Message.Kind.STAFF, dedupe_key__startswith=f"staff:{reply.pk}:").count()


def why_not(reply: Reply, now: datetime | None = None) -> str:
    """Return why the reply cannot be answered by a message, with what to do instead; empty when it can."""
    now = now or timezone.now()
    if reply.outcome == Reply.Outcome.NEW:
        return "The machine has not read this yet. Look again in a minute."
    if reply.received_at < now - STANDS:
        return f"They wrote more than {STANDS.days} days ago: an answer now would be a message that we start. {_CALL}"
    sender = senders.sender_of(reply, now)
    decision = messages.may_send(_compose(reply, sender, "?", now), now)
    reason = "shadow" if decision.action == "wait" else decision.reason
    reason = reason or _at_a_shared_number(sender)
    return _REFUSALS.get(reason, f"It may not be sent now. {_CALL}") if reason else ""


def _at_a_shared_number(sender: Sender) -> str:
    """What holds for one of those who share a number holds for a message to all of them."""
    return "restricted" if any(patient.restricted for patient in sender.patients) else ""


def draft(reply: Reply, words: str, now: datetime | None = None) -> Draft:
    """Return ``words`` as they would arrive, with what is to be mended or thought about."""
    now = now or timezone.now()
    sender = senders.sender_of(reply, now)
    number = answers_to(reply)
    message = _compose(reply, sender, words, now, number=number)
    types = AppointmentType.objects.filter(active=True).values_list("name", "code")
    people = sender.patients
    age = people[0].age_on(now.date()) if len(people) == 1 else None
    is_private = len(people) != 1 or (age is not None and age < Practice.current().adult_at_age)
    findings = proofread_answer(
        reply.channel,
        words,
        visit_types=[name for pair in types for name in pair],
        names=[name for each in people for name in (each.given_name, each.preferred_name, each.family_name)],
        may_name=not is_private,
    )
    return Draft(message, findings, length(message.body) if reply.channel == Channel.SMS else None, number)


def send(reply: Reply, words: str, *, by: str, number: int, now: datetime | None = None) -> Message | None:
    """Put an answer on the outbox and close what asked for it; the same press twice is one message.

    ``number`` is the draft's. None: somebody else answered meanwhile, and nothing was sent. Raises ValueError for words
    that are blocked, or a reply that cannot be answered.
    """
    now = now or timezone.now()
    made = draft(reply, words, now)
    if made.is_blocked or why_not(reply, now):
        raise ValueError("this answer may not be sent")
    sender = senders.sender_of(reply, now)
    composed = _compose(reply, sender, words, now, number=number, by=by)
    with transaction.atomic():
        message = messages.put(composed)
        if message is None:
            before = Message.objects.get(dedupe_key=composed.dedupe_key)
            return before if (before.written_by, before.body) == (composed.written_by, composed.body) else None
        record(AccessRecord.Action.SEND, subject=message)
        _close(reply, by)
    return message


def _compose(reply: Reply, sender: Sender, words: str, now: datetime, *, number: int = 0, by: str = "") -> Message:
    subject = messages.Subject(reply.patient, reply.location or sender.location, speaks=sender.subject.speaks)
    message = messages.compose(
        Message.Kind.STAFF,
        sender.address,
        subject,
        {"words": words},
        dedupe_key=f"staff:{reply.pk}:{number}",
        initiated=False,
        expires_at=now + WORTH,
        now=now,
    )
    message.written_by = by[:150]
    return message


def _close(reply: Reply, by: str) -> None:
    """What the patient wrote up to then at this place has its answer."""
    answered = Reply.objects.filter(
        address_index=reply.address_index, location=reply.location, received_at__lte=reply.received_at
    )
    items = WorkItem.objects.filter(
        kind__in=CLOSED_BY_IT,
        status=WorkItem.Status.OPEN,
        subject_kind=Reply._meta.label_lower,
        subject_id__in=list(answered.values_list("pk", flat=True)),
    )
    way = "text" if reply.channel == Channel.SMS else "e-mail"
    for item in items:
        finish(item, by, f"Answered by {way} by {by}.")


def not_told(message: Message) -> WorkItem:
    """A person's answer did not reach the patient: a call is what is left."""
    return ask_staff(
        "message.call",
        "An answer by staff did not reach the patient: please call",
        advice="It was not sent, or it did not arrive; the message's page says why. Nothing else was changed.",
        dedupe_key=f"message.call:{message.pk}",
        subject=message,
        patient=message.patient,
        location=message.location,
    )
