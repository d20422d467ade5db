"""What a patient's text means, in English and Spanish. Pure: words in, an intent out; whoever guesses is wrong.

A word decides only where the rest of the text is politeness. "Yes but later" is not a yes: a person reads it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from waitlist.wrong_number_words import says_wrong_person, who_are_you


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
    WHO = "who"
    DIED = "died"
    URGENT = "urgent"
    EMPTY = "empty"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Meaning:
    """An intent and, with a yes or no, the digits that say which offer is meant.

    ``stops``: what is more than an opt-out asks for one, too ("wrong number, stop", "chest pain, STOP").
    """

    intent: Intent
    code: str = ""
    stops: bool = False


#: Texts longer than this are letters, not answers.
LONGEST_ANSWER = 60
# fmt: off
STOP_WORDS = frozenset(
    [
        "stop", "stopall", "quit", "end", "revoke", "optout", "opt out", "cancel", "unsubscribe", "alto", "parar",
        "pare", "basta", "cancelar", "baja", "no mas", "desuscribir", "detener", "salir", "terminar", "no more",
        # As thumbs write it.
        "stpo", "sotp", "tsop", "stp", "dtop", "atop", "stiop", "sstop", "s t o p", "unsubcribe", "unsuscribe",
        "unsubsribe", "atlo", "bsata", "desuscribirme", "cancelr",
    ]
)
# fmt: on
START_WORDS = frozenset(("start", "unstop", "subscribe", "opt in", "empezar", "comenzar", "iniciar", "alta"))
HELP_WORDS = frozenset(("help", "info", "ayuda", "informacion"))
YES = frozenset(("yes", "y", "yep", "yeah", "yea", "yup", "si", "sip", "claro", "sure", "accept", "acepto"))
NO = frozenset(("no", "n", "nope", "nah", "decline", "rechazo"))
#: Polite words that people also send to say "I have read it": by themselves they are no yes.
OKAY = frozenset(("ok", "okay", "k", "kk", "thanks", "thank", "you", "thx", "ty", "vale", "gracias", "muchas", "bueno"))
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
        "senor", "senora",
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
_STOP_PHRASES = re.compile(
    r"\b(stop|quit) ([a-z]+ ){0,3}(text|texts|texting|message|messages|messaging|contacting|writing|sending|sms)\b"
    r"|\b(dont|do not|never) (ever )?(text|message|contact|write|send)\b"
    r"|\bno more ([a-z]+ )?(text|texts|message|messages|sms)\b"
    r"|\b(leave me alone|unsubscribe|opt (me )?out)\b"
    r"|\b(take|remove|delete) (me|my number|my name|this number) (off|from)\b|^remove me\b"
    # STOP and a name, a code or a word more: whoever shares the number, it binds the number.
    r"|^(please |pls |no |thanks |thank you |gracias |por favor )*(stop|stopall|unsubscribe|alto|basta)"
    r"( (?!by\b|in\b|at\b|over\b)[a-z0-9]+){0,3}$"
    r"|\b(dont|do not|no longer) (want|need)( to (get|receive))?( any| more| these| those| your| such)*"
    r" (text|texts|message|messages|sms)\b"
    r"|\bnot interested in( any| more| these| those| your| the)* (texts|messages|texting)\b"
    r"|^(please )?(end|cancel|quit|cease) ([a-z]+ ){0,2}(text|texts|texting|message|messages|sms)( please)?$"
    r"|^please remove me\b|\bquit it$"
    r"|\bno (me |nos )?(mande|manden|mandes|envie|envien|envies|escriba|escriban|escribas|moleste|molesten|molestes)\b"
    r"|\b(deje|dejen|deja|dejar|pare|paren|para) de (mandar|enviar|escribir|molestar|textear|recibir)"
    r"|\bno( mandar)? mas (mensajes|textos|sms)\b"
    r"|\bno (quiero|deseo|necesito)( mas| recibir| sus| estos)* (mensajes|textos|sms)\b"
    r"|^(cancelar|detener|terminar) (los |estos |sus )?(mensajes|textos|sms)\b"
    r"|^(por favor )?(quiero |quisiera )?(dar|darme|dame|deme|denme|dese) de baja( [a-z]+){0,3}$"
    r"|\b(quiteme|quitenme|borreme|borrenme|saqueme|saquenme)\b"
)
_URGENT_PHRASES = re.compile(
    r"\b(chest pains?|chest hurts|chest (is |feels )?(tight|tightness|pressure)|"
    r"(tightness|pressure) in (my|his|her|the) chest|heart attack|(cant|can not|cannot) breathe?|"
    r"(trouble|difficulty) breathing|hard to breathe|catch (my|his|her) breath|short of breath|throat (is )?closing|"
    r"stroke|seizures?|suicid\w*|kill (myself|himself|herself)|(hurt|harm|cut) myself|end (my|his|her) life|end it all|"
    r"want to die|dying(?! (to|for)\b)|overdos\w*|too many pills|bleeding|unconscious|passed out|emergency|911|"
    r"ambulance|anaphyla\w*)\b"
    r"|\b(dolor (de|en el) pecho|me duele el pecho|(presion|opresion) en el pecho|no (puedo|puede) respirar|"
    r"(me|le) cuesta respirar|falta de aire|infarto|ataque al corazon|derrame|convulsion\w*|suicid\w*|matarme|"
    r"me quiero matar|hacerme dano|quiero morir|no quiero vivir|me (muero|estoy muriendo)|sobredosis|sangrando|"
    r"sangrado|inconsciente|desmay\w*|emergencia|ambulancia)\b"
)
_DIED_PHRASES = re.compile(
    r"\b(he|she|they|patient|mom|mum|dad|mother|father|husband|wife|son|daughter|brother|sister|grand\w+|my \w+)"
    r"( has| have)? (died|passed( away)?|is dead|is deceased|is no longer with us)\b"
    r"|\b(is deceased|passed away)\b"
    r"|\b(murio|fallecio|ha fallecido|ha muerto|esta muert[oa]|en paz descanse)\b"
)
_CODE = re.compile(r"\d{1,4}")


def understand(text: str, media_count: int = 0, names: Iterable[str] = ()) -> Meaning:
    """Return what ``text`` (as received, up to any length) asks for. A picture without words says nothing.

    ``names``: those of the patients who have the number, for "I'm not Maria".
    """
    signs = _signs(text)
    plain = _plain(text)
    if not plain and not signs:
        # Letters of a script we do not read are words all the same.
        return Meaning(Intent.UNCLEAR if media_count or any(map(str.isalnum, text)) else Intent.EMPTY)
    whole = _whole_text(plain)
    if whole is not None:
        return Meaning(whole)
    clauses = [clause for part in _CLAUSE_ENDS.split(text) if (clause := _plain(part))]
    stops = _asks_to_stop(clauses)
    for intent, phrases in _PHRASES:
        if phrases.search(plain):
            return Meaning(intent, stops=stops)
    if says_wrong_person(text, clauses, [_plain(name) for name in names]):
        return Meaning(Intent.WRONG_PERSON, stops=stops)
    if stops or _STOP_PHRASES.search(plain):
        return Meaning(Intent.STOP)
    if who_are_you(clauses):
        return Meaning(Intent.WHO)
    if media_count or len(plain) > LONGEST_ANSWER:
        return Meaning(Intent.UNCLEAR)
    return _answer(plain.split(), signs)


_PHRASES = ((Intent.URGENT, _URGENT_PHRASES), (Intent.DIED, _DIED_PHRASES))
#: Said beside a command, it changes nothing.
_BESIDE = re.compile(r"\b(please|pls|plz|thanks|thank you|thx|ty|por favor|gracias)\b")
_CLAUSE_ENDS = re.compile(r"[.,;:!?¡¿()\n\r–—]+|\s-+\s")
#: What does not stop, or is to be stopped, is no text: "the bleeding won't stop".
_NO_STOP = re.compile(
    r"\b(cant|cannot|can not|wont|will not|doesnt|does not|didnt|did not|not|never|to|it|this|bus|train|metro|next|"
    r"last|my|your|which|a|the) stop\b"
    r"|\bstop(?= (by|in|at|over|the (bleeding|pain|bus)|(the |my |his |her )?(bleeding|seizures?|shaking|crying)))\b"
    r"|\b(dont|do not) send (an? |the )?(ambulance|police|help|any(one|body))\b"
)
#: Words that end texts wherever they stand by themselves, or at the end of what was said.
_PLAIN_STOP = re.compile(r"^(stpo|sotp|alto|basta)$|\b(stop|stopall|unsubscribe)$")


def _asks_to_stop(clauses: list[str]) -> bool:
    """Return whether one of the clauses is an opt-out, whatever the others say."""
    for clause in clauses:
        bare = " ".join(_BESIDE.sub(" ", _NO_STOP.sub(" ", clause)).split())
        if _PLAIN_STOP.search(bare) or _STOP_PHRASES.search(bare):
            return True
    return False


def _whole_text(plain: str) -> Intent | None:
    """Return what a text that is one command and politeness commands."""
    bare = " ".join(_BESIDE.sub(" ", plain).split())
    for intent, words in ((Intent.STOP, STOP_WORDS), (Intent.START, START_WORDS), (Intent.HELP, HELP_WORDS)):
        if bare in words:
            return intent
    return Intent.START if re.fullmatch(r"start (again|texts|texting|texting me|messages)", bare) else None


def _answer(words: list[str], signs: set[Intent]) -> Meaning:
    """Return a yes or a no that nothing else in the text contradicts, with its code."""
    words = [part for word in words for part in _split_glued_code(word)]
    codes = [word for word in words if _CODE.fullmatch(word)]
    spoken = [word for word in words if not _CODE.fullmatch(word)]
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
    if code:
        return Meaning(Intent.UNCLEAR if spoken else Intent.CODE, "" if spoken else code)
    return Meaning(Intent.OKAY if spoken and OKAY.issuperset(spoken) else Intent.UNCLEAR)


def _split_glued_code(word: str) -> list[str]:
    """Take "yes47" apart."""
    glued = re.fullmatch(r"([a-z]+)(\d{1,4})", word)
    return [glued[1], glued[2]] if glued else [word]


def _signs(text: str) -> set[Intent]:
    found = {Intent.YES for sign in YES_SIGNS if sign in text}
    return found | {Intent.NO for sign in NO_SIGNS if sign in text}


def _plain(text: str) -> str:
    """Return lower case words without accents, apostrophes, punctuation and signs."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(char for char in decomposed if not unicodedata.combining(char))
    bare = re.sub(r"['’`´ʼ]", "", bare)
    return " ".join(re.sub(r"[^a-z0-9]+", " ", bare).split())
