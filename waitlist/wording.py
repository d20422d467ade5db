"""The words of every message, in the patient's language: values in, subject and body out. Pure but for the files.

The words we come with stand in ``templates/messages/<language>/<event>.<channel>.txt``, marked as
:mod:`waitlist.placeholders` says; a practice's own words stand in for them. An event is a kind of message, or one with
its outcome: ``answer.held``, ``refused.busy``. An e-mail's first line is its subject. A context holds what the words
may need; every key is optional unless a kind's text uses it:

- ``practice``: how the place signs; ``phone``: the number a person answers
- ``start``: when the visit begins, on the location's clock; ``zone``: not empty where the zone must be named
- ``provider``: empty unless the location names providers in messages
- ``code``, ``link``, ``reference``
- ``call_after``: when the patient should call if nothing was heard; ``keep``: the later appointment of a move-up
  while it still stands; ``replaces``: the same once the earlier one is confirmed
- ``choices``: ``[(code, start), …]`` for a question back; ``outcome``: what an answer is about
- ``staff``: true where the front desk cancels an appointment by hand
- ``waiting``: true where whoever gave an appointment up is on the list for another
- ``patient``, ``until``: whom staff call, and how long the offer stands; only in what staff say on the phone
- ``words``: what a person of the staff wrote, in lines
- ``urgent``: true for an opt-out receipt that first of all answers urgent words
- ``busy``: true for a booking that was refused because the patient has another appointment at that time
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings

from waitlist.placeholders import fill
from waitlist.times import say, say_phone, say_short

LANGUAGES = ("en", "es")
SMS, EMAIL, VOICE = "sms", "email", "voice"
SIGNATURE = "signature"
#: An answer that brings no more news than another message says it in that one's words.
SAID_AS = {
    "pending": "received",
    **{each: each for each in ("confirmed", "filled", "refused", "withdrawn")},
}
#: Kinds that are said otherwise when something of the context is true.
VARIANTS = {"refused": "busy", "cancelling": "staff", "cancelled": "waiting", "stop_receipt": "urgent"}
_SUBJECT = "Subject:"
#: A longer name is cut in a text, where it would push out what matters. E-mails show it whole.
LONGEST_NAME_IN_A_TEXT = 40
_JOINERS = "\u200c\u200d"  # part of how names are written in some scripts


@dataclass(frozen=True, slots=True)
class Rendered:
    """What is sent; a text has no subject."""

    subject: str
    body: str


@dataclass(frozen=True, slots=True)
class Words:
    """What is written for an event, with its marks. A text has no subject."""

    subject: str
    text: str


#: A practice's own words by language, event and channel; what is not among them is said in the words we come with.
Changed = Mapping[tuple[str, str, str], Words]
NOTHING_CHANGED: Changed = {}


def language_of(tag: str) -> str:
    """Return the language we write in for a language tag such as es-MX; English where we have no other."""
    language = tag.lower().replace("_", "-").split("-")[0]
    return language if language in LANGUAGES else "en"


def event_of(kind: str, channel: str, context: Mapping[str, Any]) -> str:
    """Return whose words a message is written in. An e-mail's answer has one frame for all outcomes."""
    outcome = context.get("outcome", "")
    if kind == "urgent":
        kind, outcome = "answer", "urgent"
    if kind == "answer" and outcome in SAID_AS and channel == SMS:
        kind, outcome = SAID_AS[outcome], ""
    variant = VARIANTS.get(kind, "")
    if variant and context.get(variant):
        return f"{kind}.{variant}"
    own = f"{kind}.{outcome}"
    return own if outcome and channel == SMS and _is_written(own) else kind


def shipped(language: str, event: str, channel: str) -> Words:
    """Return the words we come with. Raises FileNotFoundError for an event nobody has written."""
    return _read(language, event, channel)


def render(
    kind: str, channel: str, language: str, context: Mapping[str, Any], changed: Changed = NOTHING_CHANGED
) -> Rendered:
    """Return a message's words. Raises FileNotFoundError for a kind nobody has written."""
    language = language_of(language)
    event = event_of(kind, channel, context)
    words = changed.get((language, event, channel)) or shipped(language, event, channel)
    return fill_in(words, channel, language, context, changed)


def fill_in(
    words: Words, channel: str, language: str, context: Mapping[str, Any], changed: Changed = NOTHING_CHANGED
) -> Rendered:
    """Return ``words`` as they are sent: a text is one line, whatever lines it is written in."""
    values = values_of(channel, language, context)
    if channel == VOICE:
        return Rendered("", fill(words.text, values).strip())
    if channel == SMS:
        return Rendered("", " ".join(fill(words.text, values).split()))
    signature = changed.get((language, SIGNATURE, EMAIL)) or shipped(language, SIGNATURE, EMAIL)
    values[SIGNATURE] = fill(signature.text, values)
    if context.get("outcome"):  # an answer says in an e-mail what it says in a text
        values["answer"] = render("answer", SMS, language, context, changed).body
    body = re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in fill(words.text, values).split("\n")))
    return Rendered(" ".join(fill(words.subject, values).split()), f"{body.strip()}\n")


def values_of(channel: str, language: str, context: Mapping[str, Any]) -> dict[str, str]:
    """Return what each placeholder becomes: every value as plain text, every moment as people say it."""
    speak, longest = (say_short, LONGEST_NAME_IN_A_TEXT) if channel == SMS else (say, None)
    names_zone = bool(context.get("zone"))

    def said(moment: datetime | None, *, zone: bool = names_zone) -> str:
        return speak(moment, language, zone=zone) if moment else ""

    return {
        "practice": _cut(plain(context.get("practice", "")), longest),
        "provider": _cut(plain(context.get("provider", "")), longest),
        "phone": say_phone(plain(context.get("phone", ""))),
        "patient": plain(context.get("patient", "")),
        "words": "\n".join(plain(line) for line in str(context.get("words", "")).strip().splitlines()),
        "code": plain(context.get("code", "")),
        "reference": plain(context.get("reference", "")),
        "link": plain(context.get("link", "")),
        "time": said(context.get("start")),
        "by": said(context.get("call_after")),
        "keep": said(context.get("keep"), zone=False),
        "replaces": said(context.get("replaces"), zone=False),
        "until": said(context.get("until"), zone=False),
        "choices": _choices(channel, language, context.get("choices", ()), said),
    }


def _choices(channel: str, language: str, choices: Any, said: Callable[[datetime], str]) -> str:
    """Return the times to choose from, in a text as one sentence: the file's second line says the last of them."""
    if not choices:
        return ""
    lines = _path(language, "choice", channel).read_text(encoding="utf-8").splitlines()
    shown = list(choices)
    parts = [
        fill(lines[-1 if 0 < place == len(shown) - 1 else 0], {"code": plain(code), "time": said(at)})
        for place, (code, at) in enumerate(shown)
    ]
    return ("\n" if channel == EMAIL else ", ").join(parts)


def plain(value: object) -> str:
    """Return a value as one line of text without what is not seen: control characters and marks that turn writing."""
    text = str(value or "")
    seen = (letter if letter in _JOINERS or unicodedata.category(letter)[0] != "C" else " " for letter in text)
    return " ".join("".join(seen).split())


def _cut(text: str, longest: int | None) -> str:
    if longest is None or len(text) <= longest:
        return text
    return f"{text[: longest - 3].rstrip()}..."


@cache
def _read(language: str, event: str, channel: str) -> Words:
    written = _path(language, event, channel).read_text(encoding="utf-8").strip()
    if not written.startswith(_SUBJECT):
        return Words("", written)
    first, _, rest = written.partition("\n")
    return Words(first.removeprefix(_SUBJECT).strip(), rest.strip())


@cache
def _is_written(event: str) -> bool:
    return _path("en", event, SMS).exists()


def _path(language: str, event: str, channel: str) -> Path:
    return Path(settings.BASE_DIR, "templates", "messages", language, f"{event}.{channel}.txt")
