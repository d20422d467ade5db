"""Putting somebody on the waitlist, changing what they ask for, pausing and removing them."""

from __future__ import annotations

from datetime import date, time, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.test import Client
from django.utils import timezone

from config.desk.groups import FRONT_DESK
from scheduling.admin.display import slot
from scheduling.models import Appointment, LocationAccess, Patient, Plan
from tests import factories
from tests.desk.conftest import Practice
from tests.desk.pages import records, said, text_of
from waitlist.admin.forms import NEEDS
from waitlist.admin.hours import read_hours, write_hours, write_week
from waitlist.models import EntryWindow, MatchKey, WaitlistEntry

LIST = "/admin/waitlist/waitlistentry/"


def form(practice: Practice, **fields: object) -> dict[str, object]:
    return {
        "appointment_type": practice.followup.pk,
        "urgency": 1,
        "minimum_notice_minutes": 120,
        "earliest_date": "",
        "latest_date": "",
        **fields,
    }


def test_adding_begins_with_finding_the_patient(dana: Client, practice: Practice) -> None:
    assert "Who wants to wait?" in text_of(dana.get(LIST + "add/"))
    answer = dana.post(LIST + "add/", {"query": "alv"})
    assert answer.status_code == 302
    assert "alv" not in answer.url  # type: ignore[attr-defined]
    words = text_of(dana.get(answer.url))  # type: ignore[attr-defined]
    assert "Robin Alvarez Jan 1, 1980 Choose" in words
    assert records("list") == [("scheduling.patient", str(practice.patient.pk))]


def test_an_entry_is_added_with_all_it_asks_for(dana: Client, practice: Practice) -> None:
    later = factories.appointment(
        practice.patient,
        practice.chen,
        practice.riverside,
        practice.followup,
        start=timezone.now() + timedelta(days=20),
    )
    path = f"{LIST}add/?patient={practice.patient.pk}"
    assert "Follow-up" in text_of(dana.get(path))
    answer = dana.post(
        path,
        form(
            practice,
            providers=[practice.chen.pk],
            locations=[practice.riverside.pk],
            earliest_date="2031-03-03",
            latest_date="2031-04-04",
            move_up=later.pk,
            hours_0="8-12, 1:30pm-5pm",
            hours_2="all day",
            need_interpreter="24",
            referral_required="on",
            referral_valid_until="2031-06-01",
            note="Prefers mornings",
        ),
    )
    assert said(dana, answer) == "Saved. The line is up to date."
    entry = WaitlistEntry.objects.get()
    assert (entry.patient, entry.urgency, entry.added_by) == (practice.patient, 1, "dana")
    assert list(entry.providers.all()) == [practice.chen]
    assert list(entry.locations.all()) == [practice.riverside]
    assert (entry.earliest_date, entry.latest_date) == (date(2031, 3, 3), date(2031, 4, 4))
    assert entry.move_up == later
    assert entry.needs == [{"need": "interpreter", "notice_minutes": 1440}]
    assert [(each.weekday, each.start, each.end) for each in entry.windows.all()] == [
        (0, time(8), time(12)),
        (0, time(13, 30), time(17)),
        (2, time(0), time(23, 59)),
    ]
    assert MatchKey.objects.filter(entry=entry).exists()
    page = dana.get(f"{LIST}{entry.pk}/change/").content.decode()
    assert 'value="8am-12pm, 1:30pm-5pm"' in page
    assert 'value="all day"' in page


def test_a_second_entry_for_the_same_visit_is_refused_in_words(dana: Client, practice: Practice) -> None:
    practice.entry()
    words = text_of(dana.post(f"{LIST}add/?patient={practice.patient.pk}", form(practice)))
    assert (
        "The patient is on the waitlist for this type of visit already. Nothing was changed. "
        "Open that entry and change what it asks for." in words
    )
    assert WaitlistEntry.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"deceased": True}, "The EHR says that the patient has died."),
        ({"active": False}, "The patient record is inactive in the EHR."),
        ({"restricted": True}, "The patient is marked as not to be contacted in any way."),
        ({"replaced_by": True}, "The EHR replaced this patient record by another one."),
    ],
)
def test_a_record_that_is_offered_nothing_says_so_before_and_after_it_is_put_on_the_list(
    dana: Client, practice: Practice, fields: dict[str, Any], why: str
) -> None:
    path = f"{LIST}add/?patient={practice.patient.pk}"
    assert "No time is offered" not in text_of(dana.get(path))
    if "replaced_by" in fields:
        fields = {"replaced_by": factories.patient()}
    Patient.objects.filter(pk=practice.patient.pk).update(**fields)
    assert f"No time is offered while this stands: {why}" in text_of(dana.get(path))
    dana.post(path, form(practice))
    entry = WaitlistEntry.objects.get()
    assert why in text_of(dana.get(f"{LIST}{entry.pk}/change/"))


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"appointment_type": ""}, "This field is required."),
        ({"earliest_date": "2031-04-04", "latest_date": "2031-03-03"}, "This lies before the earliest date."),
        ({"earliest_date": "someday"}, "Enter a valid date."),
        ({"hours_1": "late"}, "Write hours such as 8-12 or 1:30pm-5pm, several with commas, or: all day."),
        ({"hours_1": "12-8am"}, "These hours end before they begin."),
        ({"minimum_notice_minutes": "-5"}, "Ensure this value is greater than or equal to 0."),
        ({"need_fasting": "much"}, "Enter a whole number."),
        ({"note": "x" * 301}, "Ensure this value has at most 300 characters"),
        ({"minimum_notice_minutes": "43201"}, "less than or equal to 43200."),
        ({"need_escort": "1441"}, "less than or equal to 1440."),
        ({"need_escort": "-1"}, "greater than or equal to 0."),
        ({"hours_6": "x" * 81}, "at most 80 characters"),
    ],
)
def test_each_mistake_is_named_and_nothing_is_saved(
    dana: Client, practice: Practice, fields: dict[str, str], complaint: str
) -> None:
    words = text_of(dana.post(f"{LIST}add/?patient={practice.patient.pk}", form(practice, **fields)))
    assert "Nothing was saved. Correct what is marked below." in words
    assert complaint in words
    assert not WaitlistEntry.objects.exists()


def test_changing_keeps_what_is_not_on_the_form(dana: Client, practice: Practice) -> None:
    entry = practice.entry(needs=[{"need": "service dog", "notice_minutes": 60}], joined_at=timezone.now())
    answer = dana.post(f"{LIST}{entry.pk}/change/", form(practice, urgency=0, need_transport="2"))
    assert said(dana, answer) == "Saved. The line is up to date."
    changed = WaitlistEntry.objects.get()
    assert changed.urgency == 0
    assert changed.joined_at == entry.joined_at
    assert changed.needs == [
        {"need": "transport", "notice_minutes": 120},
        {"need": "service dog", "notice_minutes": 60},
    ]


def test_another_patients_appointment_cannot_be_moved_up(dana: Client, practice: Practice) -> None:
    other = factories.patient(locations=[practice.riverside])
    theirs = factories.appointment(other, practice.chen, practice.riverside, practice.followup)
    words = text_of(dana.post(f"{LIST}add/?patient={practice.patient.pk}", form(practice, move_up=theirs.pk)))
    assert "Select a valid choice." in words
    assert not WaitlistEntry.objects.exists()


def test_pause_resume_and_remove(dana: Client, practice: Practice) -> None:
    entry = practice.entry()
    path = f"{LIST}{entry.pk}/"
    assert said(dana, dana.post(path + "step/pause/")).startswith("Paused: nothing is offered until you resume.")
    assert WaitlistEntry.objects.get().status == "paused"
    assert not MatchKey.objects.exists()
    assert said(dana, dana.post(path + "step/pause/")) == "Nothing changed: this entry is paused now."
    assert said(dana, dana.post(path + "step/resume/")) == "Waiting again, at the old place in line."
    assert MatchKey.objects.exists()
    assert said(dana, dana.post(path + "step/remove/")).startswith("Off the list. The patient is not told")
    assert WaitlistEntry.objects.get().status == "left"
    assert said(dana, dana.post(path + "step/resume/")) == "Nothing changed: this entry is left the list now."
    assert said(dana, dana.post(path + "step/explode/")).startswith("Nothing changed")
    assert dana.get(path + "step/pause/").status_code == 405


@pytest.mark.parametrize(
    ("action", "says", "statuses"),
    [
        ("pause_selected", "1 paused. 1 left as they were.", ["paused", "paused"]),
        ("resume_selected", "1 waiting again. 1 left as they were.", ["waiting", "waiting"]),
        ("remove_selected", "2 off the list.", ["left", "left"]),
    ],
)
def test_several_at_once(dana: Client, practice: Practice, action: str, says: str, statuses: list[str]) -> None:
    from waitlist import entries

    waiting, paused = practice.entry(), practice.entry(factories.patient(locations=[practice.riverside]))
    entries.pause(paused)
    chosen = {"action": action, "_selected_action": [waiting.pk, paused.pk]}
    assert said(dana, dana.post(LIST, chosen)) == says
    assert [WaitlistEntry.objects.get(pk=row.pk).status for row in (waiting, paused)] == statuses


def test_the_list_shows_what_each_wants_and_is_on_record(dana: Client, practice: Practice) -> None:
    joined = timezone.now() - timedelta(days=3, hours=1)
    wishes = {"providers": [practice.chen], "windows": [factories.window(0, time(8), time(12))]}
    practice.entry(**wishes, lost_races=2, joined_at=joined)
    words = text_of(dana.get(LIST))
    assert "Robin Alvarez Follow-up routine waiting Dr. Mei Chen · Mon 8am-12pm 2 × 3 days ago" in words
    assert records("list") == [("scheduling.patient", str(practice.patient.pk))]


def test_nobody_deletes_an_entry(maria: Client, practice: Practice) -> None:
    entry = practice.entry()
    assert maria.post(f"{LIST}{entry.pk}/delete/", {"post": "yes"}).status_code == 403
    assert WaitlistEntry.objects.filter(pk=entry.pk).exists()


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("", []),
        ("8-12", [(time(8), time(12))]),
        ("8:15-9:45", [(time(8, 15), time(9, 45))]),
        ("9 - 5", [(time(9), time(17))]),
        ("1-5", [(time(13), time(17))]),
        ("1am-2am", [(time(1), time(2))]),
        ("12pm–1pm", [(time(12), time(13))]),
        ("8am to noon", None),
        ("0830-1000", [(time(8, 30), time(10))]),
        ("8-24", [(time(8), time(23, 59))]),
        ("All Day", [(time(0), time(23, 59))]),
        ("8-12,13-17", [(time(8), time(12)), (time(13), time(17))]),
        ("8-12, 11-13", None),
        ("8-12, 12-5", [(time(8), time(12)), (time(12), time(17))]),
        (" 8-12 ,, 1-2 ,", [(time(8), time(12)), (time(13), time(14))]),
        (" any ", [(time(0), time(23, 59))]),
        ("ANY TIME", [(time(0), time(23, 59))]),
        ("  ", []),
        ("7-8", [(time(7), time(8))]),
        ("6-7pm", [(time(18), time(19))]),
        ("1PM-2P", [(time(13), time(14))]),
        ("12am-1a", [(time(0), time(1))]),
        ("0-9", [(time(0), time(9))]),
        ("9 to 10", [(time(9), time(10))]),
        ("9-9", None),
        ("9:60-10", None),
        ("25-26", None),
    ],
)
def test_hours_are_read_as_people_write_them(text: str, spans: list[tuple[time, time]] | None) -> None:
    if spans is None:
        with pytest.raises(ValidationError):
            read_hours(text)
    else:
        assert read_hours(text) == spans
        assert read_hours(write_hours([EntryWindow(weekday=0, start=a, end=b) for a, b in spans])) == spans


def test_days_of_the_same_hours_in_a_row_are_written_as_one() -> None:
    morning, all_day = (time(8, 0), time(12, 0)), (time(0, 0), time(23, 59))
    week = [(0, morning), (1, morning), (2, morning), (4, morning), (5, all_day)]
    windows = [EntryWindow(weekday=day, start=start, end=end) for day, (start, end) in week]
    assert write_week(windows) == "Mon–Wed 8am-12pm, Fri 8am-12pm, Sat all day"
    assert write_week([]) == ""
    # A day has as many spans as there are, in order, whatever order they were stored in.
    split = [
        EntryWindow(weekday=3, start=time(13, 5), end=time(14)),
        EntryWindow(weekday=3, start=time(0), end=time(1)),
    ]
    assert write_week(split) == "Thu 12am-1am, 1:05pm-2pm"


def only_with(*permissions: str) -> None:
    """Leave the front desk these rights about entries, and no other."""
    kept = Permission.objects.filter(codename__in=[f"{each}_waitlistentry" for each in permissions])
    group = Group.objects.get(name=FRONT_DESK)
    group.permissions.remove(*group.permissions.filter(codename__endswith="_waitlistentry"))
    group.permissions.add(*kept)


def test_who_may_only_look_changes_and_adds_nothing(dana: Client, practice: Practice) -> None:
    entry = practice.entry(urgency=1)
    only_with("view")
    page = f"{LIST}{entry.pk}/change/"
    shown = dana.get(page)
    assert records("view") == [("scheduling.patient", str(practice.patient.pk))]
    assert "Waitlist entry" in text_of(shown)
    for absent in ("Remove from the list", 'value="Save"', ">Save<"):
        assert absent not in shown.content.decode()
    assert dana.post(page, form(practice, urgency=0)).status_code == 403
    for step in ("pause", "remove"):
        assert dana.post(f"{LIST}{entry.pk}/step/{step}/").status_code == 403
    other = factories.patient(locations=[practice.riverside])
    for path in (LIST + "add/", f"{LIST}add/?patient={other.pk}"):
        assert dana.get(path).status_code == 403
        assert dana.post(path, form(practice)).status_code == 403
    entry.refresh_from_db()
    assert (entry.urgency, entry.status) == (1, "waiting")
    assert WaitlistEntry.objects.get() == entry


def test_who_may_not_look_sees_no_entry(dana: Client, practice: Practice) -> None:
    entry = practice.entry()
    only_with()
    assert dana.get(f"{LIST}{entry.pk}/change/").status_code in (403, 404)
    assert dana.get(LIST).status_code == 403


def test_a_step_is_taken_by_its_button_only(dana: Client, practice: Practice) -> None:
    entry = practice.entry()
    answer = dana.get(f"{LIST}{entry.pk}/step/remove/")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert dana.post(f"{LIST}{entry.pk}/step/dance/", follow=True).status_code == 200
    entry.refresh_from_db()
    assert entry.status == "waiting"


def test_the_list_says_whom_where_when_and_where_from(dana: Client, practice: Practice) -> None:
    entry = practice.entry(urgency=0, lost_races=2, origin="ehr")
    entry.providers.add(factories.provider(name="Dr. Ana One"), factories.provider(name="Dr. Ana Two"))
    EntryWindow.objects.create(entry=entry, weekday=0, start=time(8), end=time(12))
    words = text_of(dana.get(LIST))
    assert "2 ×" in words
    assert f"from {entry.get_origin_display()}" in words
    assert "Dr. Ana One, Dr. Ana Two" in words
    assert "Mon 8am-12pm" in words
    WaitlistEntry.objects.filter(pk=entry.pk).update(lost_races=0, origin="staff")
    entry.providers.clear()
    entry.windows.all().delete()
    Patient.objects.filter(pk=practice.patient.pk).update(given_name="", family_name="", preferred_name="")
    words = text_of(dana.get(LIST))
    assert "anybody, anywhere, any time" in words
    assert f"patient {practice.patient.pk} (no name)" in words
    assert "×" not in words


def test_the_form_offers_only_what_can_be_chosen(dana: Client, practice: Practice) -> None:
    now = timezone.now()
    path = f"{LIST}add/?patient={practice.patient.pk}"
    stopped = factories.appointment_type(name="Old kind", active=False)
    gone = factories.provider(name="Dr. Gone", active=False)
    shut = factories.location(name="Shut", active=False)
    LocationAccess.objects.create(user=User.objects.get(username="dana"), location=shut)
    plan, former = (Plan.objects.create(code=name.lower(), name=f"Plan {name}", active=name == "A") for name in "AB")
    practice.riverside.time_zone = "America/Phoenix"
    practice.riverside.save()

    def ahead(days: int, **fields: Any) -> Appointment:
        row = {"start": now + timedelta(days=days), "provider": practice.chen, "location": practice.riverside}
        return factories.appointment(practice.patient, **{**row, **fields})

    second = ahead(9, type=practice.followup)
    first = ahead(2, status="pending", type_display="Wound check")
    nameless = ahead(20)
    for fields in ({"days": -1}, {"days": 3, "status": "cancelled"}, {"days": 4, "location": practice.lakeview}):
        ahead(**fields)
    fields = dana.get(path).context["form"].fields
    chosen = {
        name: [str(label) for _, label in fields[name].choices] for name in ("appointment_type", "plan", "move_up")
    }
    assert "Old kind" not in chosen["appointment_type"]
    assert chosen["appointment_type"][0] == "Choose a kind of visit"
    assert chosen["plan"] == ["Not known", "Plan A"]
    zone = practice.riverside.zone
    assert chosen["move_up"] == [
        "None: an extra visit",
        f"Wound check, {slot(first.start, first.end, zone)}",  # type: ignore[arg-type]
        f"Follow-up, {slot(second.start, second.end, zone)}",  # type: ignore[arg-type]
        f"visit, {slot(nameless.start, nameless.end, zone)}",  # type: ignore[arg-type]
    ]
    assert [str(label) for _, label in fields["providers"].choices] == ["Dr. Mei Chen"]
    assert [str(label) for _, label in fields["locations"].choices] == ["Riverside"]
    for name, pk in (
        ("appointment_type", stopped.pk),
        ("providers", gone.pk),
        ("locations", shut.pk),
        ("plan", former.pk),
    ):
        value = [pk] if name in ("providers", "locations") else pk
        assert "Select a valid choice." in text_of(dana.post(path, form(practice, **{name: value})))
    assert not WaitlistEntry.objects.exists()
    dana.post(path, form(practice, plan=plan.pk))
    assert WaitlistEntry.objects.get().plan == plan


def test_every_answer_is_kept_and_stands_in_the_form_again(dana: Client, practice: Practice) -> None:
    answers = {
        "urgency": "0",
        "earliest_date": "2031-03-03",
        "latest_date": "2031-03-03",
        "minimum_notice_minutes": "43200",
        "texts_by_night": "on",
        "referral_required": "on",
        "referral_valid_until": "2031-06-01",
        "authorization_required": "on",
        "authorization_valid_until": "2031-07-01",
        "note": "Prefers mornings",
        "hours_6": "1pm-2:30pm",
        **{f"need_{need}": str(hours) for hours, need in enumerate(NEEDS)},
    }
    dana.post(f"{LIST}add/?patient={practice.patient.pk}", form(practice, **answers))
    entry = WaitlistEntry.objects.get()
    assert entry.needs == [{"need": need, "notice_minutes": hours * 60} for hours, need in enumerate(NEEDS)]
    again = dana.get(f"{LIST}{entry.pk}/change/").context["form"]
    shown = {name: str(again[name].value()) for name in again.fields}
    for name, value in answers.items():
        assert shown[name] == ("True" if value == "on" else value), name
    assert shown["appointment_type"] == str(practice.followup.pk)
    # What was noted elsewhere in minutes is rounded up: nobody is told later than they said.
    entry.needs = [{"need": "escort", "notice_minutes": 61}, {"need": "fasting"}]
    entry.save()
    again = dana.get(f"{LIST}{entry.pk}/change/").context["form"]
    assert (again["need_escort"].value(), again["need_fasting"].value(), again["need_transport"].value()) == (
        2,
        0,
        None,
    )


def test_the_form_is_asked_in_parts_each_with_its_words(dana: Client, practice: Practice) -> None:
    page = text_of(dana.get(f"{LIST}add/?patient={practice.patient.pk}"))
    order = [
        "What Waits for:",
        "Urgency:",
        "Appointment to move up:",
        "With whom and where With:",
        "None chosen: with anybody.",
        "At:",
        "None chosen: anywhere.",
        "When Not before:",
        "Not after:",
        "Must know before (minutes):",
        "Texts in quiet hours too",
        "Hours For example 8-12, 1:30pm-5pm, or: all day. All empty: any day, any hour.",
        "Monday:",
        "Sunday:",
        "Needs Write how many hours it takes to arrange; leave empty what is not needed.",
        *(f"{need.capitalize()}, hours’ notice:" for need in NEEDS),
        "Papers",
        "Referral required",
        "Referral valid until:",
        "Authorization required",
        "Authorization valid until:",
        "Insurance plan:",
        "Note:",
        "For staff. No diagnosis.",
    ]
    places = [page.find(words) for words in order]
    assert -1 not in places, order[places.index(-1)]
    assert places == sorted(places)
    both = dana.get(f"{LIST}add/?patient={practice.patient.pk}").context["form"]
    assert sum(len(fields) for _, _, fields in both.sections) == len(both.fields), "none is left out of the page"


def test_what_the_ehr_says_of_insurance_stands_beside_the_choice(dana: Client, practice: Practice) -> None:
    path = f"{LIST}add/?patient={practice.patient.pk}"
    assert "The EHR says:" not in text_of(dana.get(path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scheduling.coverages.in_words", lambda patient: ["Plan A until Jan 1", "Plan B"])
        page = text_of(dana.get(path))
    assert "The EHR says: Plan A until Jan 1; Plan B. What is chosen here goes before it." in page
    assert "As the EHR says" in page


def test_who_changes_a_note_changes_nothing_else(dana: Client, practice: Practice) -> None:
    """Neither what is elsewhere, which is not shown, nor what is out of use by now."""
    now = timezone.now()
    gone = factories.provider(name="Dr. Gone")
    plan = Plan.objects.create(code="a", name="Plan A")
    shut = factories.location(name="Shut")
    LocationAccess.objects.create(user=User.objects.get(username="dana"), location=shut)
    practice.patient.locations.add(practice.lakeview)
    later = factories.appointment(practice.patient, practice.chen, practice.lakeview, practice.followup)
    entry = practice.entry(
        providers=[gone], locations=[practice.riverside, practice.lakeview, shut], plan=plan, move_up=later
    )
    for row in (gone, plan, shut, practice.followup):
        type(row).objects.filter(pk=row.pk).update(active=False)
    page = f"{LIST}{entry.pk}/change/"

    def save(**fields: Any) -> None:
        """Send the form as its page has it, but for what is named."""
        shown = dana.get(page).context["form"]
        values: dict[str, Any] = {}
        for field in shown:
            choices = [str(value) for value, _ in getattr(field.field, "choices", ())]
            value = field.value() if field.value() != "" else None
            if isinstance(value, QuerySet | list):
                chosen = {str(getattr(row, "pk", row)) for row in value}
                values[field.name] = sorted(chosen & {*choices})
            elif value is not None and value is not False and (not choices or str(value) in choices):
                values[field.name] = value
        assert said(dana, dana.post(page, {**values, **fields})) == "Saved. The line is up to date."
        entry.refresh_from_db()

    def asked_for() -> tuple[Any, ...]:
        return ({*entry.providers.all()}, {*entry.locations.all()}, entry.plan, entry.move_up, entry.appointment_type)

    before = asked_for()
    words = text_of(dana.get(page))
    assert "A location that is not yours is chosen as well; that stays." in words
    assert "The one at another location, as before" in words
    assert "Lakeview" not in words
    save(note="Prefers mornings")
    assert (asked_for(), entry.note) == (before, "Prefers mornings")
    save(locations=[], providers=[], plan="")
    assert asked_for() == (set(), {practice.lakeview}, None, later, practice.followup)
    # One of ours that no longer stands is shown as it is, and stays until another one is chosen or none.
    for fields, says in (
        ({"status": "cancelled"}, "(cancelled)"),
        ({"status": "booked", "start": now - timedelta(days=1), "end": now}, ", yesterday "),
        ({"start": None, "end": None}, "follow-up, time not known"),
    ):
        Appointment.objects.filter(pk=later.pk).update(location=practice.riverside, **fields)
        assert says in text_of(dana.get(page)).lower()
        save(note=says)
        assert entry.move_up == later
    ours = factories.appointment(practice.patient, practice.chen, practice.riverside, practice.followup)
    save(move_up=ours.pk)
    assert entry.move_up == ours
    save(move_up="")
    assert entry.move_up is None
