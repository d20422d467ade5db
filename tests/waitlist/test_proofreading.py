"""The check of a practice's own words: what is refused, what is only pointed at, and how a text is cut and billed."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings

from waitlist import events, placeholders, wording
from waitlist.proofreading import length, proofread, proofread_answer
from waitlist.wording import Words

GOOD = "{practice}: {time} is open. Reply YES {code} or NO {code}. STOP ends texts. {link}"


def blocking(text: str, *, event: str = "offer", channel: str = "sms", language: str = "en", subject: str = "") -> str:
    found = proofread(
        events.BY_KEY[event], channel, language, Words(subject, text), visit_types=("Follow-up", "new_patient", "Visit")
    )
    return " ".join(each.says for each in found if each.blocks)


@pytest.mark.parametrize(
    ("language", "event", "channel"),
    [pytest.param(*each, id=f"{each[0]}-{each[1].key}-{each[2]}") for each in events.every()],
)
def test_the_words_we_come_with_pass(language: str, event: events.Event, channel: str) -> None:
    assert proofread(event, channel, language, wording.shipped(language, event.key, channel)) == []


def test_good_words_pass_and_each_of_these_is_refused() -> None:
    assert blocking(GOOD) == ""
    for bad, why in (
        ("", "There are no words"),
        (GOOD.replace("{time}", "soon"), "{time} is missing."),
        (GOOD.replace("{time}", "[at {time}]"), "{time} is missing outside of [ ]."),
        (GOOD.replace("{time}", "{time} {date}"), "{date} is not known here. Did you mean {time}?"),
        (GOOD + " {providr}", "Did you mean {provider}?"),
        (GOOD + " {doctor}", "Did you mean {provider}?"),
        (GOOD + " {reference}", "{reference} is not known here."),
        (GOOD + " {zzz}", "{zzz} is not known here. These are: {practice}, {time},"),
        (GOOD.replace("STOP", "Stopping"), "The word STOP is missing"),
        (GOOD.replace("YES {code}", "{code} to say yes"), "must ask for “YES {code}”"),
        (GOOD + " {", "{ stands alone"),
        (GOOD + " [with {]", "{ stands alone"),
        (GOOD + " {{7*7}}", "{ } stands alone"),
        (GOOD + " [a [b] {phone}]", "[ ] stands alone"),
        (GOOD + " For a follow up.", "“Follow-up” is a kind of visit here"),
        (GOOD + " New patient.", "“new_patient” is a kind of visit here"),
        (GOOD + " At the oncology desk.", "“oncology” may tell"),
        (GOOD + " bit.ly/x", "shortened links"),
        (GOOD + " Reply CANCEL to skip.", "Do not ask for CANCEL"),
        (GOOD.ljust(1001, "x"), "too long"),
    ):
        assert why in blocking(bad), bad
    assert blocking(GOOD.ljust(1000, "x")) == ""
    # What it is called everywhere tells nothing, though a kind of visit has that very name.
    assert blocking(GOOD + " Your next visit.") == ""


def test_each_kind_has_its_own_needs() -> None:
    spanish = "{practice}: {time}. Responda SI {code}. STOP para terminar."
    assert blocking(spanish, language="es") == ""
    assert "“SI {code}”" in blocking(spanish.replace("SI", "YES"), language="es")
    assert "{phone} is missing" in blocking("{practice}: STOP ends texts.", event="help")
    assert "911 is missing" in blocking("{practice}: please call.", event="answer.urgent")
    mail = "{time} {link} {signature}"
    assert blocking(mail, channel="email", subject="{practice}: a time") == ""
    assert "needs a subject" in blocking(mail, channel="email")
    assert blocking(mail, channel="email", subject="a" * 150) == ""
    assert "150 in a subject" in blocking(mail, channel="email", subject="a" * 151)
    assert "“Follow-up” is a kind of visit" in blocking(mail, channel="email", subject="Your follow-up")
    # What carriers of texts make of a word is nothing to an e-mail.
    assert blocking(mail + " Reply CANCEL to skip.", channel="email", subject="A time") == ""
    assert "cannot stand in a subject" in blocking(mail, channel="email", subject="{time}")
    assert "{signature} is missing" in blocking("{time} {link}", channel="email", subject="A time")


def test_another_address_is_only_pointed_at() -> None:
    (finding,) = proofread(events.BY_KEY["offer"], "sms", "en", Words("", GOOD + " https://example.org"))
    assert (finding.blocks, "{link}" in finding.says) == (False, True)


def answered(words: str, *, channel: str = "sms", may_name: bool = True) -> list[tuple[bool, str]]:
    found = proofread_answer(
        channel, words, visit_types=("Follow-up",), names=("Robin", "R", " ", "Robin"), may_name=may_name
    )
    return [(each.blocks, each.says) for each in found]


def test_what_a_person_writes_to_a_patient_is_checked_as_well() -> None:
    assert answered("It was at 2:30. R u coming?") == []
    assert answered("x" * 400) == []
    for words, why in (
        (" \n ", "There are no words yet."),
        ("x" * 401, "too long: at most 400"),
        ("It is at {time}.", "{time} would arrive as it stands"),
        ("See bit.ly/x", "shortened links"),
        ("For your follow-up", "is a kind of visit here"),
        ("See you at oncology", "may tell what a patient is treated for"),
        ("Reply CANCEL to skip", "Do not ask for CANCEL"),
    ):
        ((blocks, says),) = answered(words)
        assert (blocks, why in says) == (True, True), words
    assert answered("Reply CANCEL to skip", channel="email") == []


def test_a_patients_name_or_an_address_is_pointed_at_and_refused_where_others_read_it() -> None:
    ((blocks, says),) = answered("Hello Robin!")
    assert (blocks, "“Robin” is the patient's name" in says) == (False, True)
    ((blocks, says),) = answered("Hello robin!", may_name=False)
    assert (blocks, "others read this number" in says) == (True, True)
    assert answered("The robinia is in flower.", may_name=False) == []
    ((blocks, says),) = answered("See https://example.org/map")
    assert (blocks, "web address" in says) == (False, True)
    assert [blocks for blocks, _ in answered("Hello Robin, see bit.ly/x")] == [True, False]


def test_a_text_names_the_letters_that_cost_a_segment() -> None:
    assert (length("a" * 160).segments, length("a" * 161).segments, length("a" * 161).room) == (1, 2, 306)
    assert (length("a").room, length("á").room) == (160, 70)
    assert length("á 日").spared == "á → a, 日"
    costly = length("ñ ü é á í " + "a" * 70)
    assert (costly.segments, costly.costly, costly.spared, costly.room) == (2, "áí", "á → a, í → i", 134)


def test_a_mark_becomes_its_value_once_and_nothing_is_executed() -> None:
    values = {"practice": "{code}{{7*7}}[x]", "code": "47", "keep": ""}
    said = placeholders.fill("{practice} {{7*7}} {% now %}[ with {keep}][ {keep}|or {code}]{unknown}", values)
    assert said == "{code}{{7*7}}[x] {{7*7}} {% now %}or 47"


def test_every_text_there_is_can_be_worded_by_the_practice() -> None:
    files = (Path(settings.BASE_DIR) / "templates" / "messages" / "en").glob("*.txt")
    written = {tuple(path.name.removesuffix(".txt").rsplit(".", 1)) for path in files}
    known = {(event.key, channel) for _, event, channel in events.every()}
    assert written - known == {("choice", "sms"), ("choice", "email")}
    assert known <= written
