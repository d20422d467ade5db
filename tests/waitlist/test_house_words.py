"""A practice's own words: used once saved, kept as versions, given up for ours, and safe from two who save at once."""

from __future__ import annotations

import pytest
from auditlog.models import LogEntry

from tests.waitlist.conftest import Scene
from waitlist import house_words, wording
from waitlist.models import Message, MessageTemplate
from waitlist.wording import Words

OFFER = ("en", "offer", "sms")
OURS = Words("", "{practice}: free on {time}. Reply YES {code} or NO {code}. STOP ends texts.")


@pytest.mark.django_db
def test_offers_are_said_in_the_practices_own_words_as_soon_as_they_are_saved(scene: Scene) -> None:
    scene.waiting(1)
    scene.waiting(1, patient_language="es")
    assert house_words.save(*OFFER, OURS, by="maria") is not None
    opening = scene.opening(hours=10)
    scene.look(opening)
    said = {message.language: message.body for message in Message.objects.filter(channel="sms")}
    assert ": free on " in said["en"]
    assert "http" not in said["en"]
    assert "quiere la cita del" in said["es"]


@pytest.mark.django_db
def test_an_answer_by_email_says_the_changed_text() -> None:
    house_words.save("en", "answer.stays", "sms", Words("", "{practice}: still on the list!"), by="maria")
    said = wording.render("answer", "email", "en", {"practice": "Elm", "outcome": "stays"}, house_words.in_use())
    assert "Elm: still on the list!" in said.body
    house_words.save("en", "signature", "email", Words("", "Yours, {practice}"), by="maria")
    said = wording.render("answer", "email", "en", {"practice": "Elm", "outcome": "stays"}, house_words.in_use())
    assert said.body.endswith("Yours, Elm\n")


@pytest.mark.django_db
def test_versions_are_kept_and_the_words_we_came_with_come_back() -> None:
    first = house_words.save(*OFFER, OURS, by="maria")
    second = house_words.save(*OFFER, Words("", OURS.text + " Thanks."), by="dana", instead_of=1)
    assert first is not None
    assert second is not None
    assert house_words.in_use()[OFFER].text.endswith("Thanks.")
    assert house_words.version_name(*OFFER).startswith("sms en v2 ")
    assert house_words.back_to_shipped(*OFFER, instead_of=2)
    assert house_words.in_use() == {}
    assert [(row.edition, row.active, row.edited_by) for row in house_words.versions(*OFFER)] == [
        (2, False, "dana"),
        (1, False, "maria"),
    ]
    changes = LogEntry.objects.filter(content_type__model="messagetemplate", object_pk=str(second.pk)).order_by("pk")
    assert [entry.changes.get("active") for entry in changes] == [["None", "True"], ["True", "False"]]


@pytest.mark.django_db
def test_of_two_who_save_at_once_the_second_changes_nothing() -> None:
    assert house_words.save(*OFFER, OURS, by="maria") is not None
    assert house_words.save(*OFFER, OURS, by="dana") is None
    assert house_words.save(*OFFER, OURS, by="dana", instead_of=1) is not None
    assert house_words.save(*OFFER, OURS, by="maria", instead_of=1) is None
    assert not house_words.back_to_shipped(*OFFER, instead_of=1)
    assert [row.edition for row in MessageTemplate.objects.filter(active=True)] == [2]


@pytest.mark.django_db
def test_each_language_message_and_channel_has_versions_of_its_own() -> None:
    assert house_words.save(*OFFER, OURS, by="maria") is not None
    for other in (("es", "offer", "sms"), ("en", "filled", "sms"), ("en", "offer", "email")):
        assert house_words.current(*other) == wording.shipped(*other)
        assert not house_words.back_to_shipped(*other, instead_of=1)
    assert not house_words.back_to_shipped(*OFFER, instead_of=7)
    assert house_words.current(*OFFER) == OURS
    spanish = house_words.save("es", "offer", "sms", Words("", "{practice}: Hola."), by="maria")
    assert spanish is not None
    assert spanish.edition == 1
    named = house_words.version_name(*OFFER)
    assert house_words.back_to_shipped(*OFFER, instead_of=1)
    assert house_words.current(*OFFER) == wording.shipped(*OFFER)
    given_up = house_words.version_name(*OFFER)
    assert (named[:10], given_up[:10]) == ("sms en v1 ", "sms en v0 ")
    assert named[-6:] != given_up[-6:]
    assert house_words.current("es", "offer", "sms").text == "{practice}: Hola."
