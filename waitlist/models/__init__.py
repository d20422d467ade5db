"""The waitlist as rows."""

from waitlist.models.consent_links import ConsentLink
from waitlist.models.contact_changes import ContactChange
from waitlist.models.entries import EntryWindow, MatchKey, RequestLink, WaitlistEntry
from waitlist.models.imports import ImportBatch, ImportRow
from waitlist.models.offers import CandidateVerdict, Claim, MatchSummary, Offer
from waitlist.models.outreach import Channel, ConsentRecord, Message, Reply
from waitlist.models.policies import AcceptanceTally, OutreachPolicy
from waitlist.models.shadow import PastCancellation, ShadowOffer
from waitlist.models.words import LaunchStatement, MessageTemplate
from waitlist.models.wrong_person import WrongPersonReport

__all__ = [
    "AcceptanceTally",
    "CandidateVerdict",
    "Channel",
    "Claim",
    "ConsentLink",
    "ConsentRecord",
    "ContactChange",
    "EntryWindow",
    "ImportBatch",
    "ImportRow",
    "LaunchStatement",
    "MatchKey",
    "MatchSummary",
    "Message",
    "MessageTemplate",
    "Offer",
    "OutreachPolicy",
    "PastCancellation",
    "Reply",
    "RequestLink",
    "ShadowOffer",
    "WaitlistEntry",
    "WrongPersonReport",
]
