"""Making one offer: who gets it, under which code, and how it reaches them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from auditlog.models import LogEntry
from django.db import IntegrityError, transaction

from audit.log import record_changes
from scheduling import shadow
from scheduling.models import ContactPoint, Opening, Practice, WorkItem
from scheduling.transitions import move
from scheduling.worklist import ask_staff
from waitlist import consent, house_words, links, messages, pacing, wording
from waitlist.facts import Fit, OpeningFacts
from waitlist.models import Channel, Message, Offer, WaitlistEntry
from waitlist.ranking import Ranked
from waitlist.reasons import Reason

#: A code is not given to the same number again for so long, so that a late reply means what it meant.
CODE_REST = timedelta(days=7)
#: What became of an earlier offer of the same opening that does not stand in the way of a fresh one.
OFFERED_AFRESH = (Offer.Status.TOO_LATE, Offer.Status.WITHDRAWN)
#: Reasons that leave the machine free to write to the patient itself.
NO_CAUTION = frozenset({Reason.SUITS, Reason.CALL})
#: Offers name nobody: these are not decrypted for them.
NAMES = ("patient__given_name", "patient__family_name", "patient__preferred_name")
#: Why staff offer a time on the phone.
NEEDS_A_WORD, NO_WAY = "This visit needs a word with the patient first.", "No text or e-mail may be sent."


@dataclass(frozen=True, slots=True)
class Plan:
    """One offer about to be made. ``codes`` are its reasons; ``fit`` says how its type is booked here."""

    entry: WaitlistEntry
    rank: int
    start: datetime
    end: datetime
    fit: Fit
    codes: tuple[str, ...]

    @property
    def needs_a_person(self) -> bool:
        """Whether staff talk to the patient instead of the machine."""
        return not NO_CAUTION.issuperset(self.codes)


def plan_of(wave: Wave, ranked: Ranked, entry: WaitlistEntry) -> Plan:
    """Return the offer that a verdict which suits stands for."""
    verdict = ranked.verdict
    fit = wave.facts.fit(verdict.type_id)
    if fit is None or verdict.start is None or verdict.end is None:
        raise ValueError("a verdict that suits names a type taken here and a time")
    return Plan(entry, ranked.rank, verdict.start, verdict.end, fit, tuple(verdict.codes))


@dataclass(slots=True)
class Wave:
    """The offers of one wave in the making: shared knowledge, so that each offer costs few queries.

    ``asleep``: entries that suit but could only be told when it is too late; ``uncalled``: those whom nobody is free to
    call just now.
    """

    opening: Opening
    facts: OpeningFacts
    number: int
    house: Practice
    words: wording.Changed = field(default_factory=house_words.in_use)
    ways: dict[int, list[ContactPoint]] = field(default_factory=dict)
    used_codes: dict[str, set[str]] = field(default_factory=dict)
    asleep: set[int] = field(default_factory=set)
    uncalled: set[int] = field(default_factory=set)
    sent: int = 0
    calls: int = 0

    def prepare(self, entries: Iterable[WaitlistEntry]) -> None:
        """Read how the patients may be reached and which codes their addresses have seen lately."""
        day = self.facts.now.astimezone(self.facts.zone).date()
        self.ways = consent.every_way((entry.patient for entry in entries), day, self.house)
        indexes = [contact.address_index for contacts in self.ways.values() for contact in contacts]
        seen = Message.objects.filter(
            kind=Message.Kind.OFFER, address_index__in=indexes, created_at__gte=self.facts.now - CODE_REST
        ).exclude(offer=None)
        for index, code in seen.values_list("address_index", "offer__code"):
            self.used_codes.setdefault(index, set()).add(code)

    def code_for(self, contacts: list[ContactPoint]) -> str:
        """Return digits that tell this offer from all others its addresses got lately."""
        used = set().union(*(self.used_codes.get(contact.address_index, set()) for contact in contacts))
        free = [code for code in map(str, range(10, 100)) if code not in used]
        free = free or [code for code in map(str, range(100, 10000)) if code not in used]
        code = secrets.choice(free)
        for contact in contacts:
            self.used_codes.setdefault(contact.address_index, set()).add(code)
        return code


def reachable(wave: Wave, plan: Plan) -> list[ContactPoint] | None:
    """Return where the offer can be sent in time; empty: by a call; None: not before it would be too late."""
    facts = wave.facts
    cut_off_at = pacing.cut_off(plan.start, plan.fit.policy, plan.fit.minimum_notice)
    contacts = [] if plan.needs_a_person else wave.ways.get(plan.entry.patient_id, [])
    if not contacts:
        quiet = pacing.quiet_until(facts.now, facts.zone, plan.fit.policy)
        return None if quiet is not None and quiet >= cut_off_at else []
    in_time = [contact for contact in contacts if _leaves_at(wave, plan, contact) < cut_off_at]
    return in_time or None


def _leaves_at(wave: Wave, plan: Plan, contact: ContactPoint) -> datetime:
    subject = messages.Subject(plan.entry.patient, wave.opening.location)
    cut_off_at = pacing.cut_off(plan.start, plan.fit.policy, plan.fit.minimum_notice)
    channel = consent.channel_of(contact)
    by_night = plan.entry.texts_by_night
    return pacing.send_at(channel, wave.facts.now, subject.zone, plan.fit.policy, cut_off_at, by_night=by_night)


@dataclass(slots=True)
class Draft:
    """An offer in the making: ``offer`` is unsaved, or the patient's earlier one of this opening."""

    plan: Plan
    contacts: list[ContactPoint]
    tokens: links.Tokens
    offer: Offer


def make(wave: Wave, plans: Sequence[tuple[Plan, list[ContactPoint]]], status: str) -> list[Offer]:
    """Store offers, sent or proposed, and put what is sent on the outbox or the call list; return those stored.

    The database may say no to one: its patient has another live offer, or had one of this opening that stands.
    In shadow none is made.
    """
    if shadow.is_on(wave.opening.source_id):
        return []
    drafts = _drafts(wave, plans, status)
    stored = _insert([draft for draft in drafts if draft.offer.pk is None])
    for draft in (draft for draft in drafts if draft.offer.pk is not None and draft not in stored):
        if draft.offer.status in OFFERED_AFRESH and _offer_again(wave, draft, status):
            stored.append(draft)
    if status == Offer.Status.SENT:
        _reach(wave, stored)
    return [draft.offer for draft in stored]


def send_proposed(wave: Wave, plan: Plan, offer: Offer, contacts: list[ContactPoint]) -> bool:
    """A person said "send": make the proposal a live offer. False in shadow, or when the patient has another one."""
    draft = Draft(plan, contacts, links.make_token(), offer)
    if shadow.is_on(wave.opening.source_id) or not _offer_again(wave, draft, Offer.Status.SENT):
        return False
    _reach(wave, [draft])
    return True


def _drafts(wave: Wave, plans: Sequence[tuple[Plan, list[ContactPoint]]], status: str) -> list[Draft]:
    # Somebody who was too late or whose offer was withdrawn has a row for this opening already: it starts afresh.
    patients = [plan.entry.patient_id for plan, _ in plans]
    earlier = {offer.patient_id: offer for offer in wave.opening.offers.filter(patient__in=patients)}
    drafts = []
    for plan, contacts in plans:
        tokens = links.make_token()
        offer = earlier.get(plan.entry.patient_id)
        if offer is None:
            values = _values(wave, plan, contacts, tokens, is_sent=status == Offer.Status.SENT)
            offer = Offer(opening=wave.opening, patient=plan.entry.patient, status=status, **values)
        drafts.append(Draft(plan, contacts, tokens, offer))
    return drafts


def _insert(drafts: list[Draft]) -> list[Draft]:
    """Insert new offers at once; one by one when the database refuses one of them."""
    for group in (drafts, *([draft] for draft in drafts)):
        try:
            with transaction.atomic():
                Offer.objects.bulk_create([draft.offer for draft in group])
        except IntegrityError:
            for draft in group:
                draft.offer.pk = None
            continue
        created = [(draft.offer, {"status": ("", draft.offer.status)}) for draft in group]
        record_changes(created, action=LogEntry.Action.CREATE)
        if group is drafts:
            break
    return [draft for draft in drafts if draft.offer.pk is not None]


def _offer_again(wave: Wave, draft: Draft, status: str) -> bool:
    is_sent = status == Offer.Status.SENT
    values = _values(wave, draft.plan, draft.contacts, draft.tokens, is_sent=is_sent)
    try:
        with transaction.atomic():
            stored = move(draft.offer, status, **values)
    except IntegrityError:
        return False
    draft.offer.opening, draft.offer.patient = wave.opening, draft.plan.entry.patient
    return stored


def _values(
    wave: Wave, plan: Plan, contacts: list[ContactPoint], tokens: links.Tokens, *, is_sent: bool
) -> dict[str, Any]:
    entry, now = plan.entry, wave.facts.now
    leaves_at = min((_leaves_at(wave, plan, contact) for contact in contacts), default=now)
    cut_off_at = pacing.cut_off(plan.start, plan.fit.policy, plan.fit.minimum_notice)
    return {
        "entry": entry,
        "appointment_type": entry.appointment_type,
        "move_up": entry.move_up,
        "start": plan.start,
        "end": plan.end,
        "wave": wave.number,
        "rank": plan.rank,
        "code": wave.code_for(contacts),
        "token_hash": tokens.hash,
        "asks_birth_year": any(consent.channel_of(contact) == Channel.EMAIL for contact in contacts),
        # Without a message or a call nobody waits for an answer: a proposal stands until the cut-off.
        "expires_at": min(cut_off_at, leaves_at + plan.fit.policy.offer_open) if is_sent else cut_off_at,
        "created_at": now,
        "answered_at": None,
        "withdrawn_reason": "",
    }


def _reach(wave: Wave, drafts: Sequence[Draft]) -> None:
    """Put each offer's messages on the outbox, or its call on the worklist."""
    composed = []
    for draft in drafts:
        if draft.contacts:
            composed += [_message(wave, draft, contact) for contact in draft.contacts]
            wave.sent += 1
        else:
            is_delicate = draft.plan.needs_a_person
            ask_for_call(draft.offer, NEEDS_A_WORD if is_delicate else NO_WAY)
            wave.calls += 1
    messages.queue_new(composed)


def _message(wave: Wave, draft: Draft, contact: ContactPoint) -> Message:
    offer, address = draft.offer, messages.Address.of(contact)
    token = draft.tokens.email if address.channel == Channel.EMAIL else draft.tokens.text
    return messages.compose(
        Message.Kind.OFFER,
        address,
        messages.Subject.of(offer, house=wave.house, policy=draft.plan.fit.policy, words=wave.words),
        {"link": links.address_of(token), "keep": kept_until_confirmed(offer)},
        dedupe_key=f"offer:{offer.pk}:{offer.token_hash[:12]}:{address.index[:24]}",
        due_at=_leaves_at(wave, draft.plan, contact),
        expires_at=offer.expires_at,
        now=wave.facts.now,
    )


def kept_until_confirmed(offer: Offer) -> datetime | None:
    """Return the start of the appointment that a yes will cancel, on the location's clock; None for no move-up."""
    old = offer.move_up
    if old is None or old.start is None or not old.occupies_time:
        return None
    return old.start.astimezone(offer.opening.location.zone)


def ask_for_call(offer: Offer, why: str) -> WorkItem:
    """Have staff offer the time on the phone. It runs beside the wave, which does not wait for it."""
    return ask_staff(
        "offer.call",
        "Call a patient and offer a freed time",
        advice=f"{why} Nothing is booked until you record a yes here. After the time shown the offer ends by itself.",
        dedupe_key=call_key(offer),
        subject=offer,
        opening=offer.opening,
        patient=offer.patient,
        due_at=offer.expires_at,
    )


def call_key(offer: Offer) -> str:
    """Return the worklist's key of an offer's call."""
    return f"offer.call:{offer.pk}"
