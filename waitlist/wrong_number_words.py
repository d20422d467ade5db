"""Words that say a text reached somebody else, and words that only ask who we are. Pure, in English and Spanish.

They are kept apart because a number is frozen for the first and not for the second: whoever asks may be the patient.
In between stands what may say so: "I'm not Medicare", "no es Maria, soy su hija". A person reads it, nothing is frozen.
Clauses are in lower case, without accents and punctuation, as :mod:`waitlist.understanding` makes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import IntEnum

from waitlist.common_names import COMMON_NAMES

_WRONG = r"(wrong|worng|wrog|wrng|wron|wring|wrnog|wrongg|rong)"
_NUMBER = r"(number|numbers|numbr|nubmer|nuber|numer|nunber|nmber|nummber|num|phone|person|perosn|persn|guy|lady)"
_NUMERO = r"(numero|nuemro|numro|numeor|numer|nmero|telefono)"
_EQUIVOCADO = r"(equivocado|equivocada|equibocado|equibocada|ekivocado|equivocdo|equivicado|incorrecto|errado|erroneo)"
_PHRASES = re.compile(
    rf"\b({_WRONG} {_NUMBER}|not (my|this|his|her|the right) (number|name)|"
    r"(this|that) is(nt| not) (him|her|me|the (right )?(person|number))|(dont|do not) know this person|"
    r"(no one|nobody) (here )?(by|with) that name|no such person|"
    r"(doesnt|does not) live here|no longer (my|his|her|their|a) (number|phone)|not (my|his|her|their) phone|"
    r"not (your|the) patient|not a patient (here|there|of (yours|that|this)))\b"
    rf"|\b({_NUMERO} {_EQUIVOCADO}|persona {_EQUIVOCADO}|(se )?equivo(co|caron|caste) de (numero|persona|telefono)|"
    r"no es (mi|el|su|este|ese) numero|no conozco a( es[ea] persona)|no soy (esa|la|su) (persona|paciente)|"
    r"no (soy|es) (yo|el|ella) (de|a) quien buscan?|(aqui )?no vive aqui|aqui no vive|nadie con ese nombre)\b"
)
#: Said by the patient, of somebody else or as a question as easily: it does not count as one of the above.
_DOUBTFUL = re.compile(
    rf"\b(i|we) (ha(ve|d)|got|called|dialed|texted|gave|put|wrote|entered)( you| them)?( the| a)? {_WRONG} {_NUMBER}\b"
    rf"|\b(not|isnt|is this|hope this isnt)( the| a)? {_WRONG} {_NUMBER}\b|\bno es (un )?{_NUMERO} {_EQUIVOCADO}\b"
    r"|\b(dont|do not) know (him|her|who (he|she|that) is)\b|\bnot a patient (here|there) yet\b"
    r"|^(creo que )?se equivoc(o|aron)$"
)
#: Only as a whole clause: "why not me?" says something else.
_CLAUSE = re.compile(
    r"^(no |hi |hello |hey |sorry |um |its |it is |thats |that is |this is |it was |it wasnt |perdon |disculpe )*"
    r"(not me|im not (him|her|them)|i am not (him|her|them)|no soy (yo|ella|el)|soy otra persona|equivocado|wrong no)"
    r"( sorry| thanks| thank you| gracias| perdon| disculpe)*$"
)
_WRONG_SIGN = re.compile(rf"\b{_WRONG}\s*(#|№)", re.IGNORECASE)
#: Whoever answers for the patient shares their life, and perhaps their phone: a person decides.
_FAMILY = re.compile(
    r"\b(husband|wife|spouse|partner|son|daughter|mom|mum|mother|dad|father|parent|brother|sister|guardian|caregiver|aunt"
    r"|uncle|grand(ma|pa|mother|father|son|daughter)|esposo|esposa|marido|mujer|hijo|hija|mama|madre|papa|padre|hermano"
    r"|hermana|abuela|abuelo|nieto|nieta|tia|tio|novio|novia|cuidadora?)\b"
)
_DENIAL = r"(im not|i am not|this isnt|this is not|thats not|it isnt|its not|no soy|no es|est[ae] no es|no habla)"
#: Where a clause names whom it does not reach.
_NAMED = (
    re.compile(rf"\b{_DENIAL} (?P<name>[a-z]+)( [a-z]+){{0,4}}$"),
    re.compile(r"^(no |sorry |hi )*not (?P<name>[a-z]+)( [a-z]+)?$"),
    re.compile(r"\b(no|any|isnt an?) (?P<name>[a-z]+)( [a-z]+)? (here|(at|on|with) this (number|phone|address))\b"),
    re.compile(
        r"\b(?P<name>[a-z]+) (no longer|doesnt|does not) (has|have|use|uses|own|live|lives)( at)? (this|here)\b"
    ),
    re.compile(r"\b(isnt|not|no longer) (?P<name>[a-z]+?)s? (number|phone|cell|cellphone)\b"),
    re.compile(r"\b(no hay|no vive|no existe) (ning[a-z]+ )?(?P<name>[a-z]+)( [a-z]+)?( aqui| en este numero)?$"),
    re.compile(r"\b(?P<name>[a-z]+) (ya )?no (vive|tiene|usa) (aqui|este (numero|telefono))\b"),
    re.compile(r"\bno es (el |su )?(numero|telefono|celular) de (?P<name>[a-z]+)"),
)
#: Of a name that is no patient's here it may be said of a doctor.
_NOT_KNOWN = re.compile(r"\b((dont|do not) know( who| any| an?)?|no conozco a) (?P<name>[a-z]+)\b")
#: Nobody asks so of themselves; but we wrote no name, so that a person looks.
_WHO_IS = re.compile(r"^(and |but |hi )?(whos|who is|quien es) (?P<name>[a-z]+)( [a-z]+)?$")
#: A name as it is written, at the end of what was said.
_WRITTEN = re.compile(
    r"(?:\b[Ii](?:['’´`]?m| am) not|\b[Tt]his (?:isn['’´`]?t|is not)|\b[Nn]o soy|\b[Ee]st[ae] no es) "
    r"(?P<name>[A-ZÁÉÍÓÚÑ][a-záéíóúüñ]+)(?: [A-ZÁÉÍÓÚÑ][a-záéíóúüñ]+)?\s*(?:$|[.,;!?\n])"
)
#: What phones write with a capital all the same. Where a patient bears it, a person reads what was meant.
_NO_NAME = frozenset(
    (
        *("sure", "interested", "available", "going", "coming", "ready", "able", "free", "well", "feeling", "good"),
        *("home", "here", "there", "happy", "ok", "okay", "sick", "late", "in", "at", "on", "a", "the", "your"),
        *("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "today", "tomorrow"),
        *("january", "february", "march", "april", "may", "june", "july", "august", "september", "october"),
        *("november", "december", "right", "fair", "working", "possible", "covered", "urgent", "new", "old", "long"),
        *(
            "early",
            "young",
            "best",
            "day",
            "will",
            "grace",
            "hope",
            "may",
            "rich",
            "bill",
            "frank",
            "mark",
            "art",
            "joy",
        ),
        *("disponible", "seguro", "segura", "libre", "bueno", "buena", "nuevo", "nueva", "mi", "un", "una", "el", "la"),
        *(
            "dolores",
            "paz",
            "luz",
            "cruz",
            "blanca",
            "clara",
            "leon",
            "lunes",
            "martes",
            "miercoles",
            "jueves",
            "viernes",
        ),
    )
)
_WHO = re.compile(
    r"^(hi |hello |hey |ok |okay |sorry |um |but |and |yes |yeah |no |new phone |hola |perdon |disculpe |y |si |pero )*"
    r"(who|quien|how did you get (my|this) (number|phone)|"
    r"who is this|whos this|whose this|who is it|who dis|who this|who are you|who r you|who r u|who ru|who are u|"
    r"who is texting( me)?|who sent (me )?this( text| message)?|whos texting( me)?|wo is this|who is ths|who si this|"
    r"who is tihs|who iss this|whois this|i (dont|do not) know who (this|you) (is|are)|do i know you|"
    r"what (number|company|place|office) is this|"
    r"quien es|quien es este|quien es usted|quienes son|quienes son ustedes|quien eres|quien habla|quien escribe|"
    r"quien me (escribe|habla|manda( esto)?)|de quien es (este|el) numero|de parte de quien|kien es|quin es|qien es|"
    r"quien e|no se quien es( usted| este)?)"
    r"( please| pls| texting( me)?| again| por favor| gracias| thanks)*$"
)


_THINGS = (
    r"(phone|cell|battery|car|truck|van|dog|cat|puppy|pet|laptop|computer|internet|wifi|signal|ride|plan|charger|app"
    r"|perr[oa]|perrit[oa]|gat[oa]|celular|telefono|bateria|pila|carro|coche|auto|camioneta|mascota|internet|senal)"
)
_DIED = re.compile(
    r"\b(he|she|they|patient|mom|mum|dad|mother|father|husband|wife|son|daughter|brother|sister|grand\w+"
    rf"|my (?!{_THINGS}\b)\w+)( has| have| just)?"
    r" (died|passed( away|(?= (last|yesterday|in|this (week|month|year|morning)|on (\w+day|\d|the \d)))|( on)?$)"
    r"|is dead|is deceased|is no longer with us)\b"
    rf"|\bis deceased\b|(?<!\bi )(?<!\bdog )(?<!\bcat )\bpassed away\b"
    rf"|\b(murio|fallecio|ha fallecido|ha muerto|esta muert[oa])\b(?! (mi |el |la |su )?{_THINGS}\b)"
    r"|\ben paz descanse\b"
)


class Sureness(IntEnum):
    """How far a text says that it reached somebody else."""

    NONE = 0
    DOUBT = 1
    CERTAIN = 2


def says_wrong_person(text: str, clauses: Sequence[str], names: Sequence[str]) -> Sureness:
    """Return how sure it is that ``text`` (as received) says that it reached somebody else.

    ``names``: plain names of the patients who have the number.
    """
    whole = " ".join(clauses)
    said = " ".join(_DOUBTFUL.sub(" ", clause) for clause in clauses)
    is_doubtful = said != whole
    is_relative = _FAMILY.search(whole) is not None
    if _WRONG_SIGN.search(text) or any(_CLAUSE.search(clause) for clause in clauses):
        return Sureness.CERTAIN
    found = _PHRASES.search(said)
    if found is not None:
        is_soft = is_relative and found[0].endswith("patient")  # "I'm not the patient, I'm her mother"
        return Sureness.DOUBT if is_soft else Sureness.CERTAIN
    known = {part for name in names for part in name.split() if len(part) > 1}
    sure = max((_named(clause, known) for clause in clauses), default=Sureness.NONE)
    if sure == Sureness.CERTAIN:
        return Sureness.DOUBT if is_relative else sure
    return Sureness.DOUBT if sure or is_doubtful or _writes_a_name(text) else Sureness.NONE


def says_died(plain: str, names: Sequence[str]) -> bool:
    """Return whether a text says that somebody died; of phones and dogs it may."""
    if _DIED.search(plain):
        return True
    known = "|".join(re.escape(part) for name in names for part in name.split() if len(part) > 1)
    return bool(known) and re.search(rf"\b({known}) (has |just )?(died|passed( away)?$|is dead)\b", plain) is not None


def who_are_you(clauses: Sequence[str]) -> bool:
    """Return whether a clause asks who wrote, and nothing more."""
    return any(_WHO.search(clause) for clause in clauses)


def _named(clause: str, known: set[str]) -> Sureness:
    """Return how sure it is that a clause denies a name: a patient's at the number, or what is a name anywhere."""
    sure = Sureness.NONE
    for name in _names_denied(clause):
        if name in known:
            sure = max(sure, Sureness.DOUBT if name in _NO_NAME else Sureness.CERTAIN)
        elif name in COMMON_NAMES:
            sure = Sureness.CERTAIN
    for found in _NOT_KNOWN.finditer(clause):
        if found["name"] in known - _NO_NAME:
            return Sureness.CERTAIN
        if found["name"] in COMMON_NAMES:
            sure = max(sure, Sureness.DOUBT)
    asked = _WHO_IS.search(clause)
    return max(sure, Sureness.DOUBT) if asked and asked["name"] in (known | COMMON_NAMES) - _NO_NAME else sure


def _names_denied(clause: str) -> Iterator[str]:
    for pattern in _NAMED:
        for found in pattern.finditer(clause):
            yield found["name"]


def _writes_a_name(text: str) -> bool:
    found = _WRITTEN.search(text)
    return found is not None and found["name"].lower() not in _NO_NAME
