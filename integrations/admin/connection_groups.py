"""The groups in which a connection's form asks, each with a sentence; those that few need are folded."""

from __future__ import annotations

from typing import Final

#: Groups that most practices never open.
SELDOM: Final = ("collapse",)

WHERE = (
    "Where it is",
    {
        "fields": ("name", "slug", "kind", "base_url", "practice_number"),
        "description": "The vendor names the address. The kind says how its maker’s EHR differs from the standard.",
    },
)
LOGIN = (
    "How we log in",
    {
        "fields": ("login_method", "client_id", "new_client_secret", "credentials_due_on"),
        "description": "The vendor registers us as a client and gives you these. What is secret is stored encrypted "
        "and never shown again. For a login signed by our key, save first: the key is made on the next page.",
    },
)
ALLOWED = (
    "What we do there",
    {
        "fields": ("writable", "registers_patients", "scope", "missing_reason", "mrn_system"),
        "description": "Your choices. The check on the next page says what the EHR makes of them.",
    },
)
NOTIFICATIONS = (
    "Notifications",
    {
        "fields": ("webhook_secrets_kept", "new_webhook_secret"),
        "description": "The EHR signs what it sends us with a secret that both sides know. Without notifications it "
        "is asked every few minutes what changed.",
    },
)
SELDOM_LOGIN = (
    "Client certificate and token address",
    {
        "classes": SELDOM,
        "fields": ("client_certificate", "new_certificate_key", "token_url"),
        "description": "Only where the vendor asks for a certificate of ours (mutual TLS), or where its token address "
        "is not published.",
    },
)
SELDOM_NOTIFICATIONS = (
    "Notifications in another form",
    {
        "classes": SELDOM,
        "fields": ("events_by", "event_topic", "webhook_proof", "webhook_senders", "only_newest_webhook_secret"),
        "description": "By topic or by the vendor’s own platform; by a bearer token instead of a signature; and the "
        "end of a change of secrets.",
    },
)
MESSAGES = (
    "HL7 v2 messages",
    {
        "classes": SELDOM,
        "fields": (
            "messages_tell",
            "mrn_authority",
            "appointment_number",
            "appointment_system",
            "place_in_messages",
            "times_in_messages",
            "message_charset",
        ),
        "description": "ADT and SIU messages, sent to the webhook’s address. Where they stand in for FHIR, place and "
        "times are read from them too.",
    },
)
PACE = (
    "When changes are dealt with",
    {
        "classes": SELDOM,
        "fields": (
            "poll_minutes",
            "appointment_pace",
            "patient_pace",
            "directory_pace",
            "batch_minutes",
            "calls_per_minute",
            "poll_overlap_minutes",
        ),
        "description": "At once, or together every so many minutes; and how many calls the vendor allows.",
    },
)
AGE = (
    "How old the calendar may be",
    {
        "classes": SELDOM,
        "fields": ("same_day_minutes", "later_day_minutes", "booking_minutes"),
        "description": "The calendar is as old as the last read that went through to its end. Reports and what is "
        "booked already go on whatever its age.",
    },
)
WATCH = (
    "Nightly comparison, silence, booking numbers",
    {
        "classes": SELDOM,
        "fields": ("reconcile_hour", "reconcile_days", "silence_minutes", "settle_seconds", "identifier_system"),
        "description": "How it is noticed that something went past us, and by what number our bookings are found.",
    },
)
ABLE = (
    "What it can do",
    {
        "fields": ("abilities",),
        "description": "As the last check found it. What a “no” costs stands in the check’s table on Connect.",
    },
)
FARES = (
    "How it fares",
    {"fields": ("state_shown", "last_heard", "failing", "last_error", "loaded", "read_up_to")},
)
#: The form's groups for a new connection, and for one there is.
ADDING = (WHERE, LOGIN, ALLOWED, NOTIFICATIONS, SELDOM_LOGIN, SELDOM_NOTIFICATIONS, MESSAGES, PACE, AGE, WATCH)
CHANGING = (*ADDING, ABLE, FARES)
