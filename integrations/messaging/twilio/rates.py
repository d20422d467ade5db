"""How many segments of texts Twilio sends from a number in a second, unless it was agreed otherwise.

Source: Twilio, error 30001 ("a US long code number can send one message segment per second, and a short code may send
over 100 message segments per second"), "Understanding Twilio rate limits and message queues" (a queue holds ten hours
of segments) and "Toll-Free SMS and MMS messaging throughput" (3). What a 10DLC campaign may send beyond one is between
the networks and the campaign, so it is never assumed. Above these, Twilio queues: an answer would wait behind offers.
"""

from __future__ import annotations

import re
from typing import Final

from django.conf import settings

LONG_CODE: Final = 1
TOLL_FREE: Final = 3
SHORT_CODE: Final = 100
OWN_ADDRESS: Final = "https://api.twilio.com"
_TOLL_FREE = re.compile(r"\+?18(00|33|44|55|66|77|88)\d{7}")
_SHORT_CODE = re.compile(r"\d{5,6}")


def usual_rate() -> int | None:
    """Return the segments per second that the number we send from may leave with; None for a stand-in of Twilio's."""
    return _rate_of(settings.SMS_FROM) if settings.SMS_BASE_URL.rstrip("/") == OWN_ADDRESS else None


def _rate_of(number: str) -> int:
    if _TOLL_FREE.fullmatch(number):
        return TOLL_FREE
    return SHORT_CODE if _SHORT_CODE.fullmatch(number) else LONG_CODE
