"""What people write, and what it means: each text has one stated meaning."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from waitlist.understanding import Intent, Meaning, understand

MEANINGS: dict[str, list[str]] = {
    "yes": [
        "YES",
        "yes!!",
        "Yes please",
        "sí",
        "SI",
        "Sí, por favor",
        "y",
        "👍",
        "👍🏽",
        "Yep",
        "yes thank you",
        "Claro",
    ],
    "no": [
        "no",
        "NO",
        "No thanks",
        "no gracias",
        "nope",
        "👎",
        "No puedo",
        "no, sorry, can't make it",
        "Not now no",
        "No I don't want it",
        "no, I cannot take that one",
        "no me sirve",
    ],
    "okay": ["ok", "OK thanks", "Thank you!", "gracias", "thx"],
    "stop": [
        "STOP",
        "stop.",
        "Stop please",
        "please stop",
        "QUIT",
        "End",
        "revoke",
        "OPT OUT",
        "opt-out",
        "CANCEL",
        "Unsubscribe",
        "stop texting me",
        "Stop sending me these messages!",
        "no more texts",
        "don’t text me",
        "remove me from your list",
        "leave me alone",
        "no me manden mensajes",
        "no más mensajes",
        "dejen de escribirme",
        "ALTO",
        "no quiero recibir mensajes",
        "STOP Maria",
        "stpo",
        "SOTP!",
        "unsuscribe",
        "atlo",
        "At work now. Stop",
        "who is this? STOP",
        "¿Quién es? Alto",
        "STOP 47",
        "Stop!!! Thanks",
        "no thanks stop",
        "cancel please",
        "cancel my texts",
        "I don't want any more texts",
        "I no longer want messages",
        "not interested in these texts",
        "Please remove me",
        "stop por favor",
        "ya no quiero mensajes",
        "no deseo recibir mensajes",
        "quiero darme de baja",
        "basta",
    ],
    "start": ["START", "unstop", "Empezar", "start please", "START again"],
    "help": ["HELP", "help?", "ayuda", "help please", "ayuda por favor"],
    "urgent": [
        "chest pain",
        "yes but I have chest pain",
        "I can’t breathe",
        "no puedo respirar",
        "me duele el pecho",
        "call 911",
        "having chest pains",
        "my chest feels tight",
        "I want to hurt myself",
        "I took too many pills",
        "call an ambulance",
        "me cuesta respirar",
        "no quiero vivir",
        "presión en el pecho",
        "creo que es un ataque al corazón",
    ],
    "wrong_person": [
        "Wrong number",
        "wrong number, stop",
        "número equivocado",
        "This is not her number",
        "not me",
        "Not me, sorry",
        "That's not me",
        "I'm not Maria",
        "I am not Maria Lopez.",
        "Hi, this isn't Maria",
        "who is this? wrong number",
        "worng number",
        "wrong nubmer",
        "I don't know this person",
        "I'm not your patient",
        "no soy yo",
        "No soy María",
        "no soy esa persona",
        "nuemro equivocado",
        "número equibocado",
        "se equivocó de número",
        "equivocado",
        "Maria doesn't live here",
        "no longer his phone",
        "wrong number, my son has this phone now",
        "no vive aquí",
    ],
    "who": [
        "who is this?",
        "Who’s this",
        "hi, who is this please",
        "new phone who dis",
        "who are you?",
        "I don't know who this is",
        "wo is this",
        "¿Quién es?",
        "quien es usted",
        "¿quién me escribe?",
        "kien es",
    ],
    "died": [
        "She died",
        "my mother passed away last week",
        "él murió",
        "mi esposo falleció",
        "The patient is deceased",
    ],
    "empty": ["", "   ", "?!", "\x00", "\u200b"],
    "unclear": [
        "Yes but can I come at 3 instead",
        "yes no",
        "No, I want it",
        "No I'll take it",
        "no, that works great",
        "👍👎",
        "YES 12 34",
        "what is this about?",
        "cancel my appointment",
        "I did not get your message",
        "no recibí ningún mensaje",
        "I can't stop coughing",
        "can I stop by at 3",
        "stop by the front desk?",
        "I'm dying to get in sooner",
        "sorry, my phone died",
        "I don't want to miss your messages",
        "what time was that?",
        "who is this doctor?",
        "quién es el doctor?",
        "why not me?",
        "I'm not Sure",
        "I'm not available",
        "I don't know who to see",
        "se equivocaron de día, el mío es el lunes",
        "meet me at the bus stop",
        "a qué hora era",
        "I need help",
        "this is not a good time",
        "I'm not sure",
        "wrong time",
        "Robert'); DROP TABLE replies",
        "{{7*7}}",
        "١٢٣",
        "yes " * 400,
    ],
}


@pytest.mark.parametrize(
    ("text", "intent"), [(text, intent) for intent, texts in MEANINGS.items() for text in texts], ids=repr
)
def test_a_text_means_one_thing(text: str, intent: str) -> None:
    assert understand(text).intent == intent


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("YES 47", Meaning(Intent.YES, "47")),
        ("yes47", Meaning(Intent.YES, "47")),
        ("SI 47", Meaning(Intent.YES, "47")),
        ("sí 47!", Meaning(Intent.YES, "47")),
        ("47 yes please", Meaning(Intent.YES, "47")),
        ("YES 7", Meaning(Intent.YES, "7")),
        ("👍 47", Meaning(Intent.YES, "47")),
        ("no 47", Meaning(Intent.NO, "47")),
        ("47", Meaning(Intent.CODE, "47")),
        ("I'll take number 47", Meaning(Intent.YES, "47")),
        ("Can I take that one?", Meaning(Intent.UNCLEAR)),
        ("I can't take 47", Meaning(Intent.UNCLEAR)),
        ("yes apt47", Meaning(Intent.UNCLEAR)),
        ("yes number", Meaning(Intent.UNCLEAR)),
        ("47 what", Meaning(Intent.UNCLEAR)),
        ("YES 47000", Meaning(Intent.UNCLEAR)),
    ],
)
def test_a_code_says_which(text: str, meaning: Meaning) -> None:
    assert understand(text) == meaning


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("wrong number, stop", Meaning(Intent.WRONG_PERSON, stops=True)),
        ("número equivocado, no más mensajes", Meaning(Intent.WRONG_PERSON, stops=True)),
        ("she died, please stop", Meaning(Intent.DIED, stops=True)),
        ("wrong number", Meaning(Intent.WRONG_PERSON)),
        ("Chest pain, STOP", Meaning(Intent.URGENT, stops=True)),
        ("STOP. I have chest pain", Meaning(Intent.URGENT, stops=True)),
        ("chest pain stop", Meaning(Intent.URGENT, stops=True)),
        ("chest pains! sotp", Meaning(Intent.URGENT, stops=True)),
        ("can't breathe, no more texts", Meaning(Intent.URGENT, stops=True)),
        ("Me duele el pecho. Alto", Meaning(Intent.URGENT, stops=True)),
        ("no puedo respirar, no me manden mensajes", Meaning(Intent.URGENT, stops=True)),
        ("the bleeding won't stop", Meaning(Intent.URGENT)),
        ("how do I stop the bleeding", Meaning(Intent.URGENT)),
        ("stop the bleeding how", Meaning(Intent.URGENT)),
        ("he passed out at the bus stop", Meaning(Intent.URGENT)),
        ("don't send an ambulance", Meaning(Intent.URGENT)),
        ("dolor de pecho muy alto", Meaning(Intent.URGENT)),
    ],
)
def test_an_opt_out_beside_something_else_counts_too(text: str, meaning: Meaning) -> None:
    assert understand(text) == meaning


@pytest.mark.parametrize(
    "text", ["im not robin", "this is not ELM", "not robin", "no soy robin", "I dont know who robin is"]
)
def test_who_denies_a_name_that_we_know_there_is_the_wrong_person(text: str) -> None:
    assert understand(text, names=["Robin Elm"]).intent == Intent.WRONG_PERSON
    assert understand(text, names=["Alex Oak"]).intent == Intent.UNCLEAR


@pytest.mark.parametrize("text", ["not u", "sorry, u died on me"])
def test_an_initial_is_no_name(text: str) -> None:
    assert understand(text, names=["Robin U Elm"]).intent == Intent.UNCLEAR


def test_who_does_not_know_somebody_with_a_common_name_may_be_the_wrong_person() -> None:
    assert understand("I dont know Carlos", names=["Robin Elm"]).intent == Intent.MAYBE_WRONG_PERSON


def test_a_picture_is_for_a_person() -> None:
    assert understand("", media_count=1) == Meaning(Intent.UNCLEAR)
    assert understand("yes", media_count=1) == Meaning(Intent.UNCLEAR)
    assert understand("STOP", media_count=1) == Meaning(Intent.STOP)


def test_sixteen_hundred_characters_are_a_letter() -> None:
    assert understand("I would like to come but " * 64) == Meaning(Intent.UNCLEAR)
    assert understand("please please please please please please please please please yes") == Meaning(Intent.UNCLEAR)


@given(some.text(max_size=400))
def test_anything_at_all_means_something(text: str) -> None:
    assert isinstance(understand(text), Meaning)
