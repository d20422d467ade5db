"""Words that say a text reached somebody else, and words that only ask who we are. Pure, in English and Spanish.

They are kept apart because a number is frozen for the first and not for the second: whoever asks may be the patient.
Clauses are in lower case, without accents and punctuation, as :mod:`waitlist.understanding` makes them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_WRONG = r"(wrong|worng|wrog|wrng|wron|wring|wrnog|wrongg|rong)"
_NUMBER = r"(number|numbers|numbr|nubmer|nuber|numer|nunber|nmber|nummber|num|phone|person|perosn|persn|guy|lady)"
_NUMERO = r"(numero|nuemro|numro|numeor|numer|nmero|telefono)"
_EQUIVOCADO = r"(equivocado|equivocada|equibocado|equibocada|ekivocado|equivocdo|equivicado|incorrecto|errado|erroneo)"
_PHRASES = re.compile(
    rf"\b({_WRONG} {_NUMBER}|not (my|this|his|her|the right) (number|name)|"
    r"(this|that) is(nt| not) (him|her|me|the (right )?(person|number))|(dont|do not) know (him|her|this person)|"
    r"(dont|do not) know who (he|she|that) is|(no one|nobody) (here )?(by|with) that name|no such person|"
    r"(doesnt|does not) live here|no longer (my|his|her|their|a) (number|phone)|not (my|his|her|their) phone|"
    r"not (your|the) patient|not a patient (here|there|of (yours|that|this)))\b"
    rf"|\b({_NUMERO} {_EQUIVOCADO}|persona {_EQUIVOCADO}|(se )?equivo(co|caron|caste) de (numero|persona|telefono)|"
    r"no es (mi|el|su|este|ese) numero|no conozco a( es[ea] persona)?|no soy (esa|la|su) (persona|paciente)|"
    r"no (soy|es) (yo|el|ella) (de|a) quien buscan?|(aqui )?no vive aqui|aqui no vive|nadie con ese nombre)\b"
)
#: Only as a whole clause: "why not me?" says something else.
_CLAUSE = re.compile(
    r"^(no |hi |hello |hey |sorry |um |its |it is |thats |that is |this is |it was |it wasnt |perdon |disculpe )*"
    r"(not me|im not (him|her|them)|i am not (him|her|them)|no soy (yo|ella|el)|soy otra persona|equivocado)"
    r"( sorry| thanks| thank you| gracias| perdon| disculpe)*$"
)
#: A name as it is written, at the end of what was said: "I'm not Maria", "No soy María López".
_NOT_NAMED = re.compile(
    r"(?:\b[Ii](?:['’´`]?m| am) not|\b[Tt]his (?:isn['’´`]?t|is not)|\b[Nn]o soy|\b[Ee]st[ae] no es) "
    r"(?P<name>[A-ZÁÉÍÓÚÑ][a-záéíóúüñ]+)(?: [A-ZÁÉÍÓÚÑ][a-záéíóúüñ]+)?\s*(?:$|[.,;!?\n])"
)
#: What phones write with a capital all the same, and is nobody's name.
_NO_NAME = frozenset(
    (
        *("sure", "interested", "available", "going", "coming", "ready", "able", "free", "well", "feeling", "good"),
        *("home", "here", "there", "happy", "ok", "okay", "sick", "late", "in", "at", "on", "a", "the", "your"),
        *("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
        *("disponible", "seguro", "segura", "libre"),
    )
)
_WHO = re.compile(
    r"^(hi |hello |hey |ok |okay |sorry |um |but |and |new phone |hola |perdon |disculpe |y )*"
    r"(who is this|whos this|whose this|who is it|who dis|who this|who are you|who r you|who r u|who ru|who are u|"
    r"who is texting( me)?|who sent (me )?this( text| message)?|whos texting( me)?|wo is this|who is ths|who si this|"
    r"who is tihs|who iss this|whois this|i (dont|do not) know who (this|you) (is|are)|do i know you|"
    r"what (number|company|place|office) is this|"
    r"quien es|quien es este|quien es usted|quienes son|quienes son ustedes|quien eres|quien habla|quien escribe|"
    r"quien me (escribe|habla|manda( esto)?)|de quien es (este|el) numero|de parte de quien|kien es|quin es|qien es|"
    r"quien e|no se quien es( usted| este)?)"
    r"( please| pls| texting( me)?| again| por favor| gracias| thanks)*$"
)


def says_wrong_person(text: str, clauses: Sequence[str], names: Sequence[str]) -> bool:
    """Return whether ``text`` (as received) says that it reached somebody else.

    ``names``: plain names of the patients who have the number.
    """
    whole = " ".join(clauses)
    if _PHRASES.search(whole) or any(_CLAUSE.search(clause) for clause in clauses):
        return True
    return any(_denies(clause, names) for clause in clauses) or _denies_a_name(text)


def who_are_you(clauses: Sequence[str]) -> bool:
    """Return whether a clause asks who wrote, and nothing more."""
    return any(_WHO.search(clause) for clause in clauses)


def _denies(clause: str, names: Sequence[str]) -> bool:
    """Return whether a clause says that the writer is not one of those whom we know there, or knows none of them."""
    known = "|".join(re.escape(part) for name in names for part in name.split() if len(part) > 1)
    return bool(known) and bool(
        re.search(
            rf"\b(im not|i am not|this isnt|this is not|thats not|it isnt|its not|no soy|no es|"
            rf"(dont|do not) know( who)?) ({known})\b|^not ({known})$",
            clause,
        )
    )


def _denies_a_name(text: str) -> bool:
    found = _NOT_NAMED.search(text)
    return found is not None and found["name"].lower() not in _NO_NAME
