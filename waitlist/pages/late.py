"""The answer of nearly everybody when a thousand say yes at once: too late, by one statement and nothing else."""

from __future__ import annotations

from datetime import datetime

from django.db import connection

from waitlist.links import stored_hash

#: An unanswered offer of a time that somebody else has: an own claim would have answered it. What a claim would do
#: for a patient whose record is closed is left to the claim. Written out, because building it took longer than it runs.
_NOTE_LATE = """
UPDATE waitlist_offer SET answered_at = %s
WHERE token_hash = %s AND status = 'sent' AND answered_at IS NULL AND "end" > %s
  AND EXISTS (SELECT 1 FROM scheduling_opening
              WHERE scheduling_opening.id = waitlist_offer.opening_id
                AND scheduling_opening.status IN ('claimed', 'filled'))
  AND EXISTS (SELECT 1 FROM scheduling_patient
              WHERE scheduling_patient.id = waitlist_offer.patient_id
                AND scheduling_patient.active AND NOT scheduling_patient.deceased
                AND NOT scheduling_patient.restricted AND scheduling_patient.replaced_by_id IS NULL)
"""


def note_late_yes(text_token: str, now: datetime) -> bool:
    """Note the yes behind a text's link if the time is somebody else's; False leaves everything to a claim.

    It does what :func:`waitlist.claims.claim` does for such an offer, and nothing for any other. The better place in
    line that a late yes earns follows by itself (:func:`waitlist.withdrawal.end_late`).
    """
    at = connection.ops.adapt_datetimefield_value(now)
    with connection.cursor() as cursor:
        cursor.execute(_NOTE_LATE, [at, stored_hash(text_token), at])
        return cursor.rowcount == 1
