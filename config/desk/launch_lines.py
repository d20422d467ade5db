"""The lines of “Before you go live”: each thing to be seen to as a state, a sentence, and where to do something."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from django.conf import settings
from django.db.models import Count
from django.urls import reverse
from django.utils import timezone

from config.desk.lines import connection_line
from config.desk.words_shown import cells
from integrations.models import Connection
from scheduling.counting import counted
from scheduling.models import Bookable, Practice
from waitlist import launch
from waitlist.launch import Answer, Topic
from waitlist.policies import policy_for
from waitlist.reach import Reach, Way
from waitlist.wording import LANGUAGES

#: Below this share of patients who can be texted, openings fill slowly.
FEW_PERCENT = 50


@dataclass(frozen=True, slots=True)
class Share:
    """How many of those who wait; ``group`` is the list of them."""

    group: str
    label: str
    number: int
    of: int

    @property
    def percent(self) -> int:
        return round(100 * self.number / self.of) if self.of else 0


@dataclass(frozen=True, slots=True)
class LaunchLine:
    """One thing. ``tone`` and ``word`` are its state, ``says`` what is so, ``do`` what to do about it, on the page
    ``view`` for those who have ``permission``."""

    title: str
    tone: str
    word: str
    says: str
    do: str = ""
    view: str = ""
    permission: str = ""

    @property
    def address(self) -> str:
        """Where one does it, "" where there is no page for it."""
        return reverse(f"admin:{self.view}") if self.view else ""


def shares_of(found: dict[int, Reach]) -> list[Share]:
    """Return how many can be reached by which way."""
    counts = Counter(each.way for each in found.values())
    return [Share(way.value, str(way.label), counts[way], len(found)) for way in Way]


def launch_lines(shares: list[Share] | None, languages: Counter[str]) -> list[LaunchLine]:
    """Return every line. ``shares``: None for whoever may not see the list; ``languages`` counts its patients' tags."""
    practice = Practice.objects.filter(pk=1).first() or Practice()
    lines = [_installation(), _ehr()]
    if shares is not None:
        lines += [_list(shares), _languages(languages)]
    lines += [_words(), _sender(), _calls(), _phone(practice), _email(), _numbers(), _clinicians()]
    if practice.paused_at:
        lines.insert(0, LaunchLine("Pause", "pause", "paused", "Nothing is offered, sent or booked.", "Press Go on."))
    return lines


def _installation() -> LaunchLine:
    if settings.INSTALLATION == "live":
        return LaunchLine("Installation", "ok", "live", "Messages reach patients.")
    allowed = len(settings.TEST_RECIPIENTS)
    who = (
        f"{counted(allowed, 'address', 'addresses')} of staff on its list"
        if allowed
        else "nobody: its list of staff is empty"
    )
    return LaunchLine(
        "Installation",
        "pause",
        "test",
        f"Messages that leave the building reach {who}.",
        "When the lines below are green, IT sets INSTALLATION=live and starts it anew.",
    )


def _ehr() -> LaunchLine:
    """The worst that is so of the EHRs at work; of one that is paused only where there is no other."""
    now, where = timezone.now(), ("See Sync status.", "desk_status")
    loaded = Connection.objects.filter(loaded_at__isnull=False).select_related("source").order_by("slug")
    at_work = [row for row in loaded if row.state != Connection.State.PAUSED] or list(loaded)
    if not at_work:
        return LaunchLine("EHR", "danger", "missing", "No EHR is connected and loaded.", *where)
    lines = [connection_line(row, now) for row in at_work]
    worst = next((line for tone in ("danger", "pause", "wait") for line in lines if line.tone == tone), None)
    if worst is not None:
        return LaunchLine("EHR", worst.tone, worst.word, f"{worst.name}: {worst.note}", *where)
    names = [row.source.name for row in at_work if row.source.in_shadow]
    if names:
        says = f"{', '.join(names)}: everything is computed, nothing is sent or written."
        return LaunchLine("EHR", "pause", "in shadow", says, "End the run on Connect: see Sync status.", "desk_status")
    return LaunchLine("EHR", "ok", "connected", f"{counted(len(lines), 'connection')} at work.")


def _list(shares: list[Share]) -> LaunchLine:
    texted, total = next(share for share in shares if share.group == Way.TEXT), shares[0].of
    says = f"{texted.number} of {total} who wait can be texted, {texted.percent} %."
    if not total:
        return LaunchLine(
            "The list", "wait", "empty", "Nobody waits.", "Put patients on it.", *_of("waitlist", "waitlistentry")
        )
    if texted.percent >= FEW_PERCENT:
        return LaunchLine("The list", "ok", "reachable", says)
    tone, word = ("wait", "few") if texted.number else ("danger", "nobody")
    return LaunchLine("The list", tone, word, says, "Ask for consent when they call or come.")


def _languages(languages: Counter[str]) -> LaunchLine:
    missing = {tag: number for tag, number in languages.items() if tag and tag not in LANGUAGES}
    if not missing:
        return LaunchLine("Languages", "ok", "complete", "Everybody who waits is written to in their language.")
    named = ", ".join(f"{tag} ({number})" for tag, number in sorted(missing.items()))
    return LaunchLine(
        "Languages",
        "wait",
        "missing",
        f"Of those who wait, {sum(missing.values())} speak a language without words of ours and are written to in "
        f"English: {named}.",
        "Call them instead, or have the words added.",
    )


def _words() -> LaunchLine:
    unsure = sum(cell.word == "needs a look" for _, row in cells() for cell in row)
    where = ("desk_words", "waitlist.view_messagetemplate")
    if not unsure:
        return LaunchLine("Words", "ok", "checked", "Every message passes its check.", "Read them once.", *where)
    return LaunchLine("Words", "wait", "look", f"{counted(unsure, 'message')} to look at.", "Open the words.", *where)


def _sender() -> LaunchLine:
    if settings.SMS_CHANNEL == "console":
        return LaunchLine(
            "Sender", "pause", "none", "Texts are kept on a page of this site.", "IT enters the carrier's account."
        )
    said = launch.newest(Topic.SENDER, settings.SMS_FROM)
    if said and launch.holds(said):
        what = f"{settings.SMS_FROM}: {said.get_answer_display()} {said.reference} of {said.done_on:%b} "
        return LaunchLine(
            "Sender", "ok", "registered", f"{what}{said.done_on.day}, {said.done_on.year}, stated by {said.stated_by}."
        )
    return LaunchLine(
        "Sender",
        "danger",
        "not registered",
        f"Nobody has stated that {settings.SMS_FROM} is registered. Carriers block texts from numbers that are not.",
        "Register a 10DLC campaign, or have the toll-free number verified, then state it below.",
    )


def _calls() -> LaunchLine:
    if settings.SMS_CHANNEL == "console":
        return LaunchLine("Calls to the sender", "pause", "none", "No number sends texts yet.")
    said = launch.newest(Topic.CALLS, settings.SMS_FROM)
    if said and said.answer == Answer.REACHED:
        day = f"{said.done_on:%b} {said.done_on.day}, {said.done_on.year}"
        return LaunchLine("Calls to the sender", "ok", "tested", f"They reach you: tested {day} by {said.stated_by}.")
    return LaunchLine(
        "Calls to the sender",
        "danger",
        "not tested",
        f"Patients call the number that texts them. Nobody has stated that a call to {settings.SMS_FROM} reaches you.",
        "Have it forwarded, call it from a phone outside, then state it below.",
    )


def _phone(practice: Practice) -> LaunchLine:
    if practice.phone:
        return LaunchLine("Your phone", "ok", "entered", f"Messages name {practice.phone}.")
    where = _of("scheduling", "practice")
    return LaunchLine("Your phone", "danger", "missing", "Messages name no number to call.", "Enter it.", *where)


def _email() -> LaunchLine:
    if settings.EMAIL_CHANNEL == "email":
        return LaunchLine("E-mail", "ok", "set up", f"It comes from {settings.DEFAULT_FROM_EMAIL}.")
    return LaunchLine("E-mail", "pause", "none", "E-mails are kept on a page of this site.", "IT enters a mail server.")


def _numbers() -> LaunchLine:
    policy = policy_for(None, None)
    waves = "; ".join(
        f"{rule.size} every {rule.gap_minutes:g} min"
        + (f" under {rule.lead_hours:g} h" if rule.lead_hours is not None else " with more time")
        for rule in policy.waves
    )
    at_any_hour = policy.quiet_from == policy.quiet_until
    hours = (
        "at any hour, by night too"
        if at_any_hour
        else f"between {policy.quiet_until:%H:%M} and {policy.quiet_from:%H:%M}"
    )
    says = (
        f"Texts leave {hours}, at most "
        f"{counted(policy.offers_per_day, 'offer')} a day and {policy.offers_per_week} a week to a patient. Waves by "
        f"the time left: {waves}."
    )
    where = _of("waitlist", "outreachpolicy")
    if at_any_hour:
        return LaunchLine("Hours and waves", "wait", "no quiet hours", says, "Set quiet hours.", *where)
    return LaunchLine("Hours and waves", "ok", "set", says, "Look at the numbers.", *where)


def _clinicians() -> LaunchLine:
    rows = Bookable.objects.filter(provider__active=True).values("mode").annotate(number=Count("pk")).order_by()
    counts = {row["mode"]: row["number"] for row in rows}
    where = _of("scheduling", "bookable")
    on = sum(number for mode, number in counts.items() if mode != Bookable.Mode.OFF)
    says = ", ".join(f"{number} {Bookable.Mode(mode).label}" for mode, number in sorted(counts.items()))
    if on:
        return LaunchLine("Clinicians", "ok", "chosen", f"Kinds of visit: {says}.", "Look through them.", *where)
    says = "No kind of visit is offered for any clinician."
    return LaunchLine("Clinicians", "danger", "none", says, "Start with one clinician, ask first.", *where)


def _of(app: str, model: str) -> tuple[str, str]:
    """Return a list's page and the right to see it."""
    return f"{app}_{model}_changelist", f"{app}.view_{model}"
