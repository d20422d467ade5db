"""Referrals and authorizations that are missing or will have expired: staff are asked to get them, once for an entry.

Asked only about whoever a freed time would have been offered to, were it not for the papers.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import TYPE_CHECKING

from django.utils import timezone

from scheduling.models import Opening, WorkItem
from scheduling.worklist import BY_ITSELF, ask_staff, finish, finish_each
from waitlist.models import WaitlistEntry
from waitlist.reasons import Reason

if TYPE_CHECKING:
    from waitlist.ranking import Ranked

KIND = "entry.papers"
#: What staff say they have asked for is on its way so long before they are asked again.
ON_ITS_WAY = timedelta(days=7)
_PAPERS = {Reason.REFERRAL: "referral", Reason.AUTHORIZATION: "authorization"}


def ask(opening: Opening, passed_over: Iterable[Ranked]) -> None:
    """Ask staff for the papers of those whom a wave passed over for nothing else."""
    lacking = {
        each.entry_id: each.verdict.reasons
        for each in passed_over
        if not each.verdict.eligible and set(each.verdict.reasons) <= set(_PAPERS)
    }
    if not lacking:
        return
    items = WorkItem.objects.filter(dedupe_key__in=[_key(entry_id) for entry_id in lacking])
    known = set(items.filter(status=WorkItem.Status.OPEN).values_list("dedupe_key", flat=True))
    # What ended by itself was asked for by nobody.
    asked_for = items.filter(done_at__gt=timezone.now() - ON_ITS_WAY).exclude(done_by=BY_ITSELF)
    known |= set(asked_for.values_list("dedupe_key", flat=True))
    anew = [entry_id for entry_id in lacking if _key(entry_id) not in known]
    for entry in WaitlistEntry.objects.filter(pk__in=anew).select_related("patient").order_by("pk"):
        named = " and ".join(_PAPERS[reason] for reason in lacking[entry.pk])
        ask_staff(
            KIND,
            f"A freed time was not offered to a patient: {named} missing or expired",
            advice="Ask for a new one, then enter on their waitlist entry until when it is valid: from then on they "
            "are offered times again. They keep their place and were told nothing.",
            dedupe_key=_key(entry.pk),
            subject=entry,
            patient=entry.patient,
            opening=opening,
        )


def were_entered(entry: WaitlistEntry) -> None:
    """The entry was changed: where it lacks nothing by now on the day it was asked for, nobody is asked any more."""
    asked = WorkItem.objects.filter(dedupe_key=_key(entry.pk), status=WorkItem.Status.OPEN)
    item = asked.select_related("opening__location").first()
    if item is not None and not _lacks(entry, _day(item)):
        finish(item, BY_ITSELF, "The papers are on the entry.")


def are_not_needed(entries: Iterable[WaitlistEntry]) -> None:
    """These entries wait no more: nobody is asked for their papers."""
    keys = [_key(entry.pk) for entry in entries if entry.referral_required or entry.authorization_required]
    if keys:
        finish_each(keys, "The patient waits no more.")


def _day(item: WorkItem) -> date:
    """Return the day on which the papers are needed: that of the visit, or today where it is over."""
    today = timezone.localdate()
    opening = item.opening
    return max(today, opening.start.astimezone(opening.location.zone).date()) if opening is not None else today


def _lacks(entry: WaitlistEntry, day: date) -> bool:
    papers = (
        (entry.referral_required, entry.referral_valid_until),
        (entry.authorization_required, entry.authorization_valid_until),
    )
    return any(required and (until is None or until < day) for required, until in papers)


def _key(entry_id: int) -> str:
    return f"{KIND}:{entry_id}"
