"""Who should be offered the opening, worked out without the line: by judging everybody, and by one plain statement."""

from __future__ import annotations

from django.db import connection

from bench.waiting import NOW, Waiting
from waitlist import candidates, ranking
from waitlist.eligibility import judge
from waitlist.models import WaitlistEntry

CHUNK = 2000


def by_judging_everybody(waiting: Waiting, wanted: int) -> list[int]:
    """Return the entries of the first ``wanted``: the words of the rules in Python, whatever it costs."""
    facts = candidates.facts_for(waiting.opening, NOW)
    ids = list(WaitlistEntry.objects.order_by("pk").values_list("pk", flat=True))
    suited = []
    for begin in range(0, len(ids), CHUNK):
        for candidate in candidates.load(ids[begin : begin + CHUNK], facts):
            if judge(facts, candidate).eligible:
                suited.append((ranking.rank_key(candidate, facts), candidate.entry_id))
    return [entry_id for _, entry_id in sorted(suited)[:wanted]]


def by_plain_sql(waiting: Waiting, wanted: int) -> list[int]:
    """Return the same by one statement over the tables themselves, without the match keys."""
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(
            _STATEMENT, {"child": waiting.child, "opening": waiting.opening.pk, "now": NOW, "wanted": wanted}
        )
        found = [row[0] for row in cursor.fetchall()]
        cursor.execute("RESET statement_timeout")
    return found


#: What may not stand against an entry ``e`` of patient ``p``, beyond what the match keys know. ``o`` is the opening.
OBSTACLES = """
    e.status = 'waiting'
    AND p.active AND NOT p.deceased AND NOT p.restricted AND p.replaced_by_id IS NULL
    AND e.silences < 3 AND NOT e.referral_required AND NOT e.authorization_required
    AND p.birth_date <> %(child)s
    AND EXISTS (SELECT FROM scheduling_contactpoint AS c
        WHERE c.patient_id = p.id AND c.state = 'usable' AND c.use <> 'old' AND NOT c.guardian
            AND (c.system = 'phone' OR EXISTS (SELECT FROM waitlist_consentrecord AS r
                WHERE r.channel = 'email' AND r.address_index = c.address_index AND r.action = 'granted')))
    AND NOT EXISTS (SELECT FROM scheduling_appointment AS a
        WHERE a.patient_id = p.id AND a.end > %(now)s
            AND a.status IN ('pending', 'booked', 'arrived', 'checked-in', 'fulfilled')
            AND ((a.start < o.end AND a.end > o.start) OR a.appointment_type_id = e.appointment_type_id))
    AND NOT EXISTS (SELECT FROM waitlist_offer AS f
        WHERE f.patient_id = p.id AND (f.status = 'sent' OR f.opening_id = o.id))
    AND (SELECT count(*) FROM waitlist_offer AS f
        WHERE f.patient_id = p.id AND f.created_at > %(now)s - interval '1 day') < 2
    AND (SELECT count(*) FROM waitlist_offer AS f
        WHERE f.patient_id = p.id AND f.created_at > %(now)s - interval '7 days') < 5
"""

_STATEMENT = f"""
SELECT e.id
FROM scheduling_opening AS o
    JOIN waitlist_waitlistentry AS e ON e.appointment_type_id IN (
        SELECT b.appointment_type_id FROM scheduling_bookable AS b
        WHERE b.provider_id = o.provider_id AND b.location_id = o.location_id)
    JOIN scheduling_patient AS p ON p.id = e.patient_id
    CROSS JOIN LATERAL (SELECT o.start AT TIME ZONE 'America/New_York' AS starts,
        o.end AT TIME ZONE 'America/New_York' AS ends, o.start - %(now)s AS lead) AS local
    CROSS JOIN LATERAL (SELECT
        NOT EXISTS (SELECT FROM waitlist_waitlistentry_providers AS x WHERE x.waitlistentry_id = e.id) AS provider,
        NOT EXISTS (SELECT FROM waitlist_waitlistentry_locations AS x WHERE x.waitlistentry_id = e.id) AS place,
        NOT EXISTS (SELECT FROM waitlist_entrywindow AS x WHERE x.entry_id = e.id) AS hours) AS whatever
WHERE o.id = %(opening)s
    AND (whatever.provider OR EXISTS (SELECT FROM waitlist_waitlistentry_providers AS x
        WHERE x.waitlistentry_id = e.id AND x.provider_id = o.provider_id))
    AND (whatever.place OR EXISTS (SELECT FROM waitlist_waitlistentry_locations AS x
        WHERE x.waitlistentry_id = e.id AND x.location_id = o.location_id))
    AND (whatever.hours OR EXISTS (SELECT FROM waitlist_entrywindow AS x
        WHERE x.entry_id = e.id AND x.weekday = extract(isodow FROM local.starts) - 1
            AND x.start <= local.starts::time AND x.end >= local.ends::time))
    AND (e.earliest_date IS NULL OR e.earliest_date <= local.starts::date)
    AND (e.latest_date IS NULL OR e.latest_date >= local.starts::date)
    AND make_interval(mins => e.minimum_notice_minutes) <= local.lead
    AND make_interval(mins => coalesce((e.needs -> 0 ->> 'notice_minutes')::integer, 0)) <= local.lead
    AND {OBSTACLES}
ORDER BY e.urgency, e.move_up_id IS NOT NULL, -e.lost_races, e.joined_at,
    whatever.provider::integer * 4 + whatever.place::integer * 2 + whatever.hours::integer, e.id
LIMIT %(wanted)s
"""
