"""What Twilio's error numbers mean for the next step. Source: Twilio, "Error and warning dictionary"."""

from __future__ import annotations

#: The number will never take a text: not valid, not mobile, a landline, not reachable by this kind of message.
ADDRESS_UNUSABLE = frozenset({21211, 21214, 21217, 21265, 21401, 21407, 21421, 21601, 21612, 21614, 30005, 30006})
#: The person sent STOP to our number.
OPTED_OUT = frozenset({21610})
#: Too many at once, or a queue on their side is full.
BUSY = frozenset({14107, 20429, 21611, 30001, 30022})
#: Account, credentials or sender: nothing goes out until somebody mends it.
REFUSES_US = frozenset({20003, 20005, 20403, 21408, 21606, 21608, 21660, 21703})
#: Not an error number of theirs but the status of the answer.
_NOT_NOW, _SERVER_ERRORS = 429, range(500, 600)


def explain(code: str) -> str:
    """Return what ``twilio_<number>``, or a state that came without a number, means to staff; empty for others."""
    if code in ("failed", "undelivered"):
        return "the carrier could not deliver it, and does not say why"
    name, _, given = code.partition("_")
    if name != "twilio" or not given.isdecimal():
        return ""
    number = int(given)
    if number in ADDRESS_UNUSABLE:
        said = "this number takes no texts"
    elif number in OPTED_OUT:
        said = "they sent STOP to the carrier"
    elif number in BUSY or number == _NOT_NOW:
        said = "the carrier is busy: it goes later"
    elif number in REFUSES_US:
        said = "the carrier does not accept our account or number: tell IT"
    elif number in _SERVER_ERRORS:
        said = "the carrier is down"
    else:
        said = "the carrier could not deliver it"
    return f"{said} (Twilio {number})"
