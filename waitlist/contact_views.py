"""The pages on which patients change how they are reached: numbers, e-mail, postal address, language.

Whoever came by a link from an e-mail, or shares a number with another patient of ours, says the birth year first, on
every page: before that nothing is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from audit.context import Actor, acting_as
from scheduling.corrections import ADDRESS_PARTS
from scheduling.models import ContactPoint
from scheduling.patient_keys import read_phone
from waitlist import contact_codes, own_contacts
from waitlist.contact_codes import Answer, Written
from waitlist.links import FoundRequest
from waitlist.models import ContactChange
from waitlist.own_contacts import Change
from waitlist.pages import birth_year, contact
from waitlist.pages import request as request_words
from waitlist.pages.birth_year import Check
from waitlist.pages.shell import back_to, dead_link, language_for, patient_page, record_view, render
from waitlist.request_views import OPEN, find
from waitlist.wording import LANGUAGES

LONGEST = 150
LONGEST_EMAIL = 200
CODE_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Visit:
    """One request for a page: whose it is, which page, in which language, and what was changed where it is a POST."""

    request: HttpRequest
    found: FoundRequest
    change: Change
    step: str
    language: str
    point: ContactPoint | None

    def posted(self, name: str, longest: int = LONGEST) -> str:
        """Return a field as it was typed, in one line."""
        return " ".join(self.request.POST.get(name, "")[:longest].split())

    @property
    def base(self) -> str:
        """The path of the first of these pages."""
        return self.request.path.removesuffix(f"{self.step}/") if self.step else self.request.path


@patient_page("GET", "HEAD", "POST")
def contact_page(request: HttpRequest, token: str, step: str = "", *, by_offer: bool = False) -> HttpResponse:
    """Show how the patient is reached or one question about it, or take the answer."""
    found = find(token, by_offer=by_offer)
    if found is None:
        return dead_link(request)
    visit = _visit(request, found, step)
    if found.entry.status not in OPEN:
        return back_to(request, visit.base.removesuffix("contact/"))
    if step in ("saved", "call"):
        return _render(visit, step, {"heading": contact.HEADINGS[step]})
    if own_contacts.is_for_staff(visit.change.patient, visit.change.now):
        return _render(visit, "call", {"heading": contact.HEADINGS["call"]})
    if (asked := _ask_year(visit)) is not None:
        return asked
    if visit.point is None and step not in contact.HEADINGS:
        return back_to(request, visit.base)
    do = request.POST.get("do", "")
    if not do:
        return _show(visit)
    with acting_as(Actor.for_patient(visit.change.patient.pk)):
        problem, then = _take(visit, do)
    return _show(visit, problem) if problem else back_to(request, f"{visit.base}{then}")


def _visit(request: HttpRequest, found: FoundRequest, step: str) -> Visit:
    patient = found.entry.patient
    change = Change(patient, found.location or request_words.location_of(found.entry), timezone.now())
    point = next((each for each in own_contacts.points(patient) if contact.step_of(each) == step), None)
    return Visit(request, found, change, step, language_for(request, patient), point)


def _ask_year(visit: Visit) -> HttpResponse | None:
    """Return the question for the birth year, or that only a call helps; None once it was answered, or needs not be."""
    patient = visit.change.patient
    if not visit.found.asks_birth_year and not own_contacts.is_shared(patient):
        return None
    if not birth_year.can_be_asked(patient):
        return _render(visit, "call", {"heading": contact.HEADINGS["call"]})
    context: dict[str, object] = {"heading": contact.FIRST}
    if "birth_year" not in visit.request.POST:
        return _render(visit, "year", context)
    checked = birth_year.check(patient, visit.request.POST["birth_year"], subject=visit.found.entry)
    if checked == Check.RIGHT:
        return None
    return _render(visit, "year", context | {"problem": str(checked)})


def _show(visit: Visit, problem: str = "") -> HttpResponse:
    waiting = contact_codes.waiting(visit.change)
    said = contact.problem(problem)
    if visit.step == "code":
        if waiting is None and not problem:
            return back_to(visit.request, visit.base)
        if waiting is None or contact_codes.is_used_up(waiting):
            ended = contact.problem(problem if waiting is None else "used_up") | {"heading": contact.USED_UP}
            return _render(visit, "code", ended | {"is_over": True})
        return _render(visit, "code", contact.code(waiting, visit.language) | said)
    if not visit.step:
        waits = waiting if waiting is not None and not contact_codes.is_used_up(waiting) else None
        return _render(visit, "", contact.overview(visit.change, waits, visit.language) | said)
    template = visit.step if visit.step in ("address", "language") else "point"
    return _render(visit, template, contact.form(visit.step, visit.change, visit.point, visit.language) | said)


def _render(visit: Visit, template: str, context: dict[str, object]) -> HttpResponse:
    entry, place = visit.found.entry, visit.change.location
    record_view(visit.request, entry, entry.patient_id, place.pk if place else None, f"contact {template}".strip())
    posted = visit.request.POST
    frame = request_words.frame(entry, visit.language, place) | {
        "base": visit.base,
        "year": posted.get("birth_year", "").strip()[:4],
        "typed": {name: posted.get(name, "")[:LONGEST_EMAIL] for name in ("value", "agrees", *ADDRESS_PARTS)},
    }
    name = f"contact_{template}" if template else "contact"
    return render(f"waitlist/{name}.html", visit.language, frame | context)


def _take(visit: Visit, do: str) -> tuple[str, str]:
    """Do what the patient chose; return what is wrong with it, and where to go on."""
    if visit.point is not None and do == "remove":
        return ("", "saved/") if own_contacts.remove(visit.change, visit.point) else ("last_one", "")
    system = visit.point.system if visit.point is not None else visit.step
    if system in (contact.PHONE, contact.EMAIL):
        return _written(visit, system)
    handler = _TAKEN.get(visit.step)
    return handler(visit) if handler is not None else ("", "")


def _written(visit: Visit, system: str) -> tuple[str, str]:
    value = visit.posted("value", LONGEST_EMAIL)
    if system == contact.PHONE:
        value, is_valid, extension = read_phone(value)
        if not is_valid or extension:
            return "no_phone", ""
    else:
        value = value.lower()
        name, _, place = value.partition("@")
        if not (name and "." in place.strip(".")) or " " in value or "@" in place:
            return "no_email", ""
    agreed_in = visit.language if visit.posted("agrees") == "yes" else ""
    is_asked = contact_codes.ask(visit.change, Written(system, value, visit.point, agreed_in))
    return ("", "code/") if is_asked else ("too_many", "")


def _address(visit: Visit) -> tuple[str, str]:
    parts = {name: visit.posted(name) for name in ADDRESS_PARTS}
    if not all(parts[name] for name in ("line", "city", "postal_code")):
        return "no_address", ""
    return ("", "saved/") if own_contacts.change_address(visit.change, parts) else ("same_address", "")


def _language(visit: Visit) -> tuple[str, str]:
    chosen = visit.posted("language")
    if chosen not in LANGUAGES:
        return "no_language", ""
    own_contacts.choose_language(visit.change, chosen)
    return "", ""


def _code(visit: Visit) -> tuple[str, str]:
    waiting = contact_codes.waiting(visit.change)
    if waiting is None:
        return _ended(visit)
    typed = "".join(each for each in visit.posted("code") if each in "0123456789")
    if len(typed) != CODE_DIGITS:
        return "wrong_code", ""
    answer = contact_codes.confirm(visit.change, waiting, typed)
    if answer == Answer.WRONG:
        return "wrong_code", ""
    return "", "saved/" if answer == Answer.TAKEN else "call/"


def _ended(visit: Visit) -> tuple[str, str]:
    """Say what became of the code that nothing waits for any more: a button pressed twice, or an hour gone by."""
    last = contact_codes.last_asked(visit.change)
    if last is None or last.state not in (ContactChange.State.CONFIRMED, ContactChange.State.STAFF):
        return "too_old", ""
    return "", "saved/" if last.state == ContactChange.State.CONFIRMED else "call/"


_TAKEN: dict[str, Callable[[Visit], tuple[str, str]]] = {"address": _address, "language": _language, "code": _code}
