"""A practice's own words for its messages: read, changed, and given up for the words we come with.

Every change is a new version; old ones stay. Who saves from a page that is out of date changes nothing.
"""

from __future__ import annotations

import hashlib

from django.db import IntegrityError, transaction
from django.db.models import Max, QuerySet
from django.utils import timezone

from audit.log import record_change
from waitlist.models import MessageTemplate
from waitlist.wording import Changed, Words, shipped


def in_use() -> Changed:
    """Return the practice's own words that are in use, in one query."""
    rows = MessageTemplate.objects.filter(active=True).order_by()
    return {(row.language, row.event, row.channel): Words(row.subject, row.text) for row in rows}


def versions(language: str, event: str, channel: str) -> QuerySet[MessageTemplate]:
    """Return every version there was of some words, the newest first."""
    return MessageTemplate.objects.filter(language=language, event=event, channel=channel).order_by("-edition")


def active_version(language: str, event: str, channel: str) -> MessageTemplate | None:
    """Return the practice's own words, None where the words we come with are used."""
    return versions(language, event, channel).filter(active=True).first()


def current(language: str, event: str, channel: str) -> Words:
    """Return the words in use."""
    row = active_version(language, event, channel)
    return Words(row.subject, row.text) if row else shipped(language, event, channel)


def save(
    language: str, event: str, channel: str, words: Words, *, by: str, instead_of: int = 0
) -> MessageTemplate | None:
    """Use ``words`` from now on. ``instead_of``: the version that the person saw in use, 0 for the words we come with.

    None: somebody else changed them meanwhile, and nothing was stored.
    """
    newest = versions(language, event, channel).aggregate(newest=Max("edition"))["newest"] or 0
    try:
        with transaction.atomic():
            if instead_of and not _retire(language, event, channel, instead_of):
                return None
            return MessageTemplate.objects.create(
                language=language,
                event=event,
                channel=channel,
                edition=newest + 1,
                subject=words.subject,
                text=words.text,
                edited_by=by[:150],
                edited_at=timezone.now(),
            )
    except IntegrityError:  # another version came into use meanwhile
        return None


def back_to_shipped(language: str, event: str, channel: str, *, instead_of: int) -> bool:
    """Use the words we come with again; False when ``instead_of`` is not the version in use any more."""
    with transaction.atomic():
        return _retire(language, event, channel, instead_of)


def _retire(language: str, event: str, channel: str, edition: int) -> bool:
    row = versions(language, event, channel).filter(edition=edition).first()
    if row is None or not MessageTemplate.objects.filter(pk=row.pk, active=True).update(active=False):
        return False
    record_change(row, {"active": (True, False)})
    return True


def version_name(language: str, event: str, channel: str) -> str:
    """Return what tells these very words from all others, for the record: "sms en v2 3f9a1c"."""
    row = active_version(language, event, channel)
    words = Words(row.subject, row.text) if row else shipped(language, event, channel)
    digest = hashlib.sha256(f"{words.subject}\n{words.text}".encode()).hexdigest()[:6]
    return f"{channel} {language} v{row.edition if row else 0} {digest}"
