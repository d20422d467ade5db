"""What staff say when they offer a time on the phone, in the practice's own words where it has changed ours."""

from __future__ import annotations

from django.utils import timezone

from scheduling.models import WorkItem
from scheduling.worklist import Script
from waitlist import house_words, offering, wording
from waitlist.events import CALL
from waitlist.models import Offer
from waitlist.subjects import Subject, describe

_NAMES = {"en": "English", "es": "Spanish"}


def for_offer(item: WorkItem) -> list[Script]:
    """Return what to say about the offer of a call task in each language, the patient's first."""
    rows = Offer.objects.select_related("opening__location", "opening__provider", "patient", "move_up")
    offer = rows.filter(pk=item.subject_id or 0).first()
    if offer is None:
        return []
    subject = Subject.of(offer)
    context = {
        **describe(subject, timezone.now()),
        "patient": offer.patient.full_name,
        "provider": offer.opening.provider.name,
        "keep": offering.kept_until_confirmed(offer),
        "until": offer.expires_at.astimezone(subject.place_zone),
    }
    changed = house_words.in_use()
    languages = sorted(wording.LANGUAGES, key=lambda language: language != subject.language)
    return [
        Script(language, _NAMES[language], wording.render(CALL, wording.VOICE, language, context, changed).body)
        for language in languages
    ]
