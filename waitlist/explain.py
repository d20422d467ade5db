"""Verdicts as sentences for the front desk."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from scheduling import families
from scheduling.models import Opening, Patient
from waitlist import candidates
from waitlist.eligibility import Verdict, judge
from waitlist.models import Offer, WaitlistEntry
from waitlist.reasons import Reason

_R = Reason
SENTENCES: dict[Reason, str] = {
    _R.SUITS: "This time suits.",
    _R.DECEASED: "The EHR says that the patient has died.",
    _R.REPLACED: "The EHR replaced this patient record by another one. Put the other record on the list.",
    _R.INACTIVE: "The patient record is inactive in the EHR.",
    _R.RESTRICTED: "The patient is marked as not to be contacted in any way.",
    _R.PAUSED: "The entry is paused.",
    _R.ASKED: "The patient was asked whether they still want this and has not answered yet.",
    _R.NOT_WAITING: "The entry is no longer on the waitlist.",
    _R.SILENT: "The patient left several offers in a row unanswered and is asked first whether they still want this.",
    _R.FREED_IT: "The patient is the one who gave up this time.",
    _R.OFFERED_BEFORE: "The patient was offered this time already.",
    _R.DECLINED: "The patient said no to this time.",
    _R.TYPE: "The provider does not take this type of visit here.",
    _R.TYPE_OFF: "This type of visit is not offered from the waitlist.",
    _R.TOO_SHORT: "The free time is too short for this type of visit.",
    _R.CUT_OFF: "It is too close to the start to offer this type of visit.",
    _R.PROVIDER: "The patient wants to see other providers.",
    _R.LOCATION: "The patient wants to come to other locations.",
    _R.TOO_EARLY: "The day is before the earliest date the patient can come.",
    _R.TOO_LATE: "The day is after the latest date the patient wants.",
    _R.HOURS: "The weekday or the hours do not suit the patient.",
    _R.NOTICE: "The patient needs more notice than is left.",
    _R.NEEDS_NOTICE: "Something the patient needs, such as an interpreter, cannot be arranged in the time left.",
    _R.BUSY: "The patient has another appointment at that time.",
    _R.HAS_APPOINTMENT: "The patient has an appointment of this type by now.",
    _R.MOVE_UP_GONE: "The appointment that was to be moved up no longer stands. Check what the patient still needs.",
    _R.NOT_EARLIER: "This time is not earlier than the appointment the patient has.",
    _R.MOVE_UP_DEPTH: "Too many patients were moved up one after the other for this time already.",
    _R.REFERRAL: "The referral is missing or will have expired. Ask for a new one.",
    _R.AUTHORIZATION: "The authorization is missing or will have expired. Ask for a new one.",
    _R.INSURANCE: "The visit needs insurance, and the provider does not take the patient's plan.",
    _R.LIVE_OFFER: "The patient has another offer that is still open.",
    _R.CAPS: "The patient has had as many offers as the limit for a day or a week allows.",
    _R.NO_CALLER: "Only a call reaches them, and the office is closed or has as many calls to make as it can.",
    _R.QUIET: "It is night for the patient, and by the end of quiet hours this time is no longer offered.",
    _R.NO_CONSENT: "They did not ask to wait and agreed to no messages, so nobody calls them about it.",
    _R.NO_CONTACT: "There is no usable phone number and no e-mail address with consent.",
    _R.NO_GUARDIAN: "The patient is a child, and no parent or guardian has a contact on record.",
    _R.SAME_PATIENT: "The patient is ahead in line for this time with another entry.",
    _R.STAFF_TYPE: "Suits, but staff confirm this type of visit.",
    _R.NEW_PATIENT: "Suits, but the patient has not been seen here before.",
    _R.MINOR: "Suits, but the patient is a child: talk to the parent or guardian.",
    _R.TEENAGER: "Suits, but the patient is a teenager: staff decide whom to talk to.",
    _R.AGE_UNKNOWN: "Suits, but the birth date is not known, so the patient may be a minor.",
    _R.PAPERS: "Suits, but a referral or authorization has to be used for it.",
    _R.INSURANCE_UNKNOWN: "Suits, but the visit needs insurance, and the patient's plan on that day or those the "
    "provider takes are not known: ask, then enter them.",
    _R.PREPARATION: "Suits, but the patient has to prepare for the visit.",
    _R.SEVERAL: "Suits, but the patient has several appointments of this type: staff decide which one moves.",
    _R.CALL: "Suits, and the patient is reached by a phone call only.",
    _R.BEHIND: "Would suit by provider, place, day and notice; others are ahead in line.",
}


def explain(reason: Reason | str) -> str:
    """Return the sentence a reason stands for; an unknown code comes back as it is."""
    try:
        return SENTENCES[Reason(reason)]
    except ValueError:
        return str(reason)


def explain_all(codes: Iterable[str]) -> str:
    """Return stored reason codes as one text, the deciding one first."""
    return " ".join(explain(code) for code in codes)


def of_the_record(patient: Patient) -> str:
    """Return why a patient's record keeps every time from them, in a sentence; empty where it does not."""
    if patient.deceased:
        return explain(_R.DECEASED)
    if patient.replaced_by_id is not None:
        return explain(_R.REPLACED)
    if not patient.active:
        return explain(_R.INACTIVE)
    return explain(_R.RESTRICTED) if patient.restricted else ""


def why_not(opening: Opening, entry: WaitlistEntry, now: datetime | None = None) -> tuple[Verdict, str]:
    """Judge one entry on demand, by the function that decides about offers, and say it in a sentence."""
    facts = candidates.facts_for(opening, now)
    verdict = judge(facts, candidates.load([entry.pk], facts)[0])
    return verdict, explain_all(verdict.codes)


def offer_here(opening: Opening, entry: WaitlistEntry) -> Offer | None:
    """Return the offer of this opening that the patient has or had, under whichever of their records."""
    records = families.records_of([entry.patient_id])[entry.patient_id]
    return Offer.objects.filter(opening=opening, patient__in=records).order_by("-created_at").first()
