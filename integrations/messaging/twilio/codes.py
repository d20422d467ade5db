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
