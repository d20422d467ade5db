"""A patient's own request: what the pages say and change, by an offer's link or by a link of its own."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from auditlog.models import LogEntry
from django.test import Client
from django.utils import timezone

from audit.models import AccessRecord
from config.logs import masked
from scheduling.models import Appointment, Location, Patient
from tests import factories
from tests.waitlist import pages
from tests.waitlist.conftest import Scene
from tests.waitlist.pages import heading, link_of, nobody_has_guessed, text  # noqa: F401
from waitlist import entries, links, own_request
from waitlist.models import EntryWindow, Message, Offer, RequestLink, WaitlistEntry

pytestmark = pytest.mark.django_db
STATUSES = WaitlistEntry.Status


def post(path: str, **fields: Any) -> Any:
    """Press a button, in a browser without cookies that checks forgery protection."""
    return Client(enforce_csrf_checks=True).post(path, fields)


def checked(page: Any) -> list[str]:
    """The ids of what is marked in a page's form."""
    return re.findall(r'<input[^>]* id="(\w+)"[^>]* checked', page.content.decode())


@pytest.fixture
def entry(scene: Scene) -> WaitlistEntry:
    return scene.waiting(1)[0]


@pytest.fixture
def path(entry: WaitlistEntry) -> str:
    """The link to the request that a text carries."""
    return f"/r/{links.make_request_link(entry, timezone.now()).text}/"


def windows(entry: WaitlistEntry) -> list[tuple[int, time, time]]:
    return [(row.weekday, row.start, row.end) for row in entry.windows.all()]


def test_what_the_patient_told_us_is_said_in_words(entry: WaitlistEntry, path: str, client: Client) -> None:
    page = client.get(path)
    assert heading(page) == "You are on our waitlist"
    assert "any day at any time of day" in text(page)
    assert "cualquier día a cualquier hora" in text(client.get(f"{path}?lang=es"))
    assert "Now we have" not in text(client.get(f"{path}days/"))
    assert "I can come at once" in text(page)
    assert "We do not promise a number in line" in text(page)
    entries.change(entry, windows=[EntryWindow(weekday=d, start=time(0), end=time(12)) for d in (0, 3)])
    assert "Monday, Thursday in the morning, until noon" in text(client.get(path))
    entries.change(entry, windows=[EntryWindow(weekday=0, start=time(8), end=time(10, 30))])
    assert "Monday, 8:00 in the morning to 10:30 in the morning" in text(client.get(path))
    assert "lunes, de 8:00 de la mañana a 10:30 de la mañana" in text(client.get(f"{path}?lang=es"))


def test_days_and_hours_are_chosen_and_the_line_follows(scene: Scene, entry: WaitlistEntry, path: str) -> None:
    answer = post(f"{path}days/", weekday=["0", "2"], part="afternoon")
    assert (answer.status_code, answer.headers["Location"]) == (303, path)
    assert windows(entry) == [(0, time(12), time(23, 59)), (2, time(12), time(23, 59))]
    assert set(entry.match_keys.values_list("weekday_key", "from_minute", "until_minute")) == {
        (0, 720, 1440),
        (2, 720, 1440),
    }
    post(f"{path}days/", weekday=list("0123456"), part="any")
    assert windows(entry) == []


def test_no_day_at_all_is_asked_again_and_changes_nothing(entry: WaitlistEntry, path: str) -> None:
    before = pages.rows()
    for fields in ({"part": "any"}, {"weekday": ["7", "x"], "part": "any"}, {"part": "night"}):
        page = post(f"{path}days/", **fields)
        assert page.status_code == 200
        assert "Choose at least one day." in text(page)
    assert "Choose one of the answers." in text(post(f"{path}days/", weekday=["1"], part="night"))
    assert pages.rows() == before


def test_hours_that_staff_entered_are_not_lost_unasked(entry: WaitlistEntry, path: str, client: Client) -> None:
    entries.change(entry, windows=[EntryWindow(weekday=0, start=time(8), end=time(10, 30))])
    page = client.get(f"{path}days/")
    assert "Now we have: Monday, 8:00 in the morning to 10:30 in the morning" in text(page)
    assert checked(page) == ["weekday_0"]
    again = post(f"{path}days/", weekday=["0", "1"])
    assert text(again).startswith("Back There is a problem Choose one of the answers. Nothing is booked or changed.")
    assert checked(again) == ["weekday_0", "weekday_1"]
    assert windows(entry) == [(0, time(8), time(10, 30))]
    post(f"{path}days/", weekday=["0", "1"], part="morning")
    assert windows(entry) == [(0, time(0), time(12)), (1, time(0), time(12))]


def test_only_clinicians_the_place_names_can_be_chosen(
    scene: Scene, entry: WaitlistEntry, path: str, client: Client
) -> None:
    assert "Who you would like to see" not in text(client.get(path))
    for answer in (client.get(f"{path}who/"), post(f"{path}who/", who=[str(scene.provider.pk)])):
        assert (answer.status_code, answer.headers["Location"]) == (303, path)
    assert list(entry.providers.all()) == []
    Location.objects.update(names_providers=True)
    chen, other = scene.provider, factories.provider(name="Dr. <b>Ada</b> Lovelace")
    factories.bookable(other, scene.location, scene.type)
    stranger = factories.provider(name="Dr. Nowhere")
    page = client.get(f"{path}who/")
    assert "Dr. &lt;b&gt;Ada&lt;/b&gt; Lovelace" in page.content.decode()
    assert "Nowhere" not in text(page)
    post(f"{path}who/", who=[str(other.pk), str(stranger.pk), "9" * 5000, "x", "²"])
    assert list(entry.providers.all()) == [other]
    assert "Who you would like to see Dr. &lt;b&gt;Ada&lt;/b&gt; Lovelace Change" in text(client.get(path))
    assert checked(client.get(f"{path}who/")) == [f"who_{other.pk}"]
    post(f"{path}who/", who=[str(chen.pk), str(other.pk)])
    assert set(entry.providers.all()) == {chen, other}
    both = re.search("Who you would like to see (.*?) Change", text(client.get(path)))
    assert both
    assert set(both[1].split(", ")) == {chen.name, "Dr. &lt;b&gt;Ada&lt;/b&gt; Lovelace"}
    # One who cannot be chosen there is not named either, though staff entered them.
    entries.change(entry, providers=[chen, stranger])
    assert f"Who you would like to see {chen.name} Change" in text(client.get(path))
    entries.change(entry, providers=[stranger])
    assert "Who you would like to see somebody our front desk entered Change" in text(client.get(path))
    assert "alguien que anotó nuestra recepción Cambiar" in text(client.get(f"{path}?lang=es"))
    post(f"{path}who/")
    assert "Who you would like to see anyone Change" in text(client.get(path))
    assert "cualquier persona Cambiar" in text(client.get(f"{path}?lang=es"))


def test_whoever_takes_no_such_visit_there_is_not_named_and_one_entered_by_staff_stays(
    scene: Scene, entry: WaitlistEntry
) -> None:
    Location.objects.update(names_providers=True)
    elsewhere = factories.location(names_providers=True)
    shut = factories.location(names_providers=True, active=False)
    off, gone, far, other_kind, late = (factories.provider(active=number != 1) for number in range(5))
    factories.bookable(off, scene.location, scene.type, mode="off")
    factories.bookable(gone, scene.location, scene.type)
    factories.bookable(far, elsewhere, scene.type)
    factories.bookable(other_kind, scene.location, factories.appointment_type())
    factories.bookable(late, shut, scene.type)
    assert set(own_request.possible_providers(entry)) == {scene.provider, far}
    entries.change(entry, locations=[scene.location], providers=[off])
    assert own_request.possible_providers(entry) == [scene.provider]
    second = factories.provider()
    factories.bookable(second, scene.location, scene.type)
    for chosen in ({scene.provider, second}, {second}):
        own_request.choose_providers(entry, {each.pk for each in chosen})
        assert set(entry.providers.all()) == {*chosen, off}


def test_notice_is_chosen_from_what_is_offered(entry: WaitlistEntry, path: str, client: Client) -> None:
    post(f"{path}notice/", notice=str(2 * 24 * 60))
    entry.refresh_from_db()
    assert entry.minimum_notice_minutes == 2880
    assert "2 days" in text(client.get(path))
    assert checked(client.get(f"{path}notice/")) == ["notice_5"]
    assert "Choose one of the answers." in text(post(f"{path}notice/", notice="1"))
    assert post(f"{path}notice/", notice="0").status_code == 303
    assert "I can come at once" in text(client.get(path))
    entries.change(entry, minimum_notice_minutes=90)
    assert checked(client.get(f"{path}notice/")) == ["notice_2"], "the next longer one"
    entries.change(entry, minimum_notice_minutes=10 * 24 * 60)
    assert checked(client.get(f"{path}notice/")) == [], "none is as long, and a shorter one was not asked for"


@pytest.mark.parametrize(
    ("minutes", "english", "spanish"),
    [
        (0, "I can come at once", "Puedo venir enseguida"),
        (1, "1 minute", "1 minuto"),
        (60, "1 hour", "1 hora"),
        (90, "90 minutes", "90 minutos"),
        (168, "168 minutes", "168 minutos"),
        (240, "4 hours", "4 horas"),
        (24 * 60, "1 day", "1 día"),
        (25 * 60, "25 hours", "25 horas"),
        (7 * 24 * 60, "7 days", "7 días"),
    ],
)
def test_how_much_notice_is_said_in_words(
    entry: WaitlistEntry, path: str, client: Client, minutes: int, english: str, spanish: str
) -> None:
    entries.change(entry, minimum_notice_minutes=minutes)
    assert f"How much notice you need {english} Change" in text(client.get(path))
    assert f" {spanish} Cambiar" in text(client.get(f"{path}?lang=es"))


def test_texts_at_night_are_the_patients_own_choice_and_on_record_as_theirs(
    scene: Scene, entry: WaitlistEntry, path: str, client: Client
) -> None:
    assert "Texts at night only by day" in text(client.get(path))
    before = pages.rows()
    for fields in ({}, {"night": ""}, {"night": "true"}):
        page = post(f"{path}night/", **fields)
        assert (page.status_code, heading(page)) == (200, "May we text you at night?")
        assert "Choose one of the answers." in text(page)
    night = client.get(f"{path}night/")
    assert checked(night) == ["night_no"]
    assert "No, text me only by day Yes, text me at any hour if it cannot wait Save" in text(night)
    assert "No, solo de día" in text(client.get(f"{path}night/?lang=es"))
    assert pages.rows() == before

    assert post(f"{path}night/", night="yes").headers["Location"] == path
    assert "Texts at night at night too, if it cannot wait" in text(client.get(path))
    assert "Mensajes de noche también de noche, si no puede esperar" in text(client.get(f"{path}?lang=es"))
    assert checked(client.get(f"{path}night/")) == ["night_yes"]
    change = LogEntry.objects.get_for_object(entry).latest("pk")
    assert change.changes["texts_by_night"] == ["False", "True"]
    assert change.additional_data["actor"] == {"kind": "patient", "name": f"patient {entry.patient_id}"}
    # What counts when a wave goes out and when a text leaves.
    scene.clock.move_to(datetime(2026, 3, 4, 2, 0, tzinfo=UTC))
    scene.look(scene.opening(hours=8))
    assert Message.objects.get(channel="sms").due_at == timezone.now()
    post(f"{path}night/", night="no")
    entry.refresh_from_db()
    assert entry.texts_by_night is False


def test_the_page_says_in_which_hours_texts_leave_and_asks_nothing_where_they_leave_at_any(
    scene: Scene, entry: WaitlistEntry, path: str, client: Client
) -> None:
    policy = factories.policy(quiet_from=time(21), quiet_until=time(7, 30))
    assert "in these hours: 7:30 in the morning to 9:00 at night." in text(client.get(f"{path}night/"))
    assert "a estas horas: de 7:30 de la mañana a 9:00 de la noche." in text(client.get(f"{path}night/?lang=es"))
    factories.policy(location=scene.location, quiet_from=time(22), quiet_until=time(6))
    entries.change(entry, locations=[scene.location])
    assert "in these hours: 6:00 in the morning to 10:00 at night." in text(client.get(f"{path}night/"))
    entries.change(entry, locations=[])
    policy.quiet_until = policy.quiet_from
    policy.save()
    assert "Texts at night" not in text(client.get(path))
    assert post(f"{path}night/", night="yes").headers["Location"] == path
    entry.refresh_from_db()
    assert entry.texts_by_night is False


def test_what_was_chosen_stays_while_the_birth_year_is_put_right(scene: Scene) -> None:
    Location.objects.update(names_providers=True)
    entry = scene.waiting(1)[0]
    path = f"/r/{links.make_request_link(entry, timezone.now()).email}/"
    wrong = {"birth_year": "1899"}
    assert checked(post(f"{path}days/", weekday=["2", "4"], part="morning", **wrong)) == [
        *("weekday_2", "weekday_4", "part_morning")
    ]
    assert checked(post(f"{path}notice/", notice="240", **wrong)) == ["notice_3"]
    assert checked(post(f"{path}who/", who=[str(scene.provider.pk)], **wrong)) == [f"who_{scene.provider.pk}"]
    assert checked(post(f"{path}night/", night="yes", **wrong)) == ["night_yes"]
    entry.refresh_from_db()
    assert (windows(entry), entry.texts_by_night, list(entry.providers.all())) == ([], False, [])


def test_behind_an_offers_link_the_request_is_signed_as_the_offer_was(scene: Scene, client: Client) -> None:
    Location.objects.update(signature="EHC")
    path = f"{link_of(pages.question(scene))}request/"
    for step in ("", "days/", "contact/", "contact/phone/"):
        page = client.get(path + step)
        assert page.status_code == 200
        assert "Elm Street Clinic" not in page.content.decode().replace("Elm Street Clinic may text you", "")
        assert "EHC" in page.content.decode()
        assert "tel:+12125550101" in page.content.decode()


def test_by_a_link_of_its_own_a_request_for_one_place_is_signed_and_recorded_as_that_places(
    scene: Scene, entry: WaitlistEntry, path: str, client: Client
) -> None:
    Location.objects.update(signature="EHC")
    for places, signed, phone, at in (
        ([scene.location], "EHC", "tel:+12125550101", scene.location),
        ([scene.location, factories.location()], "Elm Street Clinic", "tel:+12125550100", None),
    ):
        entries.change(entry, locations=places)
        for step in ("", "days/", "leave/"):
            page = client.get(path + step).content.decode()
            assert f'<p class="practice"><bdi>{signed}</bdi></p>' in page
            assert phone in page
            assert AccessRecord.objects.filter(action="view").latest("pk").location_id == (at.pk if at else None)


def test_pausing_going_on_and_leaving(entry: WaitlistEntry, path: str, client: Client) -> None:
    for _ in range(2):  # a double click, or the back button
        assert post(f"{path}pause/").headers["Location"] == path
    assert heading(client.get(path)) == "Your place on our waitlist is paused"
    assert client.get(f"{path}pause/").headers["Location"] == path
    assert post(path).headers["Location"] == path
    assert heading(client.get(path)) == "Your place on our waitlist is paused", "only the button goes on"
    assert post(path, do="stay").headers["Location"] == path
    assert heading(client.get(path)) == "You are on our waitlist"
    pause, leave = client.get(f"{path}pause/"), client.get(f"{path}leave/")
    assert (heading(pause), heading(leave)) == ("Pause your place on our waitlist?", "Leave our waitlist?")
    assert ("You keep your place." in text(pause), "Yes, pause" in text(pause)) == (True, True)
    assert ("You give up your place" in text(leave), "Yes, leave the list" in text(leave)) == (True, True)
    assert client.get(f"{path}nonsense/").headers["Location"] == path
    post(f"{path}leave/")
    entry.refresh_from_db()
    assert (entry.status, heading(client.get(path))) == (STATUSES.LEFT, "You are off our waitlist")
    # Nothing can be changed any more, and nobody is put back by an old page.
    for step, fields in (("days/", {"weekday": ["1"], "part": "any"}), ("pause/", {}), ("", {"do": "stay"})):
        assert post(f"{path}{step}", **fields).status_code == 303
    entry.refresh_from_db()
    assert (entry.status, windows(entry)) == (STATUSES.LEFT, [])


def test_looking_changes_nothing(entry: WaitlistEntry, path: str, client: Client) -> None:
    before = pages.rows()
    for step in ("", "days/", "notice/", "night/", "pause/", "leave/"):
        for answer in (client.get(path + step), client.head(path + step)):
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert path.split("/")[2] not in answer.content.decode()
    assert pages.rows() == before


def test_what_the_patient_does_is_recorded_as_theirs(entry: WaitlistEntry, path: str, client: Client) -> None:
    client.get(path)
    seen = AccessRecord.objects.filter(action=AccessRecord.Action.VIEW).latest("pk")
    assert (seen.actor_name, seen.detail["page"]) == (f"patient {entry.patient_id}", "request")


def test_wrong_old_and_strange_links_are_answered_alike(entry: WaitlistEntry, path: str, client: Client) -> None:
    dead = client.get("/r/" + "a" * 22 + "/")
    assert (dead.status_code, heading(dead)) == (404, "This link does not work")
    RequestLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert client.get(path).content == dead.content
    assert post(f"{path}leave/").status_code == 404
    entry.refresh_from_db()
    assert entry.status == STATUSES.WAITING
    assert masked(f"GET {path}days/") == "GET /r/…/days/"


def test_from_an_e_mail_each_change_asks_the_birth_year(scene: Scene, client: Client) -> None:
    entry = scene.waiting(1)[0]
    born = entry.patient.birth_date
    path = f"/r/{links.make_request_link(entry, timezone.now()).email}/"
    assert heading(client.get(path)) == "You are on our waitlist"
    assert "Write the year with four digits" in text(post(f"{path}leave/"))
    assert "not the year of birth that we know" in text(post(f"{path}leave/", birth_year="1899"))
    entry.refresh_from_db()
    assert entry.status == STATUSES.WAITING
    for _ in range(6):  # the right year uses up no tries
        assert post(f"{path}notice/", notice="120", birth_year=str(born.year)).status_code == 303
    post(f"{path}leave/", birth_year=str(born.year))
    entry.refresh_from_db()
    assert entry.status == STATUSES.LEFT


def test_where_no_birth_year_can_be_asked_an_e_mails_link_leads_to_the_phone_and_a_texts_goes_on(
    scene: Scene, entry: WaitlistEntry, client: Client
) -> None:
    Patient.objects.update(birth_date=None)
    entries.pause(entry)
    tokens = links.make_request_link(entry, timezone.now())
    for token, may_answer in ((tokens.email, False), (tokens.text, True)):
        for step in ("", "days/", "notice/", "night/", "leave/"):
            page = client.get(f"/r/{token}/{step}")
            assert ("<form" in page.content.decode()) == may_answer, step
            if step:
                said = "We cannot take your answer on this page. Nothing is booked or changed."
                assert (said in text(page)) == (not may_answer)
        post(f"/r/{token}/", do="stay", birth_year="1980")
        entry.refresh_from_db()
        assert entry.status == (STATUSES.WAITING if may_answer else STATUSES.PAUSED)


def test_an_offers_link_leads_to_the_request_as_long_as_it_lives(scene: Scene, client: Client) -> None:
    offer = pages.question(scene)
    path = f"{link_of(offer)}request/"
    assert "request/?lang=en" in client.get(link_of(offer)).content.decode()
    assert heading(client.get(path)) == "You are on our waitlist"
    assert post(f"{path}pause/").headers["Location"] == path
    assert heading(client.get(path)) == "Your place on our waitlist is paused"
    Offer.objects.filter(pk=offer.pk).update(status=Offer.Status.PROPOSED)
    assert client.get(path).status_code == 404
    scene.pass_time(hours=100)
    assert client.get(path).status_code == 404


def test_an_appointment_that_was_canceled_is_not_said_to_be_had(scene: Scene, client: Client) -> None:
    """Neither by the practice, nor by a patient who wanted no other one."""
    theirs = scene.yes(scene.offered(1, hours=30)[0]).claim
    assert theirs is not None
    scene.answer(theirs)  # another patient's, which stands
    offer = pages.booked(scene)
    path = f"{link_of(offer)}request/"
    assert heading(client.get(path)) == "You have an appointment now"
    client.post(f"{link_of(offer)}cancel/", {"then": "nothing"})
    assert heading(client.get(path)) == "You have an appointment now"  # as long as it stands
    Appointment.objects.filter(claim__offer=offer).update(status="cancelled")
    gone = client.get(path)
    assert heading(gone) == "You are off our waitlist"
    assert text(gone).endswith("We offer you no more times. To come back to the list, please call us.")
    assert heading(client.get(path, {"lang": "es"})) == "Usted ya no está en nuestra lista de espera"


def test_who_gave_an_appointment_up_for_another_time_is_on_the_list_once_it_is_canceled(
    scene: Scene, client: Client
) -> None:
    offer = pages.booked(scene)
    client.post(f"{link_of(offer)}cancel/", {"then": "another"})
    Appointment.objects.filter(claim__offer=offer).update(status="cancelled")
    assert heading(client.get(f"{link_of(offer)}request/")) == "You are on our waitlist"


def test_who_was_booked_by_other_ways_has_an_appointment_whatever_became_of_an_earlier_yes(
    scene: Scene, client: Client
) -> None:
    offer = pages.released(scene)
    path = f"/r/{links.make_request_link(offer.entry, timezone.now()).text}/"
    assert heading(client.get(path)) == "You are on our waitlist"
    WaitlistEntry.objects.update(status=STATUSES.BOOKED)
    assert heading(client.get(path)) == "You have an appointment now"


def test_never_on_this_weekday_says_no_and_leaves_the_day_out(scene: Scene, client: Client) -> None:
    offer = pages.question(scene)
    day = offer.start.astimezone(scene.location.zone)
    assert f"Never on a {day:%A}" in client.get(link_of(offer)).content.decode()
    assert post(link_of(offer), answer="not_this_day").status_code == 303
    offer.refresh_from_db()
    assert offer.status == Offer.Status.NO
    assert {row.weekday for row in offer.entry.windows.all()} == own_request.WEEK - {day.weekday()}
    assert f"We offer you no more times on a {day:%A}." in text(client.get(link_of(offer)))


def test_a_plain_no_says_nothing_of_the_weekday(scene: Scene, client: Client) -> None:
    offer = pages.question(scene)
    post(link_of(offer), answer="no")
    assert "no more times on a" not in text(client.get(link_of(offer)))
    assert windows(offer.entry) == []


def test_the_only_day_left_is_not_left_out(entry: WaitlistEntry) -> None:
    entries.change(entry, windows=[EntryWindow(weekday=2, start=time(9), end=time(12))])
    assert own_request.leave_out(entry, 2) is False
    assert windows(entry) == [(2, time(9), time(12))]


def test_the_only_day_left_has_no_button_that_would_leave_it_out(scene: Scene, client: Client) -> None:
    offer = pages.question(scene)
    day = offer.start.astimezone(scene.location.zone).weekday()
    entries.change(offer.entry, windows=[EntryWindow(weekday=day, start=time(0), end=time(23, 59))])
    page = client.get(link_of(offer)).content.decode()
    assert 'value="not_this_day"' not in page
    assert 'value="no"' in page


def test_whoever_is_asked_whether_they_still_wait_gets_a_link_to_answer(scene: Scene, client: Client) -> None:
    factories.policy(silences_before_asking=1)
    offer = scene.offered(1, hours=10)[0]
    scene.pass_time(hours=20)
    from waitlist import offers

    offers.expire()
    asked = Message.objects.filter(kind=Message.Kind.STILL_WANTED)
    assert {each.channel for each in asked} == {"sms", "email"}
    for each in asked:
        found = re.search(r"(/r/[A-Za-z0-9_-]+/)", each.body)
        assert found
        page = client.get(found[1])
        assert heading(page) == "Do you still want to be on our waitlist?"
        assert ("What year was the patient born?" in text(page)) == (each.channel == "email")
    text_path = re.search(r"(/r/[A-Za-z0-9_-]+/)", asked.get(channel="sms").body)
    assert text_path
    post(text_path[1], do="stay")
    offer.entry.refresh_from_db()
    assert offer.entry.status == STATUSES.WAITING
