"""What a person can do about an opening. Each step says beforehand what happens and who is told what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from config.desk import booking
from config.desk.rights import require
from scheduling import guards, openings, shadow
from scheduling.admin import viewing
from scheduling.admin.scope import fetch_or_404
from scheduling.counting import counted
from scheduling.models import Opening, Practice
from scheduling.standing import nothing_changed
from waitlist.models import Claim, Offer

User = AbstractBaseUser | AnonymousUser

IN_SHADOW = (
    "Nothing was done: this EHR is in shadow, so nobody is offered a time and nothing is booked from here. Book it in "
    "the EHR itself, or end the shadow run on Connect."
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A step as the person asked for it: who, on which opening, with which form values."""

    opening: Opening
    user: Any
    values: dict[str, str]


@dataclass(frozen=True, slots=True)
class Step:
    """A button of the page.

    ``told`` lists before the click what will happen; ``run`` does it and returns what was done, or raises
    :class:`NotPossible`. Steps that patients notice are ``asked_twice``. ``needs`` names the form values it takes.
    What ``reaches_out`` to patients or into the EHR cannot be done in shadow.
    """

    slug: str
    label: str
    available: Callable[[Opening, User], bool]
    told: Callable[[Asked], list[str]]
    run: Callable[[Asked], str]
    asked_twice: bool = False
    needs: tuple[str, ...] = ()
    look: str = "plain"
    reaches_out: bool = False


class NotPossible(Exception):
    """The step cannot be done any more; the text says why and what is true now."""


def steps_for(opening: Opening, user: User) -> list[Step]:
    """Return the buttons that make sense for ``opening`` now, in the order they are shown."""
    if not user.has_perm("scheduling.change_opening"):  # type: ignore[union-attr]
        return []
    in_shadow = shadow.is_on(opening.source_id)
    return [
        step
        for step in STEPS
        if not step.needs and step.available(opening, user) and not (in_shadow and step.reaches_out)
    ]


@require_http_methods(["GET", "HEAD", "POST"])
def step_view(request: HttpRequest, pk: int, step: str) -> HttpResponse:
    """GET says what the step will do; POST does it."""
    rows = Opening.objects.select_related("provider", "location", "source")
    opening: Opening = fetch_or_404(rows, request.user, pk)
    require(request, "scheduling.change_opening")
    chosen = next((each for each in STEPS if each.slug == step), None)
    if chosen is None:
        raise Http404
    values = request.POST if request.method == "POST" else request.GET
    asked = Asked(opening, request.user, {name: values.get(name, "") for name in chosen.needs})
    back = HttpResponseRedirect(reverse("admin:desk_opening", args=[opening.pk]))
    try:
        if not chosen.available(opening, request.user):
            raise NotPossible(nothing_changed(opening))
        if chosen.reaches_out and shadow.is_on(opening.source_id):
            raise NotPossible(IN_SHADOW)
        if request.method == "POST":
            messages.success(request, chosen.run(asked))
            return back
        return _preview(request, chosen, asked)
    except (NotPossible, booking.NotBookable) as refusal:
        messages.error(request, str(refusal))
        return back


def _preview(request: HttpRequest, step: Step, asked: Asked) -> HttpResponse:
    told = step.told(asked)
    patients = booking.patients_named(asked.opening, asked.user, asked.values)
    viewing.record_view(patients)
    context = {
        **admin.site.each_context(request),
        "title": step.label,
        "subtitle": None,
        "opening": asked.opening,
        "zone": asked.opening.location.zone,
        "step": step,
        "told": told,
        "named": ", ".join(patient.full_name for patient in patients),
        "values": asked.values,
        "choices": booking.choices(asked.opening, asked.user, asked.values) if step.slug == "confirm" else [],
    }
    return TemplateResponse(request, "admin/desk/opening_step.html", context)


def _refuse_unless(done: object, opening: Opening) -> None:
    if not done:
        raise NotPossible(nothing_changed(opening))


def _holders(opening: Opening) -> int:
    return Offer.objects.filter(opening=opening, status=Offer.Status.SENT).count()


def _about_holders(opening: Opening) -> str:
    number = _holders(opening)
    if not number:
        return "No patient holds an offer, so nobody is told anything."
    who = "1 patient holds an offer and is" if number == 1 else f"{number} patients hold offers and are"
    return f"{who} told that this time is no longer free; a late YES gets the same answer."


# --- the steps -------------------------------------------------------------------------------------------------------


def _hold(asked: Asked) -> str:
    _refuse_unless(openings.hold(asked.opening, Opening.Held.PROVIDER_DAY), asked.opening)
    return "Held: nobody is offered this time, and nobody can claim it, until you go on."


def _go_on(asked: Asked) -> str:
    _refuse_unless(guards.go_on(asked.opening, asked.user.get_username()), asked.opening)
    return "Going on: the EHR is asked whether the time is still free, then the waitlist is offered it."


def _mine(asked: Asked) -> str:
    if not openings.make_mine(asked.opening, asked.user.get_username()):
        asked.opening.refresh_from_db()
        if not _is_claimable(asked.opening, asked.user):
            raise NotPossible(nothing_changed(asked.opening))
        raise NotPossible(f"Nothing changed: {asked.opening.mine_by or 'somebody else'} is filling this time by hand.")
    return f"Yours for {_mine_for()}: no more offers go out meanwhile. Press the button again to renew."


def _mine_for() -> str:
    minutes = Practice.current().mine_minutes
    return counted(minutes, "minute")


def _give_back(asked: Asked) -> str:
    if not openings.give_back(asked.opening, asked.user.get_username()):
        raise NotPossible("Nothing changed: it is not yours any more.")
    if asked.opening.held:
        return "Given back. Nobody is offered it while it is held."
    return "Given back: offers go out again after a fresh look."


def _close(asked: Asked) -> str:
    _refuse_unless(openings.close(asked.opening, Opening.Closed.STAFF), asked.opening)
    return "Closed. As long as the time has not come you can open it again here."


def _reopen(asked: Asked) -> str:
    with transaction.atomic():
        if not openings.reopen(asked.opening):
            raise NotPossible(
                "Nothing changed: it was opened again already, its time is in another opening by now, or it is blocked."
            )
        # Closed while it was held: to open it again is to say that it may be offered.
        if asked.opening.held and not guards.go_on(asked.opening, asked.user.get_username()):
            return "Open again, but held: nobody is offered it until that is answered."
    return "Open again: the EHR is asked whether the time is still free, then the waitlist is offered it."


def _is_claimable(opening: Opening, user: User) -> bool:
    return opening.status in Opening.CLAIMABLE and opening.start > timezone.now()


def _is_mine(opening: Opening, user: User) -> bool:
    until = opening.mine_until
    is_theirs = until is not None and until > timezone.now() and opening.mine_by == user.get_username()
    return is_theirs and _is_claimable(opening, user)


def _has_proposed(opening: Opening, user: User) -> bool:
    return (
        _is_claimable(opening, user)
        and opening.held == Opening.Held.ASK_FIRST
        and Offer.objects.filter(opening=opening, status=Offer.Status.PROPOSED).exists()
    )


STEPS: tuple[Step, ...] = (
    Step(
        "send",
        "Send the proposed offers",
        _has_proposed,
        lambda asked: booking.told_before_sending(asked.opening),
        lambda asked: booking.send_proposed(asked.opening, asked.user),
        asked_twice=True,
        look="main",
        reaches_out=True,
    ),
    Step(
        "mine",
        "Mine: I fill this by hand",
        _is_claimable,
        lambda asked: [f"No more offers go out for {_mine_for()}. Patients who hold one can still say yes."],
        _mine,
    ),
    Step(
        "give-back",
        "Give it back to the waitlist",
        _is_mine,
        lambda asked: ["Offers go out again after a fresh look at the EHR."],
        _give_back,
    ),
    Step(
        "hold",
        "Hold: the provider may be out",
        lambda opening, user: _is_claimable(opening, user) and not opening.held,
        lambda asked: ["No more offers go out and nobody can claim this time until you go on. Nobody is told."],
        _hold,
    ),
    Step(
        "go-on",
        "Go on: the time may be offered",
        lambda opening, user: (
            _is_claimable(opening, user) and bool(opening.held) and opening.held != Opening.Held.ASK_FIRST
        ),
        lambda asked: ["The EHR is asked whether the time is still free; then the waitlist is offered it."],
        _go_on,
        look="main",
    ),
    Step(
        "confirm",
        "Book this time for a patient",
        lambda opening, user: True,
        lambda asked: booking.told_before_booking(asked.opening, asked.user, asked.values),
        lambda asked: booking.book(asked.opening, asked.user, asked.values),
        asked_twice=True,
        needs=("patient", "entry", "choice"),
        reaches_out=True,
    ),
    Step(
        "decline",
        "The patient said no",
        _is_claimable,
        lambda asked: booking.told_before_declining(asked.opening, asked.values),
        lambda asked: booking.decline(asked.opening, asked.values),
        asked_twice=True,
        needs=("offer",),
    ),
    Step(
        "release",
        "Release: this patient is not to have it",
        lambda opening, user: Claim.objects.filter(opening=opening, state=Claim.State.PENDING).exists(),
        lambda asked: booking.told_before_releasing(asked.opening),
        lambda asked: booking.release(asked.opening),
        asked_twice=True,
        look="danger",
    ),
    Step(
        "close",
        "Close: do not offer this time",
        lambda opening, user: opening.status in Opening.CLAIMABLE,
        lambda asked: ["The opening closes and no more offers go out.", _about_holders(asked.opening)],
        _close,
        asked_twice=True,
        look="danger",
    ),
    Step(
        "reopen",
        "Open again",
        lambda opening, user: opening.status == Opening.Status.CLOSED and opening.start > timezone.now(),
        lambda asked: ["The EHR is asked whether the time is still free; then the waitlist is offered it."],
        _reopen,
        look="main",
    ),
)
