"""What Twilio's states and error numbers mean for the next step.

Sources: Twilio, "Messages resource" (status values) and "Error and warning dictionary". Twilio adds numbers as it goes;
one that is not here fails that message, which goes another way, and says nothing about the number or about us.
"""

from __future__ import annotations

#: Any other state, and one that comes to be, is still under way or says nothing.
DELIVERED_STATES = frozenset({"delivered", "read"})
FAILED_STATES = frozenset({"failed", "undelivered", "canceled"})

#: The patient's number will never take a text: not valid, a landline, a short code, nobody's. No error that may as well
#: speak of our number is here: a sender that is set wrongly must not cost the practice every number it has.
ADDRESS_UNUSABLE = frozenset({21211, 21217, 21265, 21614, 21635, 30005, 30006, 63003, 63024})
#: The person sent STOP to our number.
OPTED_OUT = frozenset({21610})
#: Too many at once, or a queue on their side is full.
BUSY = frozenset({14107, 20429, 21611, 30001, 30022, 63018})
#: Account, credentials or sender: nothing goes out until somebody mends it, or the day is over (63038). From 30002 on
#: they are told in a report, after the text was taken: suspended, not verified (toll-free), not registered (10DLC),
#: sending switched off.
REFUSES_US = frozenset(
    {
        *{10001, 20003, 20005, 20010, 20403, 20404, 63038, 90010},
        *{21212, 21401, 21407, 21601, 21603, 21606, 21608, 21659, 21660, 21661, 21703},
        *{30002, 30032, 30033, 30034, 30037},
    }
)
#: Failures of one message that staff are told more about.
OF_ONE_MESSAGE = {
    21408: "our account may not text that country: tell IT",
    21612: "our number cannot text that one: tell IT",
    30003: "the phone was off or out of reach",
    30004: "the phone or its carrier blocks our texts",
    30007: "the carrier took it for spam: tell IT",
    30023: "the carrier takes no more of our texts today: tell IT",
}
#: Not an error number of theirs but the status of the answer.
_NOT_NOW, _SERVER_ERRORS = 429, range(500, 600)


def explain(code: str) -> str:
    """Return what ``twilio_<number>``, or a state that came without a number, means to staff; empty for others."""
    if code in FAILED_STATES:
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
        said = OF_ONE_MESSAGE.get(number, "the carrier could not deliver it")
    return f"{said} (Twilio {number})"
