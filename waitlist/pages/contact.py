"""What stands on the pages on which patients change how they are reached. Of what is on record, hardly anything."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext, override
from django.utils.translation import gettext_lazy as _

from scheduling.models import ContactPoint
from waitlist import consent_forms, own_contacts
from waitlist.models import Channel, ContactChange
from waitlist.own_contacts import Change
from waitlist.pages.request import Choice
from waitlist.wording import LANGUAGES

PHONE, EMAIL = ContactPoint.System.PHONE, ContactPoint.System.EMAIL
HEADINGS = {
    "": _("How we reach you"),
    "phone": _("Another phone number"),
    "email": _("Another e-mail address"),
    "address": _("Your postal address"),
    "language": _("Which language do you read?"),
    "code": _("Type the code we sent"),
    "saved": _("Your change is saved"),
    "call": _("Please call us about this"),
}
CHANGE_PHONE, CHANGE_EMAIL = _("Change this phone number"), _("Change this e-mail address")
FIRST = _("First a question")
USED_UP = _("This code does not work any more")
LANGUAGE_NAMES = {"en": "English", "es": "Español"}
#: What may be wrong with what was written, and the field that it is about.
PROBLEMS = {
    "no_phone": (_("Write the phone number with its area code, ten digits."), "value"),
    "no_email": (_("Write the whole e-mail address, for example name@example.org."), "value"),
    "no_address": (_("Write street, city and ZIP code."), "line"),
    "same_address": (_("We have this address already."), "line"),
    "no_language": (_("Choose one of the answers."), "language_en"),
    "too_many": (_("We can send no more codes today. Please call us."), ""),
    "wrong_code": (_("This is not the code we sent. Please check it."), "code"),
    "used_up": (_("A wrong code was typed too often. Start again, or call us."), ""),
    "too_old": (_("A code works for one hour. Start again, or call us."), ""),
    "last_one": (_("This is the only way we have to reach you, so we keep it."), ""),
}


def problem(code: str) -> dict[str, Any]:
    """Return what a page says of a problem; nothing for none."""
    says, at = PROBLEMS.get(code, ("", ""))
    return {"problem": code, "problem_says": says, "problem_at": at}


def overview(change: Change, waiting: ContactChange | None, language: str) -> dict[str, Any]:
    """Return how the patient is reached, masked: enough to tell one's own apart, and nothing to learn from."""
    with override(language):
        return {
            "heading": HEADINGS[""],
            "points": [
                {"label": _label(each), "masked": masked(each.system, each.value), "step": step_of(each)}
                for each in own_contacts.points(change.patient)
            ],
            "has_address": bool(change.patient.address),
            "reads": LANGUAGE_NAMES.get(change.patient.language[:2], change.patient.language) or LANGUAGE_NAMES["en"],
            "waiting": waiting,
        }


def _label(contact: ContactPoint) -> str:
    if contact.system == EMAIL:
        return gettext("E-mail address")
    return gettext("Mobile number") if contact.use == "mobile" else gettext("Phone number")


def masked(system: str, value: str) -> str:
    """Return the end of a number or the beginning of an e-mail address, in words that can be read aloud."""
    if system == EMAIL:
        return gettext("begins with %(letter)s") % {"letter": value[:1]}
    return gettext("ends with %(digits)s") % {"digits": value[-2:]}


def form(step: str, change: Change, contact: ContactPoint | None, language: str) -> dict[str, Any]:
    """Return what a page that changes one thing asks."""
    system = contact.system if contact is not None else step
    with override(language):
        context: dict[str, Any] = {"heading": HEADINGS.get(step, ""), "is_email": system == EMAIL}
        if system in (PHONE, EMAIL):
            channel = Channel.EMAIL if system == EMAIL else Channel.SMS
            context["words"] = consent_forms.words(language, channel)
        if contact is not None:
            context["heading"] = CHANGE_EMAIL if system == EMAIL else CHANGE_PHONE
            context["masked"] = masked(contact.system, contact.value)
            context["can_be_removed"] = own_contacts.can_be_removed(contact, change.now)
        if step == "language":
            reads = change.patient.language[:2]
            context["languages"] = [Choice(each, LANGUAGE_NAMES[each], each == reads) for each in LANGUAGES]
        return context


def code(waiting: ContactChange, language: str) -> dict[str, Any]:
    """Return what the page asks that waits for a code."""
    with override(language):
        where = masked(waiting.system, waiting.address)
        return {"heading": HEADINGS["code"], "is_email": waiting.system == EMAIL, "masked": where}


def step_of(contact: ContactPoint) -> str:
    """Return what the page of one of the patient's own contacts is called in its address."""
    return f"p{contact.pk}"
