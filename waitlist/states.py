"""Which state of an offer, a claim, a message and a reply may follow which. Imported for its effect."""

from __future__ import annotations

from scheduling.transitions import register
from waitlist.models import Claim, ContactChange, Message, Offer, Reply

_O = Offer.Status
register(
    Offer,
    "status",
    {
        _O.PROPOSED: {_O.SENT, _O.YES, _O.NO, _O.EXPIRED, _O.WITHDRAWN},
        _O.SENT: {_O.YES, _O.NO, _O.TOO_LATE, _O.EXPIRED, _O.WITHDRAWN},
        # Somebody who changes their mind while the time is free; staff may also book them on the phone.
        _O.NO: {_O.YES},
        # The opening runs again: these get the next fresh offer of it, those who declined never do.
        _O.TOO_LATE: {_O.PROPOSED, _O.SENT, _O.YES},
        _O.WITHDRAWN: {_O.PROPOSED, _O.SENT, _O.YES},
        _O.EXPIRED: {_O.YES},
    },
)

_C = Claim.State
register(Claim, "state", {_C.PENDING: {_C.CONFIRMED, _C.REFUSED, _C.RELEASED}})

_M = Message.Status
register(
    Message,
    "status",
    {
        _M.WAITING: {_M.SENDING, _M.SUPPRESSED, _M.FAILED, _M.DEAD},
        _M.SENDING: {_M.SENT, _M.DELIVERED, _M.UNKNOWN, _M.WAITING, _M.FAILED, _M.SUPPRESSED, _M.DEAD},
        _M.UNKNOWN: {_M.SENDING, _M.SENT, _M.DELIVERED, _M.WAITING, _M.FAILED, _M.SUPPRESSED, _M.DEAD},
        _M.SENT: {_M.DELIVERED, _M.FAILED},
        # Carriers report out of order, and an e-mail can bounce after it was taken.
        _M.DELIVERED: {_M.FAILED},
        _M.FAILED: {_M.WAITING, _M.DELIVERED},
        _M.DEAD: {_M.WAITING, _M.SENT, _M.DELIVERED, _M.SUPPRESSED},
    },
)

_R = Reply.Outcome
register(
    Reply,
    "outcome",
    {_R.NEW: {outcome for outcome in _R if outcome != _R.NEW}, _R.STAFF: {_R.CLAIMED, _R.DECLINED}},
)

_N = ContactChange.State
register(ContactChange, "state", {_N.WAITING: {_N.CONFIRMED, _N.DROPPED, _N.STAFF}})
