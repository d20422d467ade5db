"""Why an entry got its verdict, by name."""

from django.db.models import TextChoices


class Reason(TextChoices):
    """Why an entry got its verdict; the label is what a list shows, `waitlist.explain` has the sentence."""

    SUITS = "suits", "suits"
    # The person
    DECEASED = "deceased", "deceased"
    REPLACED = "replaced", "record replaced by another"
    INACTIVE = "inactive", "record inactive"
    RESTRICTED = "restricted", "not to be contacted"
    # The place in line
    PAUSED = "paused", "paused"
    ASKED = "asked", "asked whether still wanted"
    NOT_WAITING = "not_waiting", "no longer on the list"
    SILENT = "silent", "did not answer several offers"
    # This opening
    FREED_IT = "freed_it", "gave up this very time"
    OFFERED_BEFORE = "offered_before", "was offered this time already"
    DECLINED = "declined", "declined this time"
    TYPE = "type", "type not taken here"
    TYPE_OFF = "type_off", "type not offered"
    TOO_SHORT = "too_short", "time too short"
    CUT_OFF = "cut_off", "too close to the start"
    PROVIDER = "provider", "wants other providers"
    LOCATION = "location", "wants other locations"
    TOO_EARLY = "too_early", "before the earliest date"
    TOO_LATE = "too_late", "after the latest date"
    HOURS = "hours", "weekday or hours do not suit"
    NOTICE = "notice", "needs more notice"
    NEEDS_NOTICE = "needs_notice", "a need takes longer to arrange"
    BUSY = "busy", "has an appointment at that time"
    # The plan
    HAS_APPOINTMENT = "has_appointment", "has an appointment of this type"
    MOVE_UP_GONE = "move_up_gone", "appointment to move up no longer stands"
    NOT_EARLIER = "not_earlier", "not earlier than the appointment to move up"
    MOVE_UP_DEPTH = "move_up_depth", "too many move-ups in a row"
    REFERRAL = "referral", "referral missing or expired"
    AUTHORIZATION = "authorization", "authorization missing or expired"
    INSURANCE = "insurance", "insurance plan not taken"
    # Limits and ways to reach them
    LIVE_OFFER = "live_offer", "has another offer open"
    CAPS = "caps", "had enough offers lately"
    QUIET = "quiet", "asleep until it is too late"
    NO_CALLER = "no_caller", "waits for somebody to call"
    NO_CONTACT = "no_contact", "no way to reach them"
    NO_CONSENT = "no_consent", "did not agree to messages"
    NO_GUARDIAN = "no_guardian", "no guardian's contact"
    SAME_PATIENT = "same_patient", "ahead with another entry"
    # Suits, but a person acts
    STAFF_TYPE = "staff_type", "staff confirm this type"
    NEW_PATIENT = "new_patient", "new patient"
    MINOR = "minor", "minor"
    TEENAGER = "teenager", "a teenager"
    AGE_UNKNOWN = "age_unknown", "birth date not known"
    PAPERS = "papers", "referral or authorization to be used"
    INSURANCE_UNKNOWN = "insurance_unknown", "insurance plan not known"
    PREPARATION = "preparation", "needs preparation"
    SEVERAL = "several", "several appointments of this type"
    CALL = "call", "reached by phone call only"
    # Counted without a look at each
    BEHIND = "behind", "suits by days and places, others are ahead"
