"""Who a *test* installation may write to: the staff numbers and addresses on its list, whatever its data say."""

from __future__ import annotations

from django.conf import settings

from scheduling.patients import normalise_phone


def may_be_reached(address: str) -> bool:
    """Return whether a message may leave the building for this address."""
    if settings.INSTALLATION == "live":
        return True
    return _plain(address) in {_plain(each) for each in settings.TEST_RECIPIENTS}


def _plain(address: str) -> str:
    return address.strip().lower() if "@" in address else normalise_phone(address)[0]
