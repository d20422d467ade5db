"""How a practice's words look before they are used: as they arrive on a phone, with what the check found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings

from scheduling.models import AppointmentType, Location, Practice
from waitlist import house_words, specimens, wording
from waitlist.events import BY_KEY, Event, every
from waitlist.models import MessageTemplate
from waitlist.proofreading import Finding, Length, cut, length, proofread
from waitlist.wording import EMAIL, SMS, VOICE, Changed, Rendered, Words

LANGUAGE_NAMES = {"en": "English", "es": "Spanish"}
CHANNEL_NAMES = {SMS: "text", EMAIL: "e-mail", VOICE: "phone call"}


@dataclass(frozen=True, slots=True)
class Key:
    """Whose words these are."""

    language: str
    event: Event
    channel: str

    @property
    def parts(self) -> tuple[str, str, str]:
        """Return what the words are stored under."""
        return self.language, self.event.key, self.channel

    @property
    def name(self) -> str:
        """Return "English text"."""
        return f"{LANGUAGE_NAMES[self.language]} {CHANNEL_NAMES[self.channel]}"

    @property
    def has_subject(self) -> bool:
        """Whether they are an e-mail of its own."""
        return self.channel == EMAIL and self.event.has_subject


@dataclass(frozen=True, slots=True)
class House:
    """What every preview needs of the practice: the usual and the longest signature, the phone, its kinds of visit."""

    practice: str
    longest_practice: str
    phone: str
    names_providers: bool
    visit_types: tuple[str, ...]

    @classmethod
    def read(cls) -> House:
        """Return it, in three queries, without making anything."""
        row = Practice.objects.filter(pk=1).first() or Practice()
        places = list(Location.objects.filter(active=True))
        signatures = [row.name, *(place.signature for place in places if place.signature)]
        types = AppointmentType.objects.filter(active=True).values_list("name", "code")
        return cls(
            row.name,
            max(signatures, key=len),
            row.phone or next((place.phone for place in places if place.phone), ""),
            any(place.names_providers for place in places),
            tuple(name for pair in types for name in pair),
        )


@dataclass(frozen=True, slots=True)
class Bubble:
    """A message as it arrives. ``parts``: a text's segments; ``length`` is None for an e-mail."""

    label: str
    rendered: Rendered
    parts: list[list[tuple[str, bool]]]
    length: Length | None

    @property
    def segments_word(self) -> str:
        return f"{self.length.segments} segments" if self.length else ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What the page shows beside the words."""

    bubbles: list[Bubble]
    findings: list[Finding]

    @property
    def is_blocked(self) -> bool:
        return any(finding.blocks for finding in self.findings)


def example(key: Key, words: Words, house: House) -> Rendered:
    """Return the words with the usual values, as a test carries them."""
    values = specimens.usual(key.event, house.practice, house.phone, settings.PUBLIC_BASE_URL)
    return wording.fill_in(words, key.channel, key.language, values, house_words.in_use())


def preview(key: Key, words: Words, house: House, changed: Changed) -> Preview:
    """Return how the words would arrive, as usual and at their longest, and what is to be said about them.

    ``changed``: the practice's other words, of which an e-mail quotes the closing lines.
    """
    site = settings.PUBLIC_BASE_URL
    usual = specimens.usual(key.event, house.practice, house.phone, site)
    longest = specimens.longest(
        key.event, house.longest_practice, house.phone, site, names_providers=house.names_providers
    )
    bubbles = [
        _bubble(label, key, wording.fill_in(words, key.channel, key.language, values, changed))
        for label, values in (("As usual", usual), ("At its longest", longest))
    ]
    if bubbles[0].rendered == bubbles[1].rendered:
        bubbles.pop()
    findings = proofread(key.event, key.channel, key.language, words, visit_types=house.visit_types)
    return Preview(bubbles, [*findings, *_about_length(bubbles)])


def _bubble(label: str, key: Key, rendered: Rendered) -> Bubble:
    if key.channel == EMAIL or not key.event.is_sent:
        return Bubble(label, rendered, [[(rendered.body, False)]], None)
    measured = length(rendered.body)
    return Bubble(label, rendered, [_marked(part, measured.costly) for part in cut(rendered.body)], measured)


def _marked(text: str, costly: str) -> list[tuple[str, bool]]:
    """Return the text in runs, each with whether its characters cost segments."""
    runs: list[tuple[str, bool]] = []
    for letter in text:
        is_costly = letter in costly
        if runs and runs[-1][1] == is_costly:
            runs[-1] = (runs[-1][0] + letter, is_costly)
        else:
            runs.append((letter, is_costly))
    return runs


def _about_length(bubbles: Iterable[Bubble]) -> Iterable[Finding]:
    measured = [bubble.length for bubble in bubbles if bubble.length]
    if not measured:
        return
    usual = measured[0]
    costly = max(measured, key=lambda each: len(each.costly))
    if costly.costly:
        yield Finding(
            False,
            "These characters are not in a text's alphabet, and make each segment hold 70 characters instead of 160: "
            f"{costly.spared}. é, ñ, ü and ¿ ¡ cost nothing.",
        )
    if usual.segments > 1:
        yield Finding(
            False, f"A usual text is billed as {usual.segments} segments. One holds {70 if usual.costly else 160}."
        )


@dataclass(frozen=True, slots=True)
class Cell:
    """Some words on the list: ``tone`` and ``word`` are their state."""

    key: Key
    tone: str
    word: str
    note: str


def cells() -> list[tuple[Event, list[Cell]]]:
    """Return every event with the state of its words, in a fixed number of queries."""
    house, changed = House.read(), house_words.in_use()
    rows = {(row.language, row.event, row.channel): row for row in MessageTemplate.objects.filter(active=True)}
    found: dict[str, list[Cell]] = {}
    for language, event, channel in every():
        key = Key(language, event, channel)
        row = rows.get(key.parts)
        words = Words(row.subject, row.text) if row else wording.shipped(*key.parts)
        found.setdefault(event.key, []).append(_cell(key, row, preview(key, words, house, changed).findings))
    return [(BY_KEY[name], each) for name, each in found.items()]


def _cell(key: Key, row: MessageTemplate | None, findings: list[Finding]) -> Cell:
    if findings:
        return Cell(key, "wait", "needs a look", findings[0].says)
    if row is None:
        return Cell(key, "ok", "as it came", "")
    return Cell(key, "accent", "yours", f"version {row.edition} by {row.edited_by}")
