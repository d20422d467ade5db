"""Texts that a person must see: urgent words, the wrong person, and what nobody understands."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from scheduling.models import ContactPoint, WorkItem
from scheduling.worklist import ask_staff
from waitlist import consent, entries
from waitlist import wrong_person as wrong_person_reports
from waitlist.models import Channel, ConsentRecord, Message, Reply, WaitlistEntry
from waitlist.reply_endings import end, opt_out, say
from waitlist.senders import Sender
from waitlist.understanding import Intent, Meaning

_O = Reply.Outcome
#: Urgent words that follow others so soon need no second answer; each is put before staff.
TOLD_JUST_NOW = timedelta(minutes=5)
WAITS = (WaitlistEntry.Status.WAITING, WaitlistEntry.Status.ASKED)


def urgent(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> None:
    """Tell them to call 911, whatever else they wrote and whether texts were ended or not; have staff call."""
    advice = "They were told that nobody watches this number and to call 911. Read the thread and call."
    with transaction.atomic():
        if meaning.stops:
            advice += " They also asked for no more texts: that is recorded."
        if meaning.stops and opt_out(reply, sender):
            say(reply, sender, Message.Kind.STOP_RECEIPT, now, urgent=True)
        elif not _was_told_just_now(reply, now):
            say(reply, sender, Message.Kind.URGENT, now, outcome="urgent")
        _ask(
            reply,
            sender,
            "reply.urgent",
            "URGENT words in a patient's text: call now",
            advice=advice,
            urgency=WorkItem.Urgency.RED,
        )
        end(reply, sender, _O.URGENT)


def _was_told_just_now(reply: Reply, now: datetime) -> bool:
    """A phone that answers by itself ("in an emergency call 911") is not answered on and on."""
    told = Message.objects.filter(kind=Message.Kind.URGENT, address_index=reply.address_index)
    return told.filter(created_at__gt=now - TOLD_JUST_NOW).exclude(dedupe_key__startswith=f"reply:{reply.pk}:").exists()


def wrong_person(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> None:
    """The contact reaches somebody else, or the patient has died: nothing more goes there, calls included."""
    with transaction.atomic():
        system = ContactPoint.System.EMAIL if reply.channel == Channel.EMAIL else ContactPoint.System.PHONE
        wrong_person_reports.freeze(system, reply.address_index, reply=reply, now=now)
        if meaning.stops:
            # The opt-out stands beyond the freeze, should that be taken back.
            consent.revoke_address(reply.channel, reply.address_index, source=ConsentRecord.Source.REPLY)
        if meaning.intent == Intent.DIED:
            _pause(sender)
        _ask(
            reply,
            sender,
            "reply.wrong_person",
            "A text says that a number reaches the wrong person, or that the patient has died",
            advice="Nothing more is sent or called there, and offers sent there were taken back. What was disclosed is "
            "listed: open the reply. Check the record in the EHR.",
        )
        end(reply, sender, _O.WRONG_PERSON)


def maybe_wrong_person(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> None:
    """It may say that somebody else has the number, or something else: a person decides, nothing is frozen."""
    with transaction.atomic():
        _ask(
            reply,
            sender,
            "reply.unclear",
            "A text may say that a number reaches somebody else: read it",
            advice="Nothing was changed and no answer was sent. If it is somebody else, press “Reached the wrong "
            "person” on the patient's page: nothing more goes there. Otherwise answer, or act on the offer.",
        )
        end(reply, sender, _O.STAFF, sender.live[0] if len(sender.live) == 1 else None)


def maybe_off_the_list(reply: Reply, sender: Sender) -> None:
    """Their texts have ended. Whether they still want an appointment, by e-mail or a call, a person asks."""
    if not WaitlistEntry.objects.filter(patient__in=sender.patients, status__in=entries.LIVE).exists():
        return
    _ask(
        reply,
        sender,
        "reply.unclear",
        "Somebody who ended texts may want off the waitlist, too: read it",
        advice="Nothing more is texted to that number, and their place on the waitlist was not changed. Call and ask. "
        "If they want no appointment any more, take them off on their waitlist entry.",
    )


def who_are_you(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> None:
    """Say who we are and nothing about anybody: it may be the patient who asks, or a stranger. Nothing is frozen."""
    told = "They were told the practice's name and phone, nothing about the patient."
    if consent.is_revoked(reply.channel, reply.address_index):
        told = "They were told nothing, since texts to that number are ended."
    with transaction.atomic():
        say(reply, sender, Message.Kind.ANSWER, now, outcome="who")
        _ask(
            reply,
            sender,
            "reply.who",
            "Somebody asks who texted them: the patient, or a wrong number",
            advice=f"{told} Call to be sure whom the number reaches. If it is somebody else, press “Reached the wrong "
            "person” on the patient's page.",
        )
        end(reply, sender, _O.STAFF, sender.live[0] if len(sender.live) == 1 else None)


def _pause(sender: Sender) -> None:
    """Offer nothing to anybody at the number, by no channel, until a person has looked."""
    for entry in WaitlistEntry.objects.filter(patient__in=sender.patients, status__in=WAITS):
        entries.pause(entry)


def hand_to_staff(reply: Reply, sender: Sender) -> None:
    """A person reads what the machine does not understand."""
    with transaction.atomic():
        _ask(
            reply,
            sender,
            "reply.unclear",
            "A patient's text needs a person to read it",
            advice="Nothing was changed and no answer was sent. Read the thread, then call or act on the offer.",
        )
        end(reply, sender, _O.STAFF, sender.live[0] if len(sender.live) == 1 else None)


def _ask(
    reply: Reply, sender: Sender, kind: str, title: str, *, advice: str, urgency: int = WorkItem.Urgency.SOON
) -> WorkItem:
    latest = sender.offers[0] if sender.offers else None
    return ask_staff(
        kind,
        title,
        advice=advice,
        dedupe_key=f"{kind}:{reply.pk}",
        urgency=urgency,
        subject=reply,
        opening=latest.opening if latest else None,
        patient=sender.subject.patient,
        location=sender.location,
    )
