"""What is done when a message did not arrive: the next address, then e-mail, then a call by staff."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from audit.log import record_change
from integrations.messaging.gateway import DeliveryReport
from scheduling.models import ContactPoint, WorkItem
from scheduling.story import tell
from scheduling.transitions import allows, move
from scheduling.worklist import ask_staff
from waitlist import consent, offering, own_contacts, rerouting, staff_answers, why_not_sent
from waitlist.models import Channel, ConsentRecord, Message, Offer
from waitlist.withdrawal import NO_MORE_THERE, look_for_untold

Status = Message.Status

#: News a patient must have: when nothing reaches them, staff call.
MUST_BE_HEARD = frozenset(
    {
        Message.Kind.OFFER,
        Message.Kind.RECEIVED,
        Message.Kind.CONFIRMED,
        Message.Kind.REFUSED,
        Message.Kind.WITHDRAWN,
        Message.Kind.QUESTION,
        Message.Kind.CANCELLED,
        Message.Kind.NOT_CANCELLED,
    }
)
#: How long a message that our own code failed at is left alone.
SETBACK = timedelta(seconds=30)
#: How long an answer to a patient's own message waits for a carrier that is down or refuses us.
ANSWER_WORTH = timedelta(hours=24)
#: A receipt of an opt-out is expected within five minutes (47 CFR 64.1200(a)(12)); later it is a text nobody wants.
RECEIPT_WORTH = timedelta(minutes=5)
#: Why staff offer a time on the phone that was to be offered in writing.
NO_ADDRESS = "No text or e-mail arrives at any address we have."
NOT_TAKEN = "The carrier takes no messages of ours just now, and no other way is open."
IN_DOUBT = "A text may have arrived; the carrier does not answer, so nobody knows. No other way is open."
#: Reasons that stand against this address only: another way to the patient may be open.
ABOUT_THE_ADDRESS = frozenset({"opted_out", "no_consent", "invalid", "frozen", "gone", "age"})
#: Those of them that say nothing against hearing of the offer elsewhere at once.
ABOUT_THE_ADDRESS_ONLY = frozenset({"invalid", "gone"})


def address_unusable(message: Message, code: str) -> bool:
    """The address takes no messages, now or ever: remember that, and try the next one."""
    with transaction.atomic():
        if not _fail(message, code):
            return False
        _mark_invalid(message.contact_point)
        _go_elsewhere(message)
    return True


def opted_out(message: Message, code: str) -> bool:
    """The carrier knows of an opt-out that we do not: our ledger learns it, and the number gets nothing more."""
    with transaction.atomic():
        if not _fail(message, code):
            return False
        _revoke(message, code)
        _go_elsewhere(message)
    return True


def unwelcome(message: Message, code: str) -> bool:
    """It arrived, and who got it called it spam or wants no more: a STOP, said to the carrier. False: known before."""
    with transaction.atomic():
        return _revoke(message, code)


def give_up(message: Message, code: str, *, carrier_down: bool = False) -> bool:
    """It cannot be sent this way: another address is tried, by another carrier when this one is down."""
    with transaction.atomic():
        if not _fail(message, code):
            return False
        _go_elsewhere(message, skip_channel=message.channel if carrier_down else "")
    return True


def go_round(message: Message, code: str) -> bool:
    """The carrier does not accept us: what can reach the patient otherwise does so at once. False: nothing changed.

    An offer does not wait, since its time does not: where no other way is open, staff call.
    """
    with transaction.atomic():
        if not Message.objects.select_for_update().filter(pk=message.pk, status=message.status).exists():
            return True  # somebody else has dealt with it
        if message.kind not in (Message.Kind.OFFER, Message.Kind.STAFF) and not _has_another_way(message):
            return False
        if _fail(message, code):
            _go_elsewhere(message, skip_channel=message.channel, why=NOT_TAKEN)
    return True


def tell_of_offer_otherwise(message: Message) -> None:
    """It may have arrived, and the carrier that knows is down: an offer does not wait, as :func:`go_round` says.

    The message stays as it is and is asked about once that is possible, but not sent while staff have it to tell.
    """
    with transaction.atomic():
        mine = Message.objects.select_for_update().filter(pk=message.pk, status=Status.UNKNOWN)
        if message.kind != Message.Kind.OFFER or message.offer is None or not mine.exists():
            return
        if rerouting.send_elsewhere(message, skip_channel=message.channel) is None:
            _offer_by_phone(message, message.offer, IN_DOUBT)


def was_left_to_staff(message: Message) -> bool:
    """It did not arrive, and by now its offer is told by phone: it is not sent as well. False: nothing changed."""
    if message.kind != Message.Kind.OFFER or message.offer is None:
        return False
    calls = WorkItem.objects.filter(dedupe_key=offering.call_key(message.offer), status=WorkItem.Status.OPEN)
    return calls.exists() and _fail(message, message.error_code)


def stays_unknown(message: Message) -> None:
    """Nobody can say for so long whether it arrived: of news that must be heard staff tell, where no other way is."""
    if message.kind == Message.Kind.OFFER:
        return  # told otherwise as soon as the carrier was known to be down
    is_news = message.kind == Message.Kind.STAFF or message.kind in MUST_BE_HEARD
    if is_news and not _has_another_way(message):
        cannot_tell(message)


def _has_another_way(message: Message) -> bool:
    is_news = message.patient_id is not None and message.kind in MUST_BE_HEARD
    return is_news and rerouting.send_elsewhere(message, skip_channel=message.channel) is not None


def is_owed(message: Message, now: datetime) -> bool:
    """Whether it answers a patient and waits for the carrier: no other way takes it, and nobody is asked to call."""
    if message.initiated or message.kind in MUST_BE_HEARD or message.kind == Message.Kind.STAFF:
        return False
    worth = RECEIPT_WORTH if message.kind == Message.Kind.STOP_RECEIPT else ANSWER_WORTH
    return message.created_at > now - worth


def cannot_tell(message: Message) -> bool:
    """It may have arrived, and the carrier cannot be asked: a person decides, nothing is sent twice."""
    with transaction.atomic():
        if not move(message, Status.DEAD, error_code=message.error_code or "outcome_unknown", lease_until=None):
            return False
        tell(message.opening, "message.unknown", "It is not known whether a message arrived.", message_id=message.pk)
        _ask_to_call(
            message,
            "message.dead",
            "A message may not have arrived",
            "Its answer was lost, and it was not sent again so that nobody gets it twice. Call the patient to be sure.",
        )
    return True


def stumbled(message_id: int, most_tries: int) -> bool:
    """Our own code failed at this message: it is tried again a little later, and comes to rest as a dead letter."""
    message = Message.objects.select_related("opening", "patient", "location").get(pk=message_id)
    if message.status == Status.SENDING:
        move(message, Status.UNKNOWN, due_at=timezone.now() + SETBACK, error_code="our_fault")
        return True
    if message.status not in (Status.WAITING, Status.UNKNOWN):
        return False
    if message.attempts < most_tries:
        rows = Message.objects.filter(pk=message.pk, status=message.status)
        rows.update(due_at=timezone.now() + SETBACK, attempts=message.attempts + 1, error_code="our_fault")
        return True
    with transaction.atomic():
        dead = move(message, Status.DEAD, error_code="our_fault", lease_until=None)
        if dead:
            advice = "The machine fails at it. Call the patient, and tell whoever runs the system."
            _ask_to_call(message, "message.dead", "A message could not be sent", advice)
    return dead


def not_told(message: Message, reason: str) -> None:
    """It may not be sent to this address any more: what must be heard goes another consented way, or staff call."""
    if message.kind == Message.Kind.OFFER and message.offer is not None and reason == "age":
        _offer_by_phone(message, message.offer, offering.NEEDS_A_WORD)
        return
    reasons = ABOUT_THE_ADDRESS_ONLY if message.kind == Message.Kind.OFFER else ABOUT_THE_ADDRESS
    if message.kind == Message.Kind.STAFF or reason in reasons:
        _go_elsewhere(message)
    elif reason in NO_MORE_THERE:
        look_for_untold(message)


def take_report(message: Message, report: DeliveryReport) -> bool:
    """The carrier says that a message it took did not arrive."""
    if not allows(Message, "status", message.status, Status.FAILED):
        return False
    if report.trouble == "address":
        return address_unusable(message, report.code)
    if report.trouble == "opted_out":
        return opted_out(message, report.code)
    if report.trouble == "sender":
        return sender_refused(message, report.code)
    return give_up(message, report.code)


def sender_refused(message: Message, code: str) -> bool:
    """Phone companies do not take what comes from us, which shows only after a carrier took it: another way, and IT."""
    with transaction.atomic():
        if not _fail(message, code):
            return False
        ask_staff(
            "message.sender",
            "Texts of ours are taken, then refused on their way to patients",
            advice="Our account or number is not registered or verified, or was suspended. Offers go by e-mail and by "
            f"call meanwhile. Have an administrator look at the carrier's account: {code.replace('_', ' ')}.",
            dedupe_key=f"message.sender:{message.channel}",
            urgency=WorkItem.Urgency.RED,
        )
        _go_elsewhere(message, skip_channel=message.channel)
    return True


def _revoke(message: Message, code: str) -> bool:
    """Nobody is written to at the address any more; what is owed to those who waited for news goes another way."""
    line, stopped = consent.revoke_address(
        message.channel,
        message.address_index,
        source=ConsentRecord.Source.REPLY,
        patient=message.patient,
        statement=f"the carrier says: {why_not_sent.say(code) or code}",
    )
    for each in stopped:
        rerouting.tell_otherwise(each)
    return line is not None


def _fail(message: Message, code: str) -> bool:
    failed = move(message, Status.FAILED, error_code=code[:60], lease_until=None)
    if failed:
        what, why = "text" if message.channel == Channel.SMS else "e-mail", why_not_sent.say(code)
        said = f"{'A' if what == 'text' else 'An'} {what} did not arrive{f': {why}' if why else ''}."
        tell(message.opening, "message.failed", said, message_id=message.pk, code=code)
    return failed


def _mark_invalid(contact_point: ContactPoint | None) -> None:
    if contact_point is None:
        return
    usable = ContactPoint.objects.filter(pk=contact_point.pk, state=ContactPoint.State.USABLE)
    if usable.update(state=ContactPoint.State.INVALID):
        record_change(contact_point, {"state": (ContactPoint.State.USABLE, ContactPoint.State.INVALID)})


def _go_elsewhere(message: Message, *, skip_channel: str = "", why: str = NO_ADDRESS) -> None:
    if message.kind == Message.Kind.STAFF:
        # Words to whoever wrote, for no other address.
        staff_answers.not_told(message)
        return
    if message.kind == Message.Kind.CONTACT_CHANGED:
        own_contacts.not_heard(message)
        return
    if message.patient_id is None or message.kind not in MUST_BE_HEARD:
        return
    if rerouting.send_elsewhere(message, skip_channel=skip_channel) is not None:
        return
    if message.kind == Message.Kind.OFFER and message.offer is not None:
        _offer_by_phone(message, message.offer, why)
    else:
        _ask_to_call(
            message,
            "message.call",
            "A patient could not be reached by text or e-mail: please call",
            f"Message: {Message.Kind(message.kind).label}. No address we have works. Nothing else was changed.",
        )


def _offer_by_phone(message: Message, offer: Offer, why: str) -> None:
    """Have staff offer the time on the phone, as to a patient who cannot be written to; not if it is over by now."""
    if offer.status == Offer.Status.SENT and offer.answered_at is None and message.created_at >= offer.created_at:
        offering.ask_for_call(offer, why=why)


def _ask_to_call(message: Message, kind: str, title: str, advice: str) -> None:
    is_urgent = message.kind in (
        Message.Kind.CONFIRMED,
        Message.Kind.REFUSED,
        Message.Kind.CANCELLED,
        Message.Kind.NOT_CANCELLED,
    )
    ask_staff(
        kind,
        title,
        advice=advice,
        dedupe_key=f"{kind}:{message.pk}",
        urgency=WorkItem.Urgency.RED if is_urgent else WorkItem.Urgency.SOON,
        subject=message,
        opening=message.opening,
        patient=message.patient,
        location=message.location,
        due_at=message.expires_at,
    )
