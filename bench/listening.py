"""The moment of a commit, as PostgreSQL itself tells it: triggers notify, and a listener takes the time."""

from __future__ import annotations

import time

import psycopg

LONGEST_SECONDS = 20.0
CHANNEL = "bench"
OFFERS, BOOKED = "offers", "booked"

_TRIGGERS = f"""
CREATE FUNCTION bench_tell() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_notify('{CHANNEL}', TG_ARGV[0]); RETURN NULL; END $$;
CREATE TRIGGER bench_offers AFTER INSERT ON waitlist_offer
    FOR EACH STATEMENT EXECUTE FUNCTION bench_tell('{OFFERS}');
CREATE TRIGGER bench_booked AFTER UPDATE ON scheduling_writeback
    FOR EACH ROW WHEN (NEW.status = 'done' AND OLD.status <> 'done') EXECUTE FUNCTION bench_tell('{BOOKED}');
"""


class NeverCame(RuntimeError):
    """What was waited for was not committed in time."""


class Listener:
    """Hears of committed offers and of bookings that were read back."""

    def __init__(self, database_url: str) -> None:
        self._connection = psycopg.connect(database_url, autocommit=True)
        self._connection.execute(_TRIGGERS)
        self._connection.execute(f"LISTEN {CHANNEL}")

    def forget(self) -> None:
        """Drop what was told before."""
        for _ in self._connection.notifies(timeout=0):
            pass

    def heard(self, what: str) -> float:
        """Return when ``what`` was committed, by ``time.perf_counter``; raises NeverCame."""
        for told in self._connection.notifies(timeout=LONGEST_SECONDS):
            if told.payload == what:
                return time.perf_counter()
        raise NeverCame(f"no {what} within {LONGEST_SECONDS:.0f} seconds")

    def close(self) -> None:
        """Stop listening."""
        self._connection.close()
