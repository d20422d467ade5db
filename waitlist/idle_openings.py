"""Free time that nobody on the list suited: it is looked at again as soon as somebody may suit it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from scheduling import openings
from scheduling.models import Bookable, Opening
from waitlist.models import Offer

#: However many join the list, one opening is looked at again so often at most.
AT_MOST_EVERY = timedelta(seconds=60)


def look_again(type_ids: Collection[int]) -> None:
    """Have open time looked at that takes one of these kinds of visit and is on offer to nobody.

    It follows the commit, so that no opening's row is locked beside an entry's. Were it lost, the opening's next look
    would come by itself, when the head start of its last wave is over.
    """
    if type_ids:
        transaction.on_commit(lambda: _look_again(type_ids), robust=True)


def _look_again(type_ids: Collection[int]) -> None:
    now = timezone.now()
    place = {"provider": OuterRef("provider"), "location": OuterRef("location")}
    taken_here = Bookable.objects.filter(**place, appointment_type__in=type_ids).exclude(mode=Bookable.Mode.OFF)
    on_offer = Offer.objects.filter(opening=OuterRef("pk"), status=Offer.Status.SENT, expires_at__gt=now)
    idle = Opening.objects.filter(
        Exists(taken_here),
        ~Exists(on_offer),
        status__in=Opening.CLAIMABLE,
        held=Opening.Held.NO,
        check_due_at__gt=now,
        checked_at__isnull=False,
    ).exclude(Q(mine_until__gt=now) | Q(source__shadow_since__isnull=False, source__shadow_until__isnull=True))
    for opening_id, checked_at in idle.order_by("start").values_list("pk", "checked_at"):
        openings.request_check(opening_id, max(now, (checked_at or now) + AT_MOST_EVERY))
