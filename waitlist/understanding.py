"""What a patient's text means, in English and Spanish. Pure: words in, an intent out; whoever guesses is wrong.

A word decides only where the rest of the text is politeness. "Yes but later" is not a yes: a person reads it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from waitlist.stop_words import BESIDE, STOP_WORDS, asks_to_stop, speaks_of_the_list
from waitlist.wrong_number_words import Sureness, says_died, says_wrong_person, who_are_you


class Intent(StrEnum):
    """What the sender wants."""

    YES = "yes"
    NO = "no"
    CODE = "code"
    STOP = "stop"
    START = "start"
    HELP = "help"
    OKAY = "okay"
    WRONG_PERSON = "wrong_person"
    MAYBE_WRONG_PERSON = "maybe_wrong_person"
    WHO = "who"
    DIED = "died"
    URGENT = "urgent"
    EMPTY = "empty"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Meaning:
    """An intent and, with a yes or no, the digits that say which offer is meant.

    ``stops``: what is more than an opt-out asks for one, too ("wrong number, stop", "chest pain, STOP").
    ``off_the_list``: an opt-out that names the list ("take me off your list").
    """

    intent: Intent
    code: str = ""
    stops: bool = False
    off_the_list: bool = False


#: Texts longer than this are letters, not answers.
LONGEST_ANSWER = 60
START_WORDS = frozenset(("start", "unstop", "subscribe", "opt in", "empezar", "comenzar", "iniciar", "alta"))
HELP_WORDS = frozenset(("help", "info", "ayuda", "informacion"))
YES = frozenset(("yes", "y", "yep", "yeah", "yea", "yup", "si", "sip", "claro", "sure", "accept", "acepto"))
NO = frozenset(("no", "n", "nope", "nah", "decline", "rechazo"))
#: Whole texts that take what was offered without a yes.
ACCEPTING = frozenset(
    (
        *("ill take it", "i will take it", "i want it", "i want that one", "ill take that one", "i accept", "book it"),
        *("la quiero", "la tomo", "la acepto", "quiero la cita", "quiero esa cita", "tomo la cita", "me la quedo"),
    )
)
#: Polite words that people also send to say "I have read it": by themselves they are no yes.
OKAY = frozenset(("ok", "okay", "k", "kk", "thanks", "thank", "you", "thx", "ty", "vale", "gracias", "muchas", "bueno"))
#: The same of a whole text.
OKAY_TEXTS = frozenset(
    (
        *("sounds good", "works for me", "that works", "great", "perfect", "cool", "got it", "will do"),
        *(
            "perfecto",
            "perfecta",
            "de acuerdo",
            "esta bien",
            "dale",
            "listo",
            "sale",
            "orale",
            "me sirve",
            "me interesa",
        ),
    )
)
YES_SIGNS = ("👍", "✅", "👌", "🙋")
NO_SIGNS = ("👎", "❌", "🚫")
# fmt: off
#: What may stand beside a yes or a no without changing it.
POLITE = frozenset(
    [
        "please", "pls", "plz", "thanks", "thank", "thx", "you", "u", "ty", "great", "perfect", "definitely",
        "absolutely", "i", "ill", "will", "take", "it", "want", "would", "like", "that", "this", "one", "sir", "maam",
        "hi", "hello", "for", "me", "works", "good", "sounds", "so", "much", "very", "code", "can", "do", "accept",
        "confirm", "the", "por", "favor", "gracias", "muchas", "quiero", "la", "lo", "esta", "esa", "cita", "tomo",
        "perfecto", "acepto", "hola", "buenos", "dias", "buenas", "tardes", "sirve", "codigo", "puedo", "confirmo",
        "senor", "senora", "thing",
        # Spoken by whoever dictates.
        "period", "comma", "exclamation", "point", "mark", "punto", "coma",
    ]
)
#: What may stand beside a no only.
REGRET = frozenset(
    [
        "not", "now", "today", "sorry", "cant", "cannot", "make", "im", "interested", "pass", "time", "need", "dont",
        "ahora", "hoy", "lo", "siento", "interesa", "necesito", "no", "disculpe", "perdon",
    ]
)
# fmt: on
#: Beside a plain no these contradict it ("no, I want it"), unless the text says not.
_WANTING = frozenset(("want", "take", "like", "works", "accept", "confirm", "perfect", "great"))
_NOT = frozenset(("not", "dont", "cant", "cannot"))
#: Beside a code they are a yes, and a word for "number" there says nothing.
_TAKING = frozenset(("take", "want", "accept", "quiero", "tomo", "acepto"))
_NUMBER = frozenset(("number", "num", "numero"))
_PLEASE = frozenset(("please", "pls", "plz", "por", "favor"))
_URGENT_PHRASES = re.compile(
    r"\b(chest ?pains?|chest pian|pains? in (my|his|her|the) chest|chest ([a-z]+ )?(hurts?|hurting|aches?|discomfort)|"
    r"chest (is |feels )?(tight|tightness|pressure)|(tightness|pressure) in (my|his|her|the) chest|heart attack|"
    r"(cant|can not|cannot|cnat) breathe?|(trouble|difficulty|not|stopped) breathing|hard to breathe|choking|"
    r"catch (my|his|her) breath|short of breath|throat (is )?closing|"
    r"stroke|seizures?|suicid\w*|kill (myself|himself|herself)|(hurt|harm|cut) myself|end (my|his|her) life|end it all|"
    r"want to die|(dont|do not) want to (live|be alive)|better off dead|(tired of|no reason to) liv(e|ing)|"
    r"take my (own )?life|dying(?! (to|for)\b)|overdos\w*|too many pills|bleeding|(coughing|throwing) up blood|"
    r"vomiting (up )?blood|unconscious|passed out|emergency|911|ambulance|anaphyla\w*)\b"
    r"|\b(dolor ([a-z]+ ){0,2}(de|en el) pecho|(duele|aprieta) ([a-z]+ ){0,2}el pecho|el pecho (me|le) (duele|aprieta)|"
    r"(presion|opresion) en el pecho|no (puedo|puede) respirar|no respira|(me|le) cuesta respirar|falta (de|el) aire|"
    r"(me|se) (ahogo|ahoga|estoy ahogando|esta ahogando)|infarto|ataque al corazon|derrame|convulsion\w*|suicid\w*|"
    r"matarme|me quiero matar|quitarme la vida|hacerme dano|quiero morir|no quiero vivir|me (muero|estoy muriendo)|"
    r"sobredosis|sangrando|sangrado|hemorragia|(vomit|escup)(o|a|ando) sangre|inconsciente|desmay\w*|emergencia|"
    r"ambulancia)\b"
)
#: An emergency that is none, by the sender's own words.
_NO_EMERGENCY = re.compile(r"\b(not|isnt|no) (an |a )?(real )?emergency\b|\bno es (una |de )?emergencia\b")
_CODE = re.compile(r"\d{1,4}")


def understand(text: str, media_count: int = 0, names: Iterable[str] = ()) -> Meaning:
    """Return what ``text`` (as received, up to any length) asks for. A picture without words says nothing.

    ``names``: those of the patients who have the number, for "I'm not Maria".
    """
    reaction = _REACTION.fullmatch(text)
    if reaction:  # our own words are quoted in it
        return Meaning(Intent.OKAY if reaction["liked"] else Intent.UNCLEAR)
    signs = _signs(text)
    plain = _plain(text)
    if not plain and not signs:
        # Letters of a script we do not read are words all the same.
        return Meaning(Intent.UNCLEAR if media_count or any(map(str.isalnum, text)) else Intent.EMPTY)
    whole = _whole_text(plain)
    if whole is not None:
        return Meaning(whole)
    meaning = _said_within(text, plain, [_plain(name) for name in names])
    if meaning is not None:
        return meaning
    if media_count or len(plain) > LONGEST_ANSWER:
        return Meaning(Intent.UNCLEAR)
    return _answer(plain.split(), signs)


def _said_within(text: str, plain: str, names: list[str]) -> Meaning | None:
    """Return what counts wherever in a text it is said, the most pressing first."""
    clauses = [clause for part in _CLAUSE_ENDS.split(text) if (clause := _plain(part))]
    stops = asks_to_stop(clauses)
    wrong = says_wrong_person(text, clauses, names)
    for intent, is_said in (
        (Intent.URGENT, _URGENT_PHRASES.search(_NO_EMERGENCY.sub(" ", plain)) is not None),
        (Intent.DIED, says_died(plain, names)),
        (Intent.WRONG_PERSON, wrong == Sureness.CERTAIN),
        (Intent.STOP, stops),
        (Intent.MAYBE_WRONG_PERSON, wrong == Sureness.DOUBT),
        (Intent.WHO, who_are_you(clauses)),
    ):
        if is_said and intent == Intent.STOP:
            return Meaning(intent, off_the_list=speaks_of_the_list(plain))
        if is_said:
            return Meaning(intent, stops=stops)
    return None


#: What phones send to others when somebody taps a sign on one of our texts.
_REACTION = re.compile(
    r"\s*((?P<liked>Liked|Loved|Emphasi[sz]ed|Le (gustó|encantó)|Puso énfasis en"
    r"|((Reacted|Reaccionó con) )?\W*[👍❤🙏]\W*( to| a)?)"
    r"|Disliked|Laughed at|Questioned|No le gustó|Le dio risa|Cuestionó|Removed an? .{1,20} from"
    r"|(Reacted |Reaccionó )?\W{1,8}( to| a))"
    r"\s*[“\"«].*[”\"»]\s*",
    re.DOTALL,
)
_CLAUSE_ENDS = re.compile(r"[.,;:!?¡¿()\n\r–—]+|\s-+\s")


def _whole_text(plain: str) -> Intent | None:
    """Return what a text that is one command and politeness commands."""
    bare = " ".join(BESIDE.sub(" ", plain).split())
    for intent, words in ((Intent.STOP, STOP_WORDS), (Intent.START, START_WORDS), (Intent.HELP, HELP_WORDS)):
        if bare in words:
            return intent
    return Intent.START if re.fullmatch(r"start (again|texts|texting|texting me|messages)", bare) else None


def _answer(words: list[str], signs: set[Intent]) -> Meaning:
    """Return a yes or a no that nothing else in the text contradicts, with its code."""
    words = _joined_digits([part for word in words for part in _split_glued_code(word)])
    codes = [word for word in words if _CODE.fullmatch(word)]
    spoken = [word for word in words if not _CODE.fullmatch(word) and not (codes and word in _NUMBER)]
    said = set(signs)
    if any(word in YES for word in spoken):
        said.add(Intent.YES)
    if any(word in NO for word in spoken):
        said.add(Intent.NO)
    if len(codes) > 1 or len(said) > 1:
        return Meaning(Intent.UNCLEAR)
    code = codes[0] if codes else ""
    if not said:
        return _neither(spoken, code)
    (intent,) = said
    if intent == Intent.NO and not _WANTING.isdisjoint(spoken) and _NOT.isdisjoint(spoken):
        return Meaning(Intent.UNCLEAR)
    allowed = YES | POLITE | OKAY if intent == Intent.YES else NO | POLITE | REGRET | OKAY
    return Meaning(intent, code) if allowed.issuperset(spoken) else Meaning(Intent.UNCLEAR)


def _neither(spoken: list[str], code: str) -> Meaning:
    """Return what a text without a yes or a no means: "I'll take 47" is one, "ok 47" and "ok" need a question."""
    if code and POLITE.issuperset(spoken) and not _TAKING.isdisjoint(spoken):
        return Meaning(Intent.YES, code)
    if not code and " ".join(word for word in spoken if word not in OKAY and word not in _PLEASE) in ACCEPTING:
        return Meaning(Intent.YES)
    is_okay = OKAY.issuperset(spoken) or " ".join(spoken) in OKAY_TEXTS
    if not is_okay:
        return Meaning(Intent.UNCLEAR)
    return Meaning(Intent.CODE, code) if code else Meaning(Intent.OKAY if spoken else Intent.UNCLEAR)


def _split_glued_code(word: str) -> list[str]:
    """Take "yes47" and "47yes" apart, and "yesss" for yes."""
    glued = re.fullmatch(r"([a-z]*)(\d{1,4})([a-z]*)", word)
    said = _drawn_in(glued[1] + glued[3] if glued else word)
    if glued is None:
        return [said]
    return [said, glued[2]] if said in YES | NO | OKAY else [glued[2]] if not said else [word]


def _drawn_in(word: str) -> str:
    """Return "yes" for "yeesss"."""
    return next((short for pattern, short in _DRAWN_OUT if re.fullmatch(pattern, word)), word)


_DRAWN_OUT = (("y+e+s+", "yes"), ("s+i+", "si"), ("n+o+", "no"), ("y+e+a+h*", "yeah"), ("o+k+", "ok"))


def _joined_digits(words: list[str]) -> list[str]:
    """Take "yes 4 7" for yes 47: no code of ours has one digit."""
    digits = [word for word in words if word.isdigit()]
    if len(digits) in (0, 1, len(words)) or max(map(len, digits)) > 1:
        return words
    return [*(word for word in words if not word.isdigit()), "".join(digits)]


def _signs(text: str) -> set[Intent]:
    found = {Intent.YES for sign in YES_SIGNS if sign in text}
    return found | {Intent.NO for sign in NO_SIGNS if sign in text}


def _plain(text: str) -> str:
    """Return lower case words without accents, apostrophes, punctuation and signs."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(char for char in decomposed if not unicodedata.combining(char))
    bare = re.sub(r"['’`´ʼ]", "", bare)
    return " ".join(re.sub(r"[^a-z0-9]+", " ", bare).split())
