"""All lists: every list a person may see, in the order of a practice's work, each with what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_safe


@dataclass(frozen=True, slots=True)
class ListLine:
    """A list's name and address, what it holds, and where one adds to it; "" where nobody does."""

    name: str
    address: str
    holds: str
    add_address: str


SECTIONS: Final[dict[str, dict[str, str]]] = {
    "The day": {
        "WorkItem": "what needs a person, open and done",
        "Opening": "freed times, live and ended",
        "Appointment": "the EHR’s calendar, as last read",
        "Block": "time of a clinician that is not to be offered: a meeting, an absence",
        "Writeback": "bookings and cancellations for the EHR, and the dead letters among them",
    },
    "Patients and the waitlist": {
        "Patient": "patients, as the EHR knows them",
        "PatientReview": "records that may be one person, to be compared",
        "PatientWrite": "what was corrected here and who is to be registered, for the EHR; what staff decide about",
        "PatientMerge": "records that became one, and those that were separated again",
        "WaitlistEntry": "who waits, for what",
        "ImportBatch": "spreadsheets that were put on the waitlist, or are about to be",
        "Offer": "times that were offered, and the answers",
        "Claim": "who said yes, and what the EHR said to it",
        "CandidateVerdict": "who was looked at for a time, and why it suits or not",
        "ConsentRecord": "who allowed messages to which address, and who took that back",
    },
    "Messages": {
        "Message": "what was written to patients, and the dead letters among it",
        "Reply": "what patients wrote",
        "WrongPersonReport": "contacts that reached somebody else, and what was disclosed there",
        "MessageTemplate": "every version of your own words",
    },
    "How the practice works": {
        "Practice": "its name, phone and time zone",
        "Location": "places, with their zone, staffed hours and phone",
        "ClosedDay": "public holidays and other days on which nobody is there",
        "Provider": "clinicians",
        "AppointmentType": "kinds of visits, and the notice they need",
        "Plan": "insurance plans, for visits that need one",
        "Bookable": "which clinician takes which kind of visit where, and who sends the offers",
        "LaunchStatement": "what was stated before going live, by whom",
        "OutreachPolicy": "how many offers, how often, and the quiet hours",
    },
    "The EHR’s connection": {
        "Connection": "addresses, credentials and pace",
        "Source": "each EHR by name, and whether it is written to",
        "CodeMapping": "what the EHR’s codes mean here; each leads to the mapper",
        "InboundEvent": "what the EHR sent",
        "Difference": "where its calendar and ours differed, and what was decided",
        "Reconciliation": "the nightly comparisons of the two calendars",
        "ApiCall": "each call to the EHR and the carriers",
        "RefusedCall": "calls to us that were turned away",
        "CarrierState": "how texts and e-mails fare",
        "SendingLimit": "how fast messages leave, and how many go to one address",
        "Heartbeat": "signs of life of the background work",
        "AlertContact": "who is mailed when something is wrong",
        "StaffAlert": "what was mailed to staff",
    },
    "People and records": {
        "User": "who may sign in, and where they work",
        "Group": "sets of rights",
        "AccessRecord": "who saw and did what",
        "LogEntry": "what was changed, from what to what",
        "TimelineEntry": "the story of the openings, line by line",
        "Seal": "the chain that shows whether a record is missing",
        "AccessAttempt": "wrong passwords that are being slowed",
        "AccessFailureLog": "every wrong password",
        "AccessLog": "who signed in and out",
    },
}
_OTHERS = "Others"
#: Pages beside the lists: section, name, view, what it holds, and the right to see it.
PAGES: Final = (
    ("How the practice works", "Before you go live", "desk_launch", "what is still to be done, line by line", ""),
    ("Messages", "Words of messages", "desk_words", "what patients are told", "waitlist.view_messagetemplate"),
)


def sections(app_list: list[dict[str, Any]]) -> list[tuple[str, list[ListLine]]]:
    """Return the lists of Django's ``app_list`` by section; a model without words comes last, under its own name."""
    models = {model["object_name"]: model for app in app_list for model in app["models"] if model["admin_url"]}
    found = [
        (title, [_line(models.pop(name), holds) for name, holds in names.items() if name in models])
        for title, names in SECTIONS.items()
    ]
    found.append((_OTHERS, [_line(model, "") for model in models.values()]))
    return [(title, lines) for title, lines in found if lines]


def _line(model: dict[str, Any], holds: str) -> ListLine:
    return ListLine(str(model["name"]), model["admin_url"], holds, model["add_url"] or "")


def _with_pages(request: HttpRequest, found: list[tuple[str, list[ListLine]]]) -> list[tuple[str, list[ListLine]]]:
    """Put the pages the person may see on top of their sections."""
    seen = [page for page in PAGES if not page[4] or request.user.has_perm(page[4])]
    pages = {
        title: [
            ListLine(name, reverse(f"admin:{view}"), holds, "")
            for section, name, view, holds, _ in seen
            if section == title
        ]
        for title, _ in found
    }
    return [(title, [*pages[title], *lines]) for title, lines in found]


@require_safe
def lists_view(request: HttpRequest) -> HttpResponse:
    """Show every list the person may see."""
    context = {
        **admin.site.each_context(request),
        "title": "All lists",
        "subtitle": None,
        "sections": _with_pages(request, sections(admin.site.get_app_list(request))),
    }
    return TemplateResponse(request, "admin/desk/lists.html", context)
