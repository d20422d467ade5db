"""What an admin of the made-up clinic would have set up: its visit types, who takes them, and what its codes mean."""

from __future__ import annotations

TYPE_SYSTEM = "https://sandbox-ehr.example.org/appointment-type"
MRN_SYSTEM = "https://sandbox-ehr.example.org/mrn"
REASON_SYSTEM = "http://terminology.hl7.org/CodeSystem/appointment-cancellation-reason"

#: EHR code, our code, name, minutes, how far the machine may go.
TYPES = (
    ("FOLLOWUP", "follow-up", "Follow-up visit", 30, "automatic"),
    ("NEWPATIENT", "new-patient", "New patient visit", 60, "staff_confirm"),
    ("PHYSICAL", "physical", "Annual physical", 60, "automatic"),
    ("NURSE", "nurse", "Nurse visit", 15, "automatic"),
    ("PROCEDURE", "procedure", "Minor procedure", 60, "staff_confirm"),
)

#: Visits that need insurance, and our plans: code, name, who takes it.
INSURED = ("physical",)
PLANS = (
    ("harbor-ppo", "Harbor Mutual PPO", ("chen", "ortega", "okafor", "lindqvist")),
    ("harbor-hmo", "Harbor Mutual HMO", ("chen", "okafor")),
    ("bluewater-gold", "Bluewater Gold", ("chen", "ortega", "okafor")),
    ("tidewell", "Tidewell Choice PPO", ("ortega", "lindqvist")),
    ("state", "State Health Program", ("okafor", "lindqvist")),
)
#: What the EHR calls some of them, by payor and number; the others stay unmapped, as in a practice that begins.
PLAN_CODES = (
    ("Organization/harbor-mutual", "HM-100", "harbor-ppo"),
    ("Organization/state-program", "PUBLICPOL", "state"),
)

#: Provider and location as the EHR calls them, and our codes of what they take there.
BOOKABLE = (
    ("chen", "riverside", ("follow-up", "new-patient", "physical")),
    ("ortega", "riverside", ("follow-up", "physical")),
    ("oneill", "riverside", ("nurse",)),
    ("okafor", "riverside", ("follow-up", "new-patient", "physical")),
    ("okafor", "lakeview", ("follow-up", "new-patient", "physical")),
    ("lindqvist", "lakeview", ("physical", "new-patient", "procedure")),
    ("raman", "lakeview", ("follow-up", "new-patient")),
)

#: Cancellation reasons; the clinic's legacy code stays unmapped, so that one sees what becomes of it.
REASONS = (
    ("pat", "rebookable"),
    ("pat-crt", "rebookable"),
    ("pat-mv", "rebookable"),
    ("prov", "not_rebookable"),
    ("prov-pers", "not_rebookable"),
    ("oth-weath", "ask_staff"),
)

#: Of the sixty who wait: our type code and how many.
WAITING = (("follow-up", 34), ("physical", 12), ("nurse", 8), ("new-patient", 4), ("procedure", 2))
