"""What messages say: every kind, both channels, both languages, within the limits of a text and of privacy."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings

from scheduling.models import Location, Patient
from tests.waitlist.conftest import Scene
from waitlist import events, gsm7, links, proofreading, specimens, wording
from waitlist.claims import Outcome
from waitlist.models import Claim, Message

NEW_YORK = ZoneInfo("America/New_York")
LINK = "https://visits.example.org/o/" + "aB3-_xYz-_0kQ7Lm2Vn5Rt" + "/"
CONTEXT: dict[str, Any] = {
    "practice": "Elm Street Clinic",
    "phone": "+12125550100",
    "start": datetime(2026, 11, 24, 14, 30, tzinfo=NEW_YORK),
    "zone": "",
    "provider": "",
    "code": "47",
    "words": "It was Tuesday at 2:30, Nov 24.",
    "link": LINK,
    "reference": "AC3DE7",
    "call_after": datetime(2026, 11, 23, 21, 15, tzinfo=NEW_YORK),
    "choices": [
        ("47", datetime(2026, 11, 24, 14, 30, tzinfo=NEW_YORK)),
        ("48", datetime(2026, 11, 28, 9, 0, tzinfo=NEW_YORK)),
    ],
}
LATER = datetime(2026, 12, 3, 9, 0, tzinfo=NEW_YORK)
NOT_SAID_BY_ANSWER = {Outcome.WON, Outcome.ALREADY_YOURS}
ANSWERS = [
    *(str(outcome) for outcome in Outcome if outcome not in NOT_SAID_BY_ANSWER),
    *(str(state) for state in (Claim.State.PENDING, Claim.State.CONFIRMED)),
    *("declined", "stays", "left", "started", "no_offer", "urgent", "who"),
]
KINDS = [(kind, "") for kind in Message.Kind] + [(Message.Kind.ANSWER, answer) for answer in ANSWERS]
EACH_KIND = pytest.mark.parametrize(("kind", "outcome"), KINDS, ids=[f"{kind}-{answer}" for kind, answer in KINDS])
EACH_LANGUAGE = pytest.mark.parametrize("language", wording.LANGUAGES)


def text(kind: str, language: str = "en", **changes: Any) -> str:
    return wording.render(kind, "sms", language, CONTEXT | changes).body


def mail(kind: str, language: str = "en", **changes: Any) -> wording.Rendered:
    return wording.render(kind, "email", language, CONTEXT | changes)


@EACH_LANGUAGE
@EACH_KIND
def test_every_text_is_one_segment(kind: str, outcome: str, language: str) -> None:
    said = text(kind, language, outcome=outcome)
    assert (gsm7.foreign(said), gsm7.segments(said)) == ("", 1), f"{gsm7.units(said)}: {said}"
    assert said.startswith(("Elm Street Clinic: ", "Elm Street Clinic has "))


@EACH_LANGUAGE
@pytest.mark.parametrize(
    "event", [each for each in events.EVENTS if each.by_text and each.is_sent], ids=lambda e: e.key
)
def test_no_text_takes_more_segments_than_its_event_says_however_long_names_and_times_are(
    event: events.Event, language: str
) -> None:
    name = "Springfield Family Medicine and Pediatrics Associates"  # cut at 40 letters
    longest = specimens.longest(event, name, "+12125550100", "https://visits.example.org", names_providers=True)
    if event.key == "staff":
        longest["words"] = "w" * proofreading.LONGEST_ANSWER
    said = wording.fill_in(wording.shipped(language, event.key, "sms"), "sms", language, longest).body
    assert (gsm7.foreign(said), "{" in said) == ("", False)
    assert gsm7.segments(said) <= event.segments, f"{gsm7.units(said)}: {said}"


def test_a_link_is_as_long_as_these_texts_allow_for() -> None:
    assert len(links.address_of(links.make_token().text).partition("/o/")[2]) == len(LINK.partition("/o/")[2])


@EACH_LANGUAGE
@pytest.mark.parametrize("month", range(1, 13))
@pytest.mark.parametrize("day", range(1, 8))
def test_no_date_makes_an_offer_longer_than_a_segment(language: str, month: int, day: int) -> None:
    said = text("offer", language, start=datetime(2026, month, day + 20, 12, 30, tzinfo=NEW_YORK))
    assert gsm7.segments(said) == 1, f"{gsm7.units(said)}: {said}"


@EACH_LANGUAGE
@EACH_KIND
def test_every_mail_has_a_subject_a_body_and_the_phone(kind: str, outcome: str, language: str) -> None:
    said = mail(kind, language, outcome=outcome)
    assert said.subject.startswith("Elm Street Clinic: ")
    assert "\n" not in said.subject
    assert "(212) 555-0100" in said.body
    assert said.body == said.body.strip() + "\n"
    assert "\n\n\n" not in said.body
    # A subject is read on a locked screen: no date, time, reference, link or name.
    assert not re.search(r"\d|http|AC3DE7|Nov|nov", said.subject)


@EACH_LANGUAGE
@EACH_KIND
def test_nothing_is_left_open_when_the_context_is_bare(kind: str, outcome: str, language: str) -> None:
    bare = {"practice": "Elm Street Clinic", "outcome": outcome}
    for channel in ("sms", "email"):
        said = wording.render(kind, channel, language, bare)
        for left in ("{", "}", "%", "None", "()"):
            assert left not in said.subject + said.body


def test_the_offer_in_english() -> None:
    assert text("offer") == (
        f"Elm Street Clinic has an opening Tue Nov 24, 2:30 PM. Want it? Reply YES 47 or NO 47. STOP ends texts. {LINK}"
    )


def test_the_offer_in_spanish() -> None:
    assert text("offer", "es") == (
        "Elm Street Clinic: ¿quiere la cita del mar 24 nov, 2:30 PM? Responda SI 47 o NO 47. "
        f"STOP para terminar. {LINK}"
    )


def test_an_offer_works_without_its_link() -> None:
    assert "Reply YES 47 or NO 47." in text("offer", link="")
    assert "http" not in text("offer", link="")


def test_a_move_up_says_what_a_yes_gives_up() -> None:
    assert "You keep Thu Dec 3, 9:00 AM unless we confirm this one." in text("offer", keep=LATER)
    assert "Conserva la del jue 3 dic, 9:00 AM mientras no le confirmemos esta." in text("offer", "es", keep=LATER)
    assert (
        "You keep your appointment on Thursday, December 3 at 9:00 in the morning unless we confirm this one. "
        "If we confirm this one, we cancel the other one for you." in mail("offer", keep=LATER).body
    )
    assert "We will cancel Thu Dec 3, 9:00 AM for you." in text("confirmed", replaces=LATER)
    assert "You still have Thu Dec 3, 9:00 AM and your place on the list." in text("refused", keep=LATER)


@EACH_LANGUAGE
@pytest.mark.parametrize(("kind", "name"), [("confirmed", "replaces"), ("refused", "keep")])
def test_the_end_of_a_move_up_is_one_segment(kind: str, name: str, language: str) -> None:
    long = {
        "start": datetime(2026, 11, 25, 12, 30, tzinfo=NEW_YORK),
        name: datetime(2026, 12, 16, 10, 45, tzinfo=NEW_YORK),
    }
    said = text(kind, language, **long)
    assert gsm7.segments(said) == 1, f"{gsm7.units(said)}: {said}"


@EACH_LANGUAGE
def test_a_patient_who_is_busy_at_that_time_hears_why(language: str) -> None:
    because = {"en": "you have an appointment at that time", "es": "ya tiene una cita a esa hora"}[language]
    said = text("refused", language, busy=True)
    assert because in said
    assert gsm7.segments(said) == 1
    assert because.removeprefix("you have ") in mail("refused", language, busy=True).body


def test_received_is_never_confirmed() -> None:
    assert text("received") == (
        "Elm Street Clinic: received, not yet confirmed: Tue Nov 24, 2:30 PM. Reference AC3DE7. "
        "If you hear nothing by Mon Nov 23, 9:15 PM, call (212) 555-0100"
    )
    said = mail("received").body
    assert "It is not confirmed yet." in said
    assert "If you hear nothing by Monday, November 23 at 9:15 at night, call (212) 555-0100." in said


def test_confirmed_has_the_reference_and_says_what_to_do_otherwise() -> None:
    assert text("confirmed") == (
        "Elm Street Clinic: appointment confirmed: Tue Nov 24, 2:30 PM. Reference AC3DE7. "
        "Can't come? Call (212) 555-0100"
    )
    assert "The file with this e-mail puts the appointment into your calendar." in mail("confirmed").body


def test_filled_and_refused_tell_the_truth() -> None:
    assert text("filled") == (
        "Elm Street Clinic: Tue Nov 24, 2:30 PM has been filled. Nothing is booked for you. "
        "You keep your place on the list."
    )
    assert "sorry, we could not book Tue Nov 24, 2:30 PM. You do not have this time." in text("refused")
    assert "We'll text you if it fills or opens up." in text("answer", outcome="taken")


def test_urgent_words_are_sent_to_911() -> None:
    assert text("answer", outcome="urgent") == (
        "Elm Street Clinic: this number is not monitored. In an emergency call 911 now. Our phone: (212) 555-0100"
    )
    assert "llame ya al 911" in text("answer", "es", outcome="urgent")


def test_stop_and_help_name_the_practice_and_the_way_back() -> None:
    assert "reply START" in text("stop_receipt")
    assert "STOP" in text("help")
    assert "(212) 555-0100" in text("help")
    assert "STOP ends texts." in text("still_wanted")


def test_a_question_names_each_code() -> None:
    assert text("question") == (
        "Elm Street Clinic: which one do you mean? Reply YES 47 for Tue Nov 24, 2:30 PM, "
        "or YES 48 for Sat Nov 28, 9:00 AM. Or NO and the number."
    )


def test_the_zone_is_named_when_asked_for() -> None:
    assert "Tue Nov 24, 2:30 PM ET." in text("offer", zone="EST")
    assert "Tuesday, November 24 at 2:30 in the afternoon (Eastern time)" in mail("offer", zone="EST").body
    assert "martes 24 de noviembre, a las 2:30 de la tarde (hora del Este)" in mail("offer", "es", zone="EST").body


def test_a_provider_is_named_only_when_given() -> None:
    assert "with Dr. Chen" in text("offer", provider="Dr. Chen")
    assert "with" not in text("offer")
    assert "With Dr. Chen" in mail("offer", provider="Dr. Chen").body


def test_a_long_name_is_cut_in_a_text_and_whole_in_a_mail() -> None:
    name = "Dr. " + "Wolfeschlegelsteinhausen " * 12
    assert "with Dr. Wolfeschlegelsteinhausen Wolfesch..." in text("offer", provider=name)
    assert name.strip() in mail("offer", provider=name).body


HOSTILE = [
    "<script>alert('x')</script>",
    "{{7*7}}",
    "{% include 'x' %}",
    "A & B",
    "Robert'); DROP",
    "שלום",
    "Zoe\u0308\u0301",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_stands_in_a_name_is_text(name: str) -> None:
    for said in (text("filled", practice=name), mail("filled", practice=name).body):
        assert name in said


def test_a_name_cannot_add_a_header_or_turn_the_writing_around() -> None:
    said = mail("offer", practice="Elm\r\nBcc: a@example.org\u202e\u200f")
    assert said.subject == "Elm Bcc: a@example.org: a time has opened up"
    assert "\u202e" not in said.body


@pytest.mark.parametrize(
    ("tag", "language"), [("es", "es"), ("ES-mx", "es"), ("es_US", "es"), ("", "en"), ("fr", "en"), ("../es", "en")]
)
def test_the_language_follows_the_tag(tag: str, language: str) -> None:
    assert wording.language_of(tag) == language
    assert wording.render("filled", "sms", tag, CONTEXT) == wording.render("filled", "sms", language, CONTEXT)


def test_both_languages_have_the_same_templates() -> None:
    root = Path(settings.BASE_DIR, "templates", "messages")
    names = {language: {each.name for each in (root / language).iterdir()} for language in wording.LANGUAGES}
    assert names["en"] == names["es"]


@pytest.mark.django_db
def test_messages_of_the_loop_carry_no_visit_no_patient_and_no_provider(scene: Scene) -> None:
    Location.objects.update(signature="Elm Street")
    _, quick = scene.offered(2)
    claim = scene.yes(quick).claim
    assert claim is not None
    scene.answer(claim)
    said = list(Message.objects.all())
    assert {message.kind for message in said} == {"offer", "received", "confirmed", "filled"}
    for message in said:
        patient = Patient.objects.get(pk=message.patient_id)
        words = message.subject + message.body + message.attachment
        for secret in (patient.given_name, patient.family_name, scene.type.name, scene.provider.name, "None", "{"):
            assert secret not in words
        assert "Elm Street" in message.body


@pytest.mark.django_db
def test_a_place_signs_as_it_likes_and_names_provider_and_zone_only_where_asked_or_needed(scene: Scene) -> None:
    Location.objects.update(signature="EHC", names_providers=True)
    for zone in ("America/Los_Angeles", "America/Detroit", ""):
        scene.waiting(1, patient_time_zone=zone, patient_email=None)
    scene.look(scene.opening(hours=10))
    texts = list(Message.objects.filter(kind="offer").order_by("patient").values_list("body", flat=True))
    assert [(body.startswith("EHC "), "Elm" in body, scene.provider.name in body) for body in texts] == [
        (True, False, True)
    ] * 3
    assert [" PM ET with" in body for body in texts] == [True, False, False], "Detroit's clock says the same"


@EACH_LANGUAGE
def test_what_a_winner_hears_is_one_segment_for_a_practice_with_a_longer_name(language: str) -> None:
    late = {
        "start": datetime(2026, 11, 25, 12, 30, tzinfo=NEW_YORK),
        "call_after": datetime(2026, 11, 24, 12, 15, tzinfo=NEW_YORK),
    }
    said = text("received", language, practice="Harbor Family Practices", **late)
    assert gsm7.segments(said) == 1, f"{gsm7.units(said)}: {said}"


@EACH_LANGUAGE
def test_whoever_asks_again_is_told_in_the_words_of_what_came_of_it(language: str) -> None:
    for outcome, kind in (("pending", "received"), *((each, each) for each in ("confirmed", "filled", "withdrawn"))):
        assert text("answer", language, outcome=outcome) == text(kind, language)
    # Its frame by e-mail says the text's words, and no event of their own name.
    assert text("received", language) in " ".join(mail("answer", language, outcome="pending").body.split())
    assert mail("answer", language, outcome="pending").subject == mail("answer", language, outcome="stays").subject
    assert text("answer", language, outcome="urgent") == text("urgent", language)
