"""Replies as patients type, dictate, tap and misspell them: each with what it must come to, and what it must not.

The number belongs to Robin Elm. ``stop`` and ``wrong_person`` are the two that nobody at the desk may have to take back
for an ordinary sentence, and that must not be missed where they are meant.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from waitlist.understanding import Intent, Meaning, understand

ENGLISH = {
    "yes": [
        *(
            "Yess",
            "yesss!!!",
            "YES YES YES",
            "Yes!!! I'll take it",
            "okay I'll take it",
            "I want it please",
            "Yes period",
        ),
        *("ok yes", "sure thing", "👍🏽 yes please", "Yeaaah", "I will take it thanks"),
    ],
    "yes 47": [
        *("yes47", "47yes", "Yes #47", "YES 4 7", "Yes, 47.", "Y47", "yes number 47", "yes 47 please confirm"),
        *("I'll take 47", "Yes 47 period", "yes for 47 thx"),
    ],
    "code 47": ["47", "#47", "OK 47"],
    "no": ["Nooo", "nah im good", "No period", "no thank you sorry"],
    "no 47": ["no47", "NO #47", "No 47 thanks"],
    "okay": [
        *("Sounds good", "works for me", "Got it", "Perfect", "that works!"),
        "Liked “Elm Street Clinic has an opening Tue Nov 24. Reply YES 47 or NO 47. STOP ends texts.”",
        'Loved "Elm Street Clinic: STOP ends texts. https://elm.example/o/x/"',
        "Reacted 👍 to “Elm Street Clinic: reply YES 47. STOP ends texts.”",
        "\u200a👍\u200b to “ Elm Street Clinic: STOP ends texts. ”",
    ],
    "stop": [
        *(
            "STOP",
            "stop!!!!",
            "Stop all",
            "STOP TEXTING ME OR I WILL SUE",
            "I said stop",
            "pls stop",
            "no stop",
            "stop yes",
        ),
        *(
            "why don't you stop",
            "you don't stop texting me",
            "the texts won't stop",
            "make it stop",
            "I told you to stop",
        ),
        *("if you dont stop texting me I will sue", "dont text me stop", "Do. Not. Text. Me.", "don't call or text me"),
        *(
            "how do i unsubscribe",
            "how do I stop this",
            "when will you stop texting me",
            "why not stop",
            "never mind stop",
            "I revoke my consent",
            "lose my number",
            "enough!",
            "Remove",
        ),
        *("take me off the list", "I would like to stop receiving these", "i want these texts to stop", "STOP 2 END"),
        *("dont want to stop by just stop texting me", "No. Stop.", "opt me out", "you need to stop", "stopp", "dtop"),
    ],
    "wrong_person": [
        *("I'm not Maria", "im not maria", "this isn't Maria Lopez", "this is not Bob", "not robin", "No Maria here"),
        *("wrong #", "wrong no.", "Wrng number", "You've got the wrong guy", "There is no Robin here"),
        *(
            "Maria no longer has this phone",
            "this isn't Robin's number",
            "Robin doesn't live here",
            "I don't know Robin",
        ),
    ],
    "maybe_wrong_person": [
        *("I'm not Medicare", "I'm not Diabetic", "this is not Robin, this is her husband", "who's Robin?"),
        *("I'm not the patient, I'm her mom", "I gave you the wrong number, mine ends in 88", "not a wrong number"),
        *("I don't know him, is he good?", "is this the wrong number for Dr Oak?", "I'm not a patient there yet"),
    ],
    "who": ["who?", "yes but who is this", "ok who dis", "how did you get my number?"],
    "urgent": ["chestpain", "pain in my chest", "my chest really hurts", "not an emergency but chest pain"],
    "died": ["Robin passed away", "he passed in march", "Robin has died", "my wife passed on Tuesday", "he passed on"],
    "unclear": [
        # No revocation: it says the opposite, asks, or speaks of another stop.
        *("Don't stop texting me", "please don't stop", "please do not stop the texts", "I can't stop by today"),
        *(
            "is it the bus stop?",
            "next stop",
            "I don't want to stop the texts",
            "I never said stop",
            "don't unsubscribe me",
        ),
        *(
            "I didn't mean to text stop",
            "what happens if I say stop",
            "does STOP cancel my appointment",
            "stop by 3pm?",
        ),
        *(
            "why did you stop texting me",
            "did you take me off the list?",
            "don't take me off the list",
            "did I unsubscribe?",
        ),
        *(
            "why don't you text me sooner",
            "you never text me",
            "i dont want these messages to stop",
            "should I stop eating",
        ),
        *(
            "I don't, text me the next one",
            "should i stop my pills",
            "I quit my job",
            "don't cancel",
            "at the end of the week",
        ),
        # No wrong number: ordinary words behind "I'm not".
        *(
            "This is not Urgent",
            "I'm not available Tuesday",
            "I'm not Available",
            "This isn't Possible",
            "I'm Not In town",
        ),
        *("This is not Covered", "This isn't Working", "i'm not mark", "there is no parking here", "Robin is at work"),
        # A person reads these: they say more than a yes or a no.
        *("yes to the 2pm", "YES 47 and 48", "no 47 yes 48", "yes but later", "can't make it", "47 what", "yes no. 47"),
        *(
            "No thank you I already have an appointment",
            "not an emergency",
            "my phone died sorry",
            "my dog passed away",
        ),
        *(
            "she passed the exam",
            "my husband passed on this one",
            "Laughed at “Elm: STOP ends texts.”",
            "Disliked “Elm: STOP ends texts.”",
            "4 7",
        ),
    ],
}
SPANISH = {
    "yes": ["siii", "Sí claro", "si por favor", "La quiero", "quiero la cita por favor", "sip", "ok, si", "Sí punto"],
    "yes 47": ["si47", "47 si", "sí quiero la 47", "SI la 47", "quiero la 47", "Si 4 7", "sí número 47"],
    "no": ["no me interesa gracias", "no puedo, disculpe", "Noo"],
    "no 47": ["no la 47", "no 47 gracias"],
    "okay": ["perfecto", "de acuerdo", "Está bien", "dale", "Le gustó “Elm: STOP para terminar.”"],
    "stop": [
        *("ALTO", "Basta!", "ya basta", "paren", "para ya", "déjenme en paz", "ya no me escriban", "no me textee"),
        *(
            "no quiero más",
            "cancelar suscripción",
            "borren mi número",
            "quiten mi número de su lista",
            "quiero darme de baja",
        ),
        *(
            "no me llame ni me escriba",
            "no paran de escribirme",
            "No, alto",
            "dejen de mandar textos",
            "stop por favor",
        ),
        *("no me interesan sus mensajes", "cancela", "unsuscribe"),
    ],
    "wrong_person": [
        *("no soy Maria", "aqui no hay ninguna Maria", "Robin no vive aquí", "ese no es el numero de Robin"),
        *("numero ekivocado", "no conozco a Robin", "no habla Juan"),
    ],
    "maybe_wrong_person": ["No es Robin, soy su hija", "No soy Medicare", "se equivocaron", "no es numero equivocado"],
    "who": ["¿Quién?", "si pero quien es", "quien es please"],
    "urgent": ["me duele mucho el pecho", "me falta el aire", "se está ahogando"],
    "died": ["murió en marzo", "mi mamá falleció"],
    "unclear": [
        *(
            "no paren de escribirme",
            "no dejen de escribirme",
            "por favor no paren",
            "no quiero dejar de recibir mensajes",
        ),
        *("no me den de baja", "no me quiten de la lista", "no cancelen mi cita", "no dije alto", "no quiero cancelar"),
        *("si digo stop pierdo mi lugar?", "cancelar mi cita", "no me llamen", "ya no", "no soy paciente nueva"),
        *("si pero mas tarde", "sí, la de las 2", "ese día no puedo", "no es una emergencia", "se murió mi celular"),
        *("no hay estacionamiento", "yes pero a las 3", "can you llamarme", "Este no es Bueno", "no está mi mamá"),
    ],
}


def _expected(said: str) -> Meaning:
    intent, _, code = said.partition(" ")
    return Meaning(Intent(intent), code)


def _rows(table: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(text, said) for said, texts in table.items() for text in texts]


@pytest.mark.parametrize("table", [ENGLISH, SPANISH], ids=["english", "spanish"])
def test_a_reply_comes_to_what_it_says(table: dict[str, list[str]]) -> None:
    read = [
        (text, replace(understand(text, names=["Robin Elm"]), off_the_list=False), _expected(said))
        for text, said in _rows(table)
    ]
    assert [row for row in read if row[1] != row[2]] == []


@pytest.mark.parametrize(
    "keyword",
    [
        *(
            "STOP",
            "STOPALL",
            "STOP ALL",
            "UNSUBSCRIBE",
            "CANCEL",
            "END",
            "QUIT",
            "REVOKE",
            "OPTOUT",
            "OPT OUT",
            "OPT-OUT",
        ),
        *("REMOVE", "ALTO", "BAJA", "CANCELAR", "PARAR"),
    ],
)
def test_the_carriers_words_always_end_texts(keyword: str) -> None:
    for text in (keyword, keyword.lower(), f" {keyword.title()}. ", f"{keyword} please"):
        assert understand(text, names=["Stop Cancel"]) == Meaning(Intent.STOP), text


def test_a_patients_own_name_that_is_a_word_freezes_nothing_by_itself() -> None:
    assert understand("I'm not free", names=["Will Free"]) == Meaning(Intent.MAYBE_WRONG_PERSON)
    assert understand("i'm not free", names=["Robin Elm"]) == Meaning(Intent.UNCLEAR)
    assert understand("not will", names=["Will Free"]) == Meaning(Intent.MAYBE_WRONG_PERSON)
