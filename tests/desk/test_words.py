"""The page of a message's words: looked at, checked, used, given back, and tried on oneself and nobody else."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from integrations.models import AlertContact
from scheduling.patients import address_index
from tests.desk.conftest import Practice
from tests.desk.pages import said, text_of
from waitlist import consent, house_words
from waitlist.models import ConsentRecord, Message, MessageTemplate
from waitlist.sending import may_send

OFFER = "/admin/words/en/offer/sms/"
GOOD = "{practice}: {time} is free. Reply YES {code} or NO {code}. STOP ends texts."


def post(client: Client, text: str, do: str = "save", instead_of: int = 0) -> object:
    return client.post(OFFER, {"text": text, "do": do, "instead_of": instead_of})


def test_words_are_used_once_they_pass_the_check(maria: Client, practice: Practice) -> None:
    assert "Mend what the check says" in text_of(post(maria, GOOD.replace("{time}", "{date}")))
    assert not MessageTemplate.objects.exists()
    assert said(maria, post(maria, GOOD)) == ("Version 1 is used from now on. What waits to be sent keeps its words.")
    assert house_words.current("en", "offer", "sms").text == GOOD
    assert "yours" in text_of(maria.get("/admin/words/"))
    page = text_of(post(maria, GOOD + " Thank you.", instead_of=0))
    assert "somebody else changed these words meanwhile" in page
    assert "Thank you." in page
    assert said(maria, maria.post(f"{OFFER}back/")).startswith("The words we came with are used")
    assert house_words.in_use() == {}
    assert GOOD in text_of(maria.get(f"{OFFER}?version=1"))


def test_a_preview_shows_segments_and_costly_letters_and_stores_nothing(maria: Client, practice: Practice) -> None:
    for address, form in (
        (OFFER, {"do": "preview", "instead_of": 0}),
        (f"{OFFER}preview/", {}),
    ):
        response = maria.post(address, {"text": GOOD + " Está aquí.", **form})
        page = text_of(response)
        assert "Harbor Family Practice: Tue Nov 24, 2:30 PM is free. Reply YES 47" in page
        assert "á → a, í → i" in page
        assert "2 segments" in page
        assert '<mark title="not in a text’s alphabet">á</mark>' in response.content.decode()
    hostile = maria.post(f"{OFFER}preview/", {"text": GOOD + "<script>x</script>{{7*7}}{% now 'Y' %} Follow-up"})
    assert "&lt;script&gt;x&lt;/script&gt;{{7*7}}{% now &#x27;Y&#x27; %}" in hostile.content.decode()
    assert "“Follow-up” is a kind of visit here" in text_of(hostile)
    assert not MessageTemplate.objects.exists()


def test_the_front_desk_looks_and_does_not_touch(dana: Client, practice: Practice) -> None:
    assert "Use these words" not in text_of(dana.get(OFFER))
    for address in (OFFER, f"{OFFER}back/", f"{OFFER}test/"):
        assert dana.post(address, {"text": GOOD, "do": "save", "instead_of": 0}).status_code == 403
    assert not MessageTemplate.objects.exists()
    for missing in ("/admin/words/fr/offer/sms/", "/admin/words/en/nothing/sms/", "/admin/words/en/answer.held/email/"):
        assert dana.get(missing).status_code == 404


@pytest.mark.parametrize("channel", ["sms", "email"])
def test_a_test_goes_to_oneself_and_to_nobody_else(
    maria: Client, practice: Practice, people: dict[str, User], channel: str
) -> None:
    page = f"/admin/words/en/offer/{channel}/"
    patient = practice.patient.contact_points.filter(system="phone")[0].value
    people["maria"].email = "Maria@example.org"
    people["maria"].save()
    AlertContact.objects.create(name="M", email="maria@example.org", phone="(212) 555-0188")
    AlertContact.objects.create(name="D", email="dana@example.org", phone="(212) 555-0199")
    for somebody in (patient, "(212) 555-0199", "dana@example.org", ""):
        assert "to your own address only" in said(maria, maria.post(f"{page}test/", {"address": somebody}))
    assert not Message.objects.exists()
    own = {"sms": "(212) 555-0188", "email": "Maria@example.org"}[channel]
    assert own in text_of(maria.get(page))
    maria.post(f"{page}test/", {"address": own})
    message = Message.objects.get()
    assert (message.test_by, message.patient, message.status) == ("maria", None, "waiting")
    assert (message.subject or message.body).startswith("TEST: Harbor Family Practice")
    system, address = {"sms": ("phone", "+12125550188"), "email": ("email", "Maria@example.org")}[channel]
    assert (message.address, message.address_index) == (address, address_index(system, own))
    assert may_send(message).action == "send"
    message.expires_at = message.created_at
    assert may_send(message).reason == "expired"


def test_whose_phone_is_not_known_is_told_where_to_enter_it(
    maria: Client, dana: Client, practice: Practice, people: dict[str, User]
) -> None:
    page = "/admin/words/en/offer/sms/"
    assert "Your account has no e-mail address." in text_of(maria.get(page))
    people["maria"].email = "maria@example.org"
    people["maria"].save()
    shown = maria.get(page)
    assert "with the e-mail address of your account, maria@example.org." in text_of(shown)
    may_enter = people["maria"].has_perm("integrations.add_alertcontact")
    assert ('href="/admin/integrations/alertcontact/add/"' in shown.content.decode()) is may_enter


def test_a_test_obeys_an_opt_out(maria: Client, practice: Practice, people: dict[str, User]) -> None:
    people["maria"].email = "maria@example.org"
    people["maria"].save()
    maria.post("/admin/words/en/help/email/test/", {"address": "maria@example.org"})
    message = Message.objects.get()
    consent.revoke_address("email", message.address_index, source="reply")
    assert may_send(message).reason == "opted_out"


def test_spoken_consent_keeps_which_words_were_read_out(dana: Client, practice: Practice) -> None:
    contact = practice.patient.contact_points.filter(system="phone")[0]
    page = f"/admin/waitlist/consentrecord/add/?patient={practice.patient.pk}"
    assert "Harbor Family Practice may text you when an earlier appointment opens up" in text_of(dana.get(page))
    dana.post(page, {"contact_point": contact.pk, "action": "granted", "source": "spoken", "wording_version": ""})
    row = ConsentRecord.objects.latest("pk")
    assert row.wording_version == house_words.version_name("en", "consent", "sms")
    assert row.wording_version.startswith("sms en v0 ")
