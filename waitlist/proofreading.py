"""The check of a message's words before they are used: what must be mended, and what to think about. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from waitlist import gsm7, placeholders
from waitlist.events import Event
from waitlist.wording import EMAIL, SMS, Words

LONGEST = 1000
LONGEST_SUBJECT = 150
#: Of a person's own words in one answer: three segments.
LONGEST_ANSWER = 400
YES = "*YES*"
_YES: Final = {"en": (r"\bYES\s+\{code\}", "YES {code}"), "es": (r"\bS[IÍ]\s+\{code\}", "SI {code}")}
#: Carriers end all texts to a number that answers with one of these.
_OPTS_OUT: Final = re.compile(
    r"\b(?:reply|text|answer|send|responda|escriba|conteste|mande)\s+[\"“«]?(CANCEL|END|QUIT|UNSUBSCRIBE)\b",
    re.IGNORECASE,
)
_SHORTENED: Final = re.compile(
    r"\b(?:bit\.ly|tinyurl\.com|goo\.gl|t\.co|ow\.ly|is\.gd|buff\.ly|rebrand\.ly|cutt\.ly|rb\.gy|shorturl\.at|tiny\.cc)\b",
    re.IGNORECASE,
)
#: What stands for something else in the words of our messages, and for nothing in a person's own.
_BLANK: Final = re.compile(r"\{[^{}\n]{1,40}\}")
_ADDRESS: Final = re.compile(r"https?://|\bwww\.", re.IGNORECASE)
#: Words that tell whoever reads over a shoulder what somebody is treated for, in English and Spanish.
TELLING: Final = (
    *("abortion", "addiction", "biopsy", "cancer", "chemo", "chemotherapy", "colonoscopy", "counseling", "dementia"),
    *("depression", "diabetes", "diagnosis", "dialysis", "fertility", "HIV", "mammogram", "mental health", "MRI"),
    *("oncology", "pregnancy", "prenatal", "psychiatry", "psychology", "rehab", "STD", "STI", "surgery", "therapy"),
    *("ultrasound", "vaccine", "Pap", "aborto", "adicción", "biopsia", "cáncer", "quimioterapia", "colonoscopia"),
    *("demencia", "depresión", "diagnóstico", "diálisis", "fertilidad", "VIH", "mamografía", "salud mental"),
    *("oncología", "embarazo", "psiquiatría", "psicología", "rehabilitación", "cirugía", "terapia", "ultrasonido"),
    *("ecografía", "vacuna", "resonancia"),
)
#: Names of kinds of visit that tell nothing.
_HARMLESS: Final = frozenset({"appointment", "visit", "cita", "visita", "time", "opening"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about the words. ``blocks``: they cannot be used before it is mended."""

    blocks: bool
    says: str


def proofread(
    event: Event, channel: str, language: str, words: Words, *, visit_types: Iterable[str] = ()
) -> list[Finding]:
    """Return what is wrong with ``words`` or worth a thought, the worst first.

    ``visit_types``: the names and codes of the practice's kinds of visit, which no message may name.
    """
    whole = f"{words.subject}\n{words.text}"
    findings = [
        *_empty(channel, event, words),
        *_marks(event, channel, words),
        *_required(event, channel, language, words),
        *_privacy(whole, visit_types),
        *_links(whole),
        *_carriers(channel, words.text),
    ]
    return sorted(findings, key=lambda finding: not finding.blocks)


def proofread_answer(
    channel: str, words: str, *, visit_types: Iterable[str] = (), names: Iterable[str] = (), may_name: bool = True
) -> list[Finding]:
    """Return what is wrong with a person's own answer to a patient or worth a thought, the worst first.

    ``names``: of those who may read it. ``may_name``: only one grown person does.
    """
    findings = [
        *([] if words.strip() else [_stop("There are no words yet.")]),
        *([_stop(f"That is too long: at most {LONGEST_ANSWER} characters.")] if len(words) > LONGEST_ANSWER else []),
        *_left_open(words),
        *_named(words, names, may_name),
        *_privacy(words, visit_types),
        *_typed_links(words),
        *_carriers(channel, words),
    ]
    return sorted(findings, key=lambda finding: not finding.blocks)


def _left_open(text: str) -> Iterable[Finding]:
    for mark in dict.fromkeys(_BLANK.findall(text)):
        yield _stop(f"{mark} would arrive as it stands: nothing is filled in here. Write what you mean instead.")


def _typed_links(text: str) -> Iterable[Finding]:
    if _SHORTENED.search(text):
        yield _stop("Carriers block texts with shortened links. Write the whole address, or leave it out.")
    elif _ADDRESS.search(text):
        yield _look("There is a web address in it. Carriers filter texts with addresses: leave it out if you can.")


def _named(text: str, names: Iterable[str], may_name: bool) -> Iterable[Finding]:
    for name in dict.fromkeys(each.strip() for each in names):
        if len(name) < 2 or not _has(name, text):
            continue
        if may_name:
            yield _look(f"“{name}” is the patient's name. Messages are read on locked screens: better without it.")
        else:
            yield _stop(f"“{name}” is a patient's name, and others read this number. Leave it out.")


def _stop(says: str) -> Finding:
    return Finding(True, says)


def _look(says: str) -> Finding:
    return Finding(False, says)


def _empty(channel: str, event: Event, words: Words) -> Iterable[Finding]:
    if not words.text.strip():
        yield _stop("There are no words. Write some, or go back to the words we came with.")
    if channel == EMAIL and event.has_subject and not words.subject.strip():
        yield _stop("An e-mail needs a subject.")
    if len(words.text) > LONGEST or len(words.subject) > LONGEST_SUBJECT:
        yield _stop(f"That is too long: at most {LONGEST} characters, {LONGEST_SUBJECT} in a subject.")


def _marks(event: Event, channel: str, words: Words) -> Iterable[Finding]:
    allowed = event.may_name(channel)
    for name in placeholders.names(words.text):
        if name not in allowed:
            yield _stop(f"{{{name}}} is not known here.{_meant(name, allowed)}")
    for name in placeholders.names(words.subject):
        if name != "practice":
            yield _stop(f"{{{name}}} cannot stand in a subject: subjects are read on locked screens.")
    stray = placeholders.left_over(words.text) + placeholders.left_over(words.subject)
    if stray:
        shown = " ".join(dict.fromkeys(stray))
        yield _stop(
            f"{shown} stands alone. A placeholder is written {{time}}; words that may be left out stand in [ ], "
            "without another [ ] inside."
        )


def _meant(name: str, allowed: tuple[str, ...]) -> str:
    meant = placeholders.MEANT.get(name)
    if meant not in allowed:
        meant = next(iter(get_close_matches(name, allowed, 1, 0.5)), None)
    known = ", ".join(f"{{{each}}}" for each in allowed)
    return f" Did you mean {{{meant}}}?" if meant else f" These are: {known}."


def _required(event: Event, channel: str, language: str, words: Words) -> Iterable[Finding]:
    if not words.text.strip():
        return
    missing = [name for name in event.must_name(channel) if name not in placeholders.always(words.text)]
    if event.key == "help" and channel == SMS and "phone" not in placeholders.names(words.text):
        missing.append("phone")
    for name in missing:
        where = " outside of [ ]" if name in placeholders.names(words.text) else ""
        yield _stop(f"{{{name}}} is missing{where}.")
    if channel == EMAIL:
        return
    for word in event.says:
        if word == YES:
            pattern, written = _YES[language]
            if "code" not in missing and not re.search(pattern, words.text):
                yield _stop(f"The text must ask for “{written}”: a bare yes may be taken for another offer.")
        elif not re.search(rf"\b{word}\b", words.text):
            yield _stop(f"The word {word} is missing{_WHY.get(word, '')}.")


_WHY: Final = {
    "STOP": ": the law wants the way out named here, and carriers know this word in every language",
    "START": ": it is the way back",
    "911": ": nobody may wait for an answer in an emergency",
}


def _privacy(text: str, visit_types: Iterable[str]) -> Iterable[Finding]:
    for name in dict.fromkeys(each.strip() for each in visit_types):
        if name and name.lower() not in _HARMLESS and _has(name, text):
            yield _stop(f"“{name}” is a kind of visit here. Messages are read on locked screens: leave it out.")
    for word in TELLING:
        if _has(word, text):
            yield _stop(f"“{word}” may tell what a patient is treated for. Leave it out.")


def _has(word: str, text: str) -> bool:
    spaced = r"[\s_-]+".join(re.escape(part) for part in re.split(r"[\s_-]+", word) if part)
    return bool(spaced) and re.search(rf"(?<!\w){spaced}s?(?!\w)", text, re.IGNORECASE) is not None


def _links(text: str) -> Iterable[Finding]:
    if _SHORTENED.search(text):
        yield _stop("Carriers block texts with shortened links. Use {link}, or leave the link out.")
    elif _ADDRESS.search(text):
        yield _look("There is a web address besides {link}. Carriers filter texts with unknown addresses.")


def _carriers(channel: str, text: str) -> Iterable[Finding]:
    found = _OPTS_OUT.search(text) if channel == SMS else None
    if found:
        yield _stop(f"Do not ask for {found[1].upper()}: carriers take it for an opt-out and block the number.")


@dataclass(frozen=True, slots=True)
class Length:
    """How a text is billed. ``costly``: the characters that force the short segments of 70 instead of 160."""

    units: int
    room: int
    segments: int
    costly: str

    @property
    def spared(self) -> str:
        """The costly characters with what to write instead: "á → a"; those without a stand-in alone."""
        return ", ".join(f"{each} → {_PLAIN[each]}" if each in _PLAIN else each for each in self.costly)


_PLAIN: Final = dict(zip("áíóúÁÍÓÚ“”‘’–—…", [*"aiouAIOU", '"', '"', "'", "'", "-", "-", "..."], strict=True))


def length(text: str) -> Length:
    """Return how a carrier cuts a text that is sent as it stands."""
    costly = gsm7.foreign(text)
    segments = gsm7.segments(text)
    if costly:
        room = gsm7.UNICODE_ONE if segments == 1 else gsm7.UNICODE_EACH * segments
    else:
        room = gsm7.ONE if segments == 1 else gsm7.EACH * segments
    return Length(gsm7.units(text), room, segments, costly)


def cut(text: str) -> list[str]:
    """Return the parts that a text arrives in, one per segment; phones put them together again."""
    if gsm7.segments(text) == 1:
        return [text]
    most = gsm7.UNICODE_EACH if gsm7.foreign(text) else gsm7.EACH
    is_wide = bool(gsm7.foreign(text))
    parts, used = [""], 0
    for letter in text:
        size = len(letter.encode("utf-16-be")) // 2 if is_wide else gsm7.units(letter)
        if used + size > most:
            parts.append("")
            used = 0
        parts[-1] += letter
        used += size
    return parts
