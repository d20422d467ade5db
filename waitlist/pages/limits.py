"""How often somebody may guess: links, by where they come from, and birth years, by patient."""

from __future__ import annotations

import ipaddress
import logging

from django.core.cache import cache

logger = logging.getLogger(__name__)

#: Wrong links from one address before it is told to wait, and for how long (seconds) they are counted.
WRONG_LINKS = 20
WRONG_LINKS_FOR = 10 * 60
#: Tries at a patient's birth year, the right one included, and for how long (seconds) they are counted.
BIRTH_YEARS = 5
BIRTH_YEARS_FOR = 24 * 60 * 60


def guesses_too_often(address: str | None) -> bool:
    """Count a wrong link from ``address`` and return whether there were too many.

    Only wrong links are counted and refused. Whole towns share one address of a phone company, so a right link
    opens from anywhere, whoever else guesses there.
    """
    try:
        return _count(f"patient-pages:wrong-links:{_network(address)}", WRONG_LINKS_FOR) > WRONG_LINKS
    except Exception as error:
        # Whatever the cache's client raises; what is behind a wrong link is nothing, counted or not.
        logger.warning("wrong links are not counted: the cache does not answer (%s)", type(error).__name__)
        return False


def may_try_birth_year(patient_id: int) -> bool:
    """Count a try before it is compared, so that a hundred at once are no more than five in a row.

    Without a cache nobody may: a year is one of a hundred, and the practice's phone is on the page.
    """
    try:
        return _count(_birth_year_key(patient_id), BIRTH_YEARS_FOR) <= BIRTH_YEARS
    except Exception as error:
        # The same; the page says to call the practice.
        logger.warning("birth years are not taken: the cache does not answer (%s)", type(error).__name__)
        return False


def birth_year_is_closed(patient_id: int) -> bool:
    """Return whether no more tries are taken for a patient."""
    try:
        return int(cache.get(_birth_year_key(patient_id), 0)) >= BIRTH_YEARS
    except Exception as error:
        # A try will say so to the patient.
        logger.warning("tries are not known: the cache does not answer (%s)", type(error).__name__)
        return False


def forget_tries(patient_id: int) -> None:
    """The right year was given: start counting afresh."""
    cache.delete(_birth_year_key(patient_id))


def _birth_year_key(patient_id: int) -> str:
    return f"patient-pages:birth-year:{patient_id}"


def _count(key: str, seconds: int) -> int:
    cache.add(key, 0, seconds)
    try:
        return cache.incr(key)
    except ValueError:  # it ran out between the two
        return 1


def _network(address: str | None) -> str:
    """Return an address as what one sender has: an IPv4 address, or the /64 network of an IPv6 one."""
    if address is None:
        return "none"
    parsed = ipaddress.ip_address(address)
    if parsed.version == 6:
        return str(ipaddress.ip_network((parsed, 64), strict=False).network_address)
    return str(parsed)
