"""Every message a practice may word for itself: when it is sent, what its words may name, and what they must say. Pure.

The marks and their names are those of :mod:`waitlist.placeholders`, the words we come with those of
:mod:`waitlist.wording`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from waitlist.wording import EMAIL, LANGUAGES, SIGNATURE, SMS, VOICE

CONSENT: Final = "consent"
CALL: Final = "call"
_VISIT = ("practice", "time", "provider", "phone", "reference", "keep")


@dataclass(frozen=True, slots=True)
class Event:
    """A message. ``uses``: the names its words may hold; ``needs``: those a text, ``needs_in_mail``: those an e-mail
    must hold outside of brackets. ``says``: words a text must have in every language, ``*YES*`` being the language's
    yes in front of the code. ``is_sent``: false for words that are read out or printed. ``segments``: in how many a
    text arrives at most, with every value as long as it gets.
    """

    key: str
    title: str
    when: str
    uses: tuple[str, ...]
    needs: tuple[str, ...] = ("practice",)
    needs_in_mail: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    by_text: bool = True
    by_mail: bool = False
    by_voice: bool = False
    is_sent: bool = True
    segments: int = 1

    @property
    def has_subject(self) -> bool:
        """Whether its e-mail is one of its own."""
        return self.is_sent and self.key != SIGNATURE

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels it is sent on."""
        uses = ((SMS, self.by_text), (EMAIL, self.by_mail), (VOICE, self.by_voice))
        return tuple(channel for channel, used in uses if used)

    def may_name(self, channel: str) -> tuple[str, ...]:
        """Return the placeholders its words may hold on ``channel``."""
        if channel != EMAIL or not self.has_subject:
            return self.uses
        return (*self.uses, *(("answer",) if self.key == "answer" else ()), SIGNATURE)

    def must_name(self, channel: str) -> tuple[str, ...]:
        """Return the placeholders its words must hold on ``channel``, the e-mail's subject not counted."""
        return self.needs_in_mail if channel == EMAIL else self.needs


def _answer(outcome: str, title: str, when: str, *, about_a_time: bool = True, says: tuple[str, ...] = ()) -> Event:
    time = ("time",) if about_a_time else ()
    return Event(
        f"answer.{outcome}", title, when, ("practice", "phone", *time), ("practice", *time), says=says, by_mail=False
    )


EVENTS: Final[tuple[Event, ...]] = (
    Event(
        "offer",
        "Offer",
        "A time is offered. The first text a patient gets from you.",
        ("practice", "time", "code", "link", "provider", "phone", "keep"),
        needs=("practice", "time", "code"),
        needs_in_mail=("time", "link", "signature"),
        says=("*YES*", "STOP"),
        by_mail=True,
        segments=2,
    ),
    Event(
        "received",
        "Received, not yet confirmed",
        "The patient said yes first; the EHR is being written.",
        (*_VISIT, "by"),
        needs=("practice", "time"),
        needs_in_mail=("time", "signature"),
        by_mail=True,
        segments=2,
    ),
    Event(
        "confirmed",
        "Confirmed",
        "The EHR shows the booking.",
        ("practice", "time", "provider", "phone", "reference", "replaces"),
        needs=("practice", "time"),
        needs_in_mail=("time", "signature"),
        by_mail=True,
        segments=2,
    ),
    Event(
        "filled",
        "Filled by another patient",
        "Somebody else has the time.",
        ("practice", "time", "phone"),
        needs=("practice", "time"),
        needs_in_mail=("time", "signature"),
        by_mail=True,
    ),
    Event(
        "refused",
        "Could not be booked",
        "The patient said yes, and the EHR did not take the booking.",
        _VISIT,
        needs=("practice", "time"),
        needs_in_mail=("time", "signature"),
        by_mail=True,
        segments=2,
    ),
    Event(
        "refused.busy",
        "Could not be booked: busy then",
        "The patient said yes, and the EHR has another appointment of theirs at that time.",
        _VISIT,
        needs=("practice", "time"),
        needs_in_mail=("time", "signature"),
        by_mail=True,
    ),
    Event(
        "withdrawn",
        "Withdrawn",
        "The time is no longer offered, and nobody has it.",
        ("practice", "time", "phone"),
        needs=("practice", "time"),
        needs_in_mail=("time", "signature"),
        by_mail=True,
    ),
    Event(
        "cancelling",
        "Cancellation received",
        "The patient gave an appointment up; the EHR is being written.",
        ("practice", "time", "phone", "reference"),
        needs=("practice", "time"),
        needs_in_mail=("time", "signature"),
        by_mail=True,
    ),
    Event(
        "cancelling.staff",
        "Cancellation received: by staff",
        "The patient gave an appointment up, and your front desk cancels it.",
        ("practice", "time", "phone", "reference"),
        needs=("practice", "time"),
        needs_in_mail=("time", "signature"),
        by_mail=True,
    ),
    Event(
        "cancelled",
        "Cancelled",
        "The EHR shows the cancellation that the patient asked for.",
        ("practice", "time", "phone", "reference"),
        needs=("practice", "time"),
        needs_in_mail=("time", "signature"),
        by_mail=True,
    ),
    Event(
        "cancelled.waiting",
        "Cancelled: they wait again",
        "The EHR shows the cancellation, and the patient asked for another time.",
        ("practice", "time", "phone", "reference"),
        needs=("practice", "time"),
        needs_in_mail=("time", "signature"),
        by_mail=True,
    ),
    Event(
        "not_cancelled",
        "Could not be cancelled",
        "The patient gave an appointment up, and the EHR did not take it.",
        ("practice", "time", "phone", "reference"),
        needs=("practice", "time"),
        needs_in_mail=("time", "signature"),
        by_mail=True,
    ),
    Event(
        "still_wanted",
        "Still want this?",
        "The patient left several offers unanswered.",
        ("practice", "phone", "link"),
        says=("STOP",),
        needs_in_mail=("link", "signature"),
        by_mail=True,
        segments=2,
    ),
    Event(
        "question",
        "Question back",
        "The patient has several offers, and the answer fits more than one.",
        ("practice", "choices", "phone"),
        needs=("practice", "choices"),
        needs_in_mail=("choices", "signature"),
        by_mail=True,
        segments=2,
    ),
    Event(
        "stop_receipt",
        "Opt-out receipt",
        "The patient wrote STOP. The one message after it.",
        ("practice", "phone"),
        says=("START",),
        needs_in_mail=("practice", "phone"),
        by_mail=True,
    ),
    Event(
        "stop_receipt.urgent",
        "Answer: emergency, texts ended",
        "The patient's words sound like an emergency, and they want no texts, or ended them before.",
        ("practice", "phone"),
        says=("911", "START"),
        needs_in_mail=("practice", "phone"),
        by_mail=True,
    ),
    Event(
        "help",
        "Help",
        "The patient wrote HELP. The law wants your name, your phone and STOP in it.",
        ("practice", "phone"),
        says=("STOP",),
        needs_in_mail=("signature",),
        by_mail=True,
    ),
    Event(
        "answer",
        "Answer, in general",
        "Thanks for a message that changes nothing; by e-mail, the frame of every answer.",
        ("practice", "phone"),
        needs_in_mail=("answer", "signature"),
        by_mail=True,
    ),
    _answer("declined", "Answer: no, thank you", "The patient said no.", about_a_time=False),
    _answer("taken", "Answer: yes, but too late", "Another patient said yes first; their booking is under way."),
    _answer("expired", "Answer: the offer has ended", "The patient answered an offer that is over."),
    _answer("changed", "Answer: the time has changed", "The patient said yes to a time that was changed meanwhile."),
    _answer("held", "Answer: being checked", "The patient said yes while staff look at the time."),
    _answer("frozen", "Answer: please call", "The patient said yes, and a person must look at their record first."),
    _answer("overlaps", "Answer: busy then", "The patient said yes and has an appointment at that time."),
    _answer(
        "no_offer", "Answer: no open offer", "The patient said yes or no, and nothing is offered.", about_a_time=False
    ),
    _answer("stays", "Answer: stays on the list", "The patient still wants an earlier time.", about_a_time=False),
    _answer("left", "Answer: off the list", "The patient no longer wants an earlier time.", about_a_time=False),
    _answer("started", "Answer: texts again", "The patient wrote START.", about_a_time=False, says=("STOP",)),
    _answer(
        "who",
        "Answer: who we are",
        "Somebody asks who wrote. It may be a stranger, so it says nothing about a patient.",
        about_a_time=False,
        says=("STOP",),
    ),
    _answer(
        "urgent", "Answer: emergency", "The patient's words sound like an emergency.", about_a_time=False, says=("911",)
    ),
    Event(
        "contact_code",
        "Code for a new contact",
        "A patient wrote this number or address on their page. Nobody has agreed to messages there yet.",
        ("practice", "code", "phone"),
        needs=("practice", "code"),
        needs_in_mail=("code", "signature"),
        says=("STOP",),
        by_mail=True,
    ),
    Event(
        "contact_changed",
        "Contact details changed",
        "A patient changed on their page how they are reached. It goes where they were reached before.",
        ("practice", "phone"),
        needs_in_mail=("signature",),
        by_mail=True,
    ),
    Event(
        "staff",
        "Answer by staff",
        "A person answers what a patient wrote. The frame of their own words.",
        ("practice", "phone", "words"),
        needs=("practice", "words"),
        needs_in_mail=("words", "signature"),
        by_mail=True,
        segments=4,
    ),
    Event(
        SIGNATURE,
        "Closing lines of e-mails",
        "They stand below every e-mail.",
        ("practice", "phone"),
        by_text=False,
        needs_in_mail=("practice", "phone"),
        by_mail=True,
    ),
    Event(
        CONSENT,
        "Consent",
        "What a patient agrees to: read it out, or put it on your form. Its version is kept with each consent.",
        ("practice", "phone"),
        says=("STOP", "HELP"),
        needs_in_mail=("practice",),
        by_mail=True,
        is_sent=False,
    ),
    Event(
        CALL,
        "Call that offers a time",
        "What staff say to a patient who is offered a time on the phone. It stands on the call's page.",
        ("practice", "patient", "time", "provider", "keep", "until", "phone"),
        needs=("practice", "patient", "time"),
        by_text=False,
        by_voice=True,
        is_sent=False,
    ),
)
BY_KEY: Final[dict[str, Event]] = {event.key: event for event in EVENTS}


def every() -> Iterator[tuple[str, Event, str]]:
    """Return language, event and channel of all words there are."""
    for event in EVENTS:
        for channel in event.channels:
            for language in LANGUAGES:
                yield language, event, channel
