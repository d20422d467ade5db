"""Taking offers back, letting them run out, and what is owed to those who said yes too late."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from audit.log import record_changes
from scheduling import openings
from scheduling.models import Opening, Practice, WorkItem
from scheduling.transitions import move
from scheduling.worklist import BY_ITSELF, finish, finish_for
from waitlist import consent, entries, links, messages
from waitlist.models import Channel, Message, Offer
from waitlist.offering import call_key
from waitlist.policies import policies_for, policy_for
from waitlist.sending import ENDS

#: Why an offer is taken back, where the patient reads "the time has been filled".
FILLED = frozenset({"filled", "taken"})
#: The patient's record is not to be used, for now: nothing is said, and the offer may stand again.
FROZEN = "frozen"
#: Reasons the patient knows or brought about, and those nobody is to be told of.
SILENT = frozenset({"not_waiting", "patient", "wrong_person", "replaced_by_fresh", FROZEN})
OUT = (Offer.Status.SENT, Offer.Status.PROPOSED)
#: Why nobody may be written to at an address any more, as its messages say that were stopped.
NO_MORE_THERE = ("opted_out", "no_consent", "frozen")
#: Messages after which nothing more is to be heard of an offer.
FINAL = ENDS


def ask_first_key(opening_id: int) -> str:
    """Return the worklist's key of an opening that waits for a person's "send"."""
    return f"opening.ask_first:{opening_id}"


def withdraw(opening: Opening, reason: str, now: datetime | None = None, *, only: Q | None = None) -> int:
    """Take back the opening's live and proposed offers; return how many.

    Messages that have not left are stopped. Who may have read theirs is told, outside quiet hours.
    """
    now = now or timezone.now()
    with transaction.atomic():
        rows = opening.offers.select_for_update(of=("self",)).filter(only or Q(), status__in=OUT).order_by("pk")
        out = list(rows.select_related("patient", "entry", "opening__location", "opening__provider"))
        # Who said yes too late hears from tell_late; whose time is over knew until when it stood.
        late = [offer for offer in out if offer.answered_at is not None]
        over = [offer for offer in out if offer.answered_at is None]
        ended = len(late)
        _end_late(late)
        if reason == "cut_off":
            ended += sum(_expire_one(offer, now) for offer in over)
        elif over:
            ended += _take_back(opening, over, reason, now)
        if only is None:
            finish_for(ask_first_key(opening.pk), "No longer needed.")
    return ended


def _take_back(opening: Opening, offers: list[Offer], reason: str, now: datetime) -> int:
    """Withdraw locked offers in a few statements, however many there are, and tell who may have read theirs."""
    keys = [offer.pk for offer in offers]
    Offer.objects.filter(pk__in=keys).update(status=Offer.Status.WITHDRAWN, withdrawn_reason=reason[:40])
    record_changes(
        [
            (offer, {"status": (offer.status, Offer.Status.WITHDRAWN), "withdrawn_reason": ("", reason)})
            for offer in offers
        ]
    )
    _finish_calls(offers, "The time is no longer offered.")
    sent = [offer for offer in offers if offer.status == Offer.Status.SENT]
    told = messages.take_back(sent, "withdrawn")
    if reason not in SILENT and told:
        _tell_it_is_over(opening, [offer for offer in sent if offer.pk in told], told, reason, now)
    return len(offers)


def _tell_it_is_over(
    opening: Opening, offers: list[Offer], told: dict[int, list[messages.Address]], reason: str, now: datetime
) -> None:
    """Write where the offers were written, by night only where the visit begins before the morning's messages."""
    kind = Message.Kind.FILLED if reason in FILLED else Message.Kind.WITHDRAWN
    house = Practice.current()
    policies = policies_for(opening.location_id, [offer.appointment_type_id for offer in offers])
    composed = []
    for offer in offers:
        subject = messages.Subject.of(offer, house=house, policy=policies[offer.appointment_type_id])
        # Who said yes is owed the end before the visit, who is texted by night hears it by night.
        by_night = offer.answered_at is not None or offer.entry.texts_by_night
        for address in told.get(offer.pk, ()):
            composed.append(
                messages.compose(
                    kind,
                    address,
                    subject,
                    {},
                    dedupe_key=f"over:{offer.pk}:{offer.token_hash[:12]}:{address.index[:24]}",
                    due_at=messages.due_time(address.channel, subject, now, offer.start, by_night=by_night),
                    expires_at=offer.start,
                    now=now,
                )
            )
    messages.queue_new(composed)


def mark_late(offer: Offer, now: datetime) -> None:
    """Note a yes that came too late, by one cheap UPDATE; :func:`end_late` does the rest soon."""
    live = Offer.objects.filter(pk=offer.pk, status=Offer.Status.SENT, answered_at__isnull=True)
    live.update(answered_at=now)


def end_late(limit: int = 500) -> int:
    """Give those who said yes too late their better place in line; return how many."""
    with transaction.atomic():
        rows = Offer.objects.select_for_update(of=("self",), skip_locked=True).order_by("answered_at")
        late = list(rows.filter(status=Offer.Status.SENT, answered_at__isnull=False)[:limit])
        _end_late(late)
    return len(late)


def _end_late(offers: list[Offer]) -> None:
    """End locked offers in a few statements, however many there are."""
    if not offers:
        return
    Offer.objects.filter(pk__in=[offer.pk for offer in offers]).update(status=Offer.Status.TOO_LATE)
    record_changes([(offer, {"status": (offer.status, Offer.Status.TOO_LATE)}) for offer in offers])
    messages.take_back(offers, "answered")
    entry_ids = [offer.entry_id for offer in offers]
    entries.bump_lost_races(entry_ids)
    entries.heard_from(*entry_ids)
    _finish_calls(offers, "The patient said yes, too late.")


def tell_late(opening: Opening, reason: str, now: datetime | None = None, limit: int = 200) -> bool:
    """Give those who said yes too late their final answer, once; return whether there may be more of them.

    When they said it they heard that somebody was first, and that we write whether it is filled or free again. Whoever
    said it after the opening had ended heard the truth at once. Call it in a transaction that holds the opening's row.
    """
    now = now or timezone.now()
    told = Message.objects.filter(offer=OuterRef("pk"), kind__in=FINAL, created_at__gte=OuterRef("created_at"))
    rows = opening.offers.filter(~Exists(told), status=Offer.Status.TOO_LATE, answered_at__lte=opening.closed_at or now)
    late = list(
        rows.select_related("patient", "entry", "opening__location", "opening__provider").order_by("pk")[:limit]
    )
    addresses = messages.take_back(late, "answered") if late else {}
    if addresses:
        _tell_it_is_over(opening, late, addresses, reason, now)
    return bool(addresses) and len(late) == limit


def _finish_calls(offers: list[Offer], resolution: str) -> None:
    for item in WorkItem.objects.filter(dedupe_key__in=map(call_key, offers), status=WorkItem.Status.OPEN):
        finish(item, BY_ITSELF, resolution)


def expire(now: datetime | None = None, limit: int = 200) -> int:
    """End offers whose time is over; return how many. Silence counts only where something was really sent."""
    now = now or timezone.now()
    rows = Offer.objects.filter(status=Offer.Status.SENT, answered_at__isnull=True, expires_at__lte=now)
    rows = rows.select_related("patient", "entry", "opening__location", "opening__provider")
    return sum(_expire_one(offer, now) for offer in rows.order_by("expires_at")[:limit])


def _expire_one(offer: Offer, now: datetime) -> bool:
    with transaction.atomic():
        was_told = offer.status == Offer.Status.SENT and messages.has_left(offer)
        # A yes may come in at this very moment: the UPDATE decides.
        if not move(offer, Offer.Status.EXPIRED, where=Q(answered_at__isnull=True)):
            return False
        messages.take_back([offer], "expired")
        finish_for(call_key(offer), "The offer has ended.")
        if was_told:
            _count_silence(offer, now)
    return True


def look_for_untold(message: Message) -> None:
    """Have the opening of an offer's message that was stopped looked at soon, for :func:`end_untold`.

    Only once the stop is stored: whoever takes offers back locks them before their messages.
    """
    if message.kind == Message.Kind.OFFER and message.opening_id is not None:
        transaction.on_commit(partial(openings.request_attention, message.opening_id), robust=True)


def end_untold(opening: Opening, now: datetime) -> int:
    """End the offers of which nobody was told and nobody will be, so that others are asked; return how many.

    Whoever said STOP is not called about the same time instead: it has run out for them.
    """
    theirs = Message.objects.filter(
        offer=OuterRef("pk"), kind=Message.Kind.OFFER, created_at__gte=OuterRef("created_at")
    )
    stopped = Q(status=Message.Status.SUPPRESSED, error_code__in=NO_MORE_THERE)
    rows = opening.offers.filter(Exists(theirs.filter(stopped)), ~Exists(theirs.exclude(stopped)))
    rows = rows.filter(status=Offer.Status.SENT, answered_at__isnull=True)
    return sum(_expire_one(offer, now) for offer in rows.order_by("pk"))


def _count_silence(offer: Offer, now: datetime) -> None:
    silences = entries.count_silence(offer.entry_id)
    policy = policy_for(offer.opening.location_id, offer.appointment_type_id)
    entry = offer.entry
    if silences < policy.silences_before_asking or entry.status != entry.Status.WAITING or not entries.ask(entry):
        return
    subject = messages.Subject(offer.patient, offer.opening.location, type_id=offer.appointment_type_id)
    tokens = links.make_request_link(entry, now)
    for contact in consent.ways(offer.patient, consent.day_at(offer.opening.location, now)):
        address = messages.Address.of(contact)
        messages.queue(
            Message.Kind.STILL_WANTED,
            address,
            subject,
            {"link": links.request_address_of(tokens.email if address.channel == Channel.EMAIL else tokens.text)},
            dedupe_key=f"still_wanted:{entry.pk}:{offer.pk}:{address.index[:24]}",
            now=now,
        )
