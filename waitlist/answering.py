"""Doing what a patient's text asks for, and answering it at once by the way it came."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from waitlist import claims, consent, entries, escalating, telling
from waitlist.claims import Outcome
from waitlist.models import Claim, ConsentRecord, Message, Offer, Reply, WaitlistEntry
from waitlist.reply_endings import end, opt_out, say
from waitlist.senders import Sender, is_asked_to_stay, meant
from waitlist.understanding import Intent, Meaning

#: Bare digits answer a question of ours that was asked so lately.
QUESTION_STANDS = timedelta(hours=2)
_O = Reply.Outcome


def answer(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> None:
    """Do what was understood; every reply ends with an outcome."""
    handlers: dict[Intent, Callable[[Reply, Sender, Meaning, datetime], None]] = {
        Intent.STOP: _stop,
        Intent.START: _start,
        Intent.HELP: _help,
        Intent.YES: _yes,
        Intent.NO: _no,
        Intent.CODE: _bare_code,
        Intent.URGENT: escalating.urgent,
        Intent.WRONG_PERSON: escalating.wrong_person,
        Intent.DIED: escalating.wrong_person,
        Intent.MAYBE_WRONG_PERSON: escalating.maybe_wrong_person,
        Intent.WHO: escalating.who_are_you,
        Intent.OKAY: _okay,
    }
    handler = handlers.get(meaning.intent)
    if handler is None:
        escalating.hand_to_staff(reply, sender)
    else:
        handler(reply, sender, meaning, now)


def _stop(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> None:
    """An opt-out binds the address, whoever shares it, at once; it is confirmed a single time."""
    with transaction.atomic():
        if opt_out(reply, sender):
            say(reply, sender, Message.Kind.STOP_RECEIPT, now)
        if meaning.off_the_list:
            escalating.maybe_off_the_list(reply, sender)
        end(reply, sender, _O.OPTED_OUT)


def _start(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> None:
    with transaction.atomic():
        consent.hold([reply.address_index])
        if _stopped_after(reply):
            end(reply, sender, _O.OPTED_IN)
            return
        taken_back = consent.restore_address(reply.channel, reply.address_index, source=ConsentRecord.Source.REPLY)
        if taken_back is None and not consent.consenting_at(reply.channel, reply.address_index):
            escalating.hand_to_staff(reply, sender)  # nobody here ever agreed: which texts, a person has to say first
            return
        say(reply, sender, Message.Kind.ANSWER, now, outcome="started")
        end(reply, sender, _O.OPTED_IN)


def _stopped_after(reply: Reply) -> bool:
    """Return whether a STOP that came later was read first, as this one had failed: it has the last word."""
    later = Reply.objects.filter(channel=reply.channel, address_index=reply.address_index, pk__gt=reply.pk)
    return later.filter(outcome=_O.OPTED_OUT).exists()


def _help(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> None:
    with transaction.atomic():
        say(reply, sender, Message.Kind.HELP, now)
        end(reply, sender, _O.HELPED)


def _yes(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> None:
    offer = _the_one(reply, sender, meaning, now)
    if offer is None:
        return
    offer.refresh_from_db()
    offer.opening.refresh_from_db()
    result = claims.claim(offer.opening, offer.patient, offer=offer, entry=offer.entry, channel="sms", now=now)
    with transaction.atomic():
        if result.outcome == Outcome.FROZEN:
            end(reply, sender, _O.STAFF, offer)  # the claim has asked staff, and nothing is sent
            return
        if result.outcome == Outcome.ALREADY_YOURS and result.claim is not None:
            if not _made(reply, result.claim):
                said = telling.describe(result.claim) | {"outcome": result.claim.state}
                say(reply, sender, Message.Kind.ANSWER, now, offer=offer, **said)
        elif result.outcome != Outcome.WON:
            say(reply, sender, Message.Kind.ANSWER, now, offer=offer, outcome=str(result.outcome))
        end(reply, sender, _O.CLAIMED if result.is_win else _O.TOO_LATE, offer)


def _made(reply: Reply, claim: Claim) -> bool:
    """Return whether an earlier try at this reply made the claim and its worker died; the patient was told then."""
    return reply.attempts > 1 and claim.channel == reply.channel and claim.created_at >= reply.received_at


def _no(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> None:
    offer = _the_one(reply, sender, meaning, now)
    if offer is None:
        return
    with transaction.atomic():
        offer.refresh_from_db()
        claims.decline(offer, "sms", now)
        say(reply, sender, Message.Kind.ANSWER, now, offer=offer, outcome="declined")
        end(reply, sender, _O.DECLINED, offer)


def _bare_code(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> None:
    """Digits alone answer a question of ours; otherwise we ask what they are to mean."""
    if _asked_back(reply, now).exists():
        _yes(reply, sender, Meaning(Intent.YES, meaning.code), now)
        return
    live = [offer for offer in sender.live if offer.code == meaning.code]
    if live:
        _ask_which(reply, sender, live, now)
    else:
        escalating.hand_to_staff(reply, sender)


def _okay(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> None:
    """ "OK, thanks" books nothing: with an offer open we ask what it means, otherwise there is nothing to do."""
    if sender.live:
        _ask_which(reply, sender, sender.live, now)
    else:
        end(reply, sender, _O.NOTED)


def _the_one(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> Offer | None:
    """Return the one offer that is meant, or deal with there being none or several and return None."""
    # With nothing open, a bare yes answers what we asked last: "do you still want this?"
    if not meaning.code and not sender.live and _about_staying(reply, sender, meaning, now):
        return None
    if not meaning.code and sender.live and is_asked_to_stay(reply, sender, now):
        _offer_or_list(reply, sender, now)
        return None
    offers = meant(sender, meaning.code, now)
    if len(offers) == 1:
        return offers[0]
    if offers or (meaning.code and sender.live):
        _ask_which(reply, sender, [offer for offer in offers if offer in sender.live] or sender.live, now)
    elif meaning.code:
        with transaction.atomic():
            say(reply, sender, Message.Kind.ANSWER, now, outcome="no_offer")
            end(reply, sender, _O.TOO_LATE)
    else:
        escalating.hand_to_staff(reply, sender)
    return None


def _offer_or_list(reply: Reply, sender: Sender, now: datetime) -> None:
    """Ask which offer is meant. Whoever says no more than before may speak of the list: a person reads it."""
    if _asked_back(reply, now).exists():
        escalating.hand_to_staff(reply, sender)
    else:
        _ask_which(reply, sender, sender.live, now)


def _asked_back(reply: Reply, now: datetime) -> QuerySet[Message]:
    """Return our questions back that an answer so soon is about."""
    rows = Message.objects.filter(kind=Message.Kind.QUESTION, address_index=reply.address_index)
    return rows.filter(created_at__gte=now - QUESTION_STANDS)


def _ask_which(reply: Reply, sender: Sender, offers: list[Offer], now: datetime) -> None:
    if not offers:
        escalating.hand_to_staff(reply, sender)
        return
    choices = [(each.code, each.start.astimezone(each.opening.location.zone)) for each in reversed(offers)]
    with transaction.atomic():
        say(reply, sender, Message.Kind.QUESTION, now, choices=choices)
        end(reply, sender, _O.ASKED)


def _about_staying(reply: Reply, sender: Sender, meaning: Meaning, now: datetime) -> bool:
    """Take a yes or no as the answer to "do you still want this?"; False when nobody was asked."""
    asked = WaitlistEntry.objects.filter(patient__in=sender.patients, status=WaitlistEntry.Status.ASKED)
    rows = list(asked.select_related("patient"))
    if len({row.patient_id for row in rows}) != 1:
        return False
    with transaction.atomic():
        stays = meaning.intent == Intent.YES
        for entry in rows:
            if stays:
                entries.resume(entry)
            else:
                entries.leave(entry, now)
        say(reply, sender, Message.Kind.ANSWER, now, outcome="stays" if stays else "left")
        end(reply, sender, _O.CLAIMED if stays else _O.DECLINED)
    return True
