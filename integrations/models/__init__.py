"""Connections to outside systems, what arrived from them and what was asked of them."""

from integrations.models.codes import CodeChange, CodeMapping
from integrations.models.connections import CallPace, Connection, EventSubscription, connection_kinds
from integrations.models.coverage import CoverageRead
from integrations.models.differences import Difference, Reconciliation
from integrations.models.inbound import InboundEvent, RefusedCall
from integrations.models.logins import AccessToken, SigningKey
from integrations.models.mapping import FieldHealth, FieldMapping, MappingChange
from integrations.models.messages import MessageClock
from integrations.models.watching import AlertContact, ApiCall, CarrierState, Heartbeat, SendingLimit, StaffAlert

__all__ = [
    "AccessToken",
    "AlertContact",
    "ApiCall",
    "CallPace",
    "CarrierState",
    "CodeChange",
    "CodeMapping",
    "Connection",
    "CoverageRead",
    "Difference",
    "EventSubscription",
    "FieldHealth",
    "FieldMapping",
    "Heartbeat",
    "InboundEvent",
    "MappingChange",
    "MessageClock",
    "Reconciliation",
    "RefusedCall",
    "SendingLimit",
    "SigningKey",
    "StaffAlert",
    "connection_kinds",
]
