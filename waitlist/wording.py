"""The words of every message, in the patient's language: values in, subject and body out.

The texts stand in ``templates/messages/<language>/<kind>.<channel>.txt``, those of an answer in
``answer.<outcome>.sms.txt``. An e-mail's first line is its subject. A context holds what the words may need; every
key is optional unless a kind's text uses it:

- ``practice``: how the place signs; ``phone``: the number a person answers
- ``start``: when the visit begins, on the location's clock; ``zone``: not empty where the zone must be named
- ``provider``: empty unless the location names providers in messages
- ``code``, ``link``, ``reference``
- ``call_after``: when the patient should call if nothing was heard; ``keep``: the later appointment of a move-up
  while it still stands; ``replaces``: the same once the earlier one is confirmed
- ``choices``: ``[(code, start), …]`` for a question back; ``outcome``: what an answer is about
- ``staff``: true where the front desk cancels an appointment by hand
- ``busy``: true for a booking that was refused because the patient has another appointment at that time
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.template import Context, Engine, Template

from waitlist.times import say, say_phone, say_short

LANGUAGES = ("en", "es")
EMAIL = "email"
_SUBJECT = "Subject:"
#: A longer name is cut in a text, where it would push out what matters. E-mails show it whole.
LONGEST_NAME_IN_A_TEXT = 40
_JOINERS = "\u200c\u200d"  # part of how names are written in some scripts


@dataclass(frozen=True, slots=True)
class Rendered:
    """What is sent; a text has no subject."""

    subject: str
    body: str


def language_of(tag: str) -> str:
    """Return the language we write in for a language tag such as es-MX; English where we have no other."""
    language = tag.lower().replace("_", "-").split("-")[0]
    return language if language in LANGUAGES else "en"


def render(kind: str, channel: str, language: str, context: Mapping[str, Any]) -> Rendered:
    """Return a message's words. Raises TemplateDoesNotExist for a kind nobody has written."""
    language = language_of(language)
    if channel == EMAIL:
        return _email(kind, language, context)
    return Rendered("", _text(kind, language, context))


def _text(kind: str, language: str, context: Mapping[str, Any]) -> str:
    """A text is one line, whatever lines its template has."""
    outcome = context.get("outcome", "")
    template = _first_of(language, [f"{kind}.{outcome}.sms.txt", f"{kind}.sms.txt"])
    return " ".join(_fill(template, _values(context, language, say_short, LONGEST_NAME_IN_A_TEXT)).split())


def _email(kind: str, language: str, context: Mapping[str, Any]) -> Rendered:
    template = _first_of(language, [f"{kind}.email.txt"])
    values = _values(context, language, say)
    if context.get("outcome"):  # an answer says in an e-mail what it says in a text
        values["text"] = _text(kind, language, context)
    first, _, rest = _fill(template, values).partition("\n")
    body = re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in rest.split("\n")))
    return Rendered(first.removeprefix(_SUBJECT).strip(), f"{body.strip()}\n")


def _values(context: Mapping[str, Any], language: str, speak: Any, longest: int | None = None) -> dict[str, Any]:
    """Return what a template shows: every value as plain text, every moment as people say it."""
    names_zone = bool(context.get("zone"))

    def said(moment: datetime | None, *, zone: bool = names_zone) -> str:
        return speak(moment, language, zone=zone) if moment else ""

    return {
        "practice": _cut(plain(context.get("practice", "")), longest),
        "provider": _cut(plain(context.get("provider", "")), longest),
        "phone": say_phone(plain(context.get("phone", ""))),
        "code": plain(context.get("code", "")),
        "reference": plain(context.get("reference", "")),
        "link": plain(context.get("link", "")),
        "when": said(context.get("start")),
        "by": said(context.get("call_after")),
        "keep": said(context.get("keep"), zone=False),
        "replaces": said(context.get("replaces"), zone=False),
        "busy": bool(context.get("busy")),
        "staff": bool(context.get("staff")),
        "choices": [{"code": plain(code), "when": said(at)} for code, at in context.get("choices", ())],
    }


def plain(value: object) -> str:
    """Return a value as one line of text without what is not seen: control characters and marks that turn writing."""
    text = str(value or "")
    seen = (letter if letter in _JOINERS or unicodedata.category(letter)[0] != "C" else " " for letter in text)
    return " ".join("".join(seen).split())


def _cut(text: str, longest: int | None) -> str:
    if longest is None or len(text) <= longest:
        return text
    return f"{text[: longest - 3].rstrip()}..."


def _fill(template: Template, values: Mapping[str, Any]) -> str:
    return template.render(Context(values, autoescape=False))


def _first_of(language: str, names: list[str]) -> Template:
    return _engine().select_template([f"{language}/{name}" for name in names if ".." not in name])


@lru_cache(maxsize=1)
def _engine() -> Engine:
    # An engine of its own: these are texts, in which "<" and "&" are letters, and they need no context processors.
    return Engine(dirs=[str(settings.BASE_DIR / "templates" / "messages")], autoescape=False)
