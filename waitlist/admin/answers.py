"""The page on which a person answers what a patient wrote: words, a look at them as they arrive, then one press."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from scheduling.admin import viewing
from scheduling.models import Patient
from waitlist import senders, staff_answers, wording
from waitlist.models import Channel, Message, Reply
from waitlist.proofreading import LONGEST_ANSWER, cut

if TYPE_CHECKING:
    from scheduling.admin.base import ReadOnlyAdmin

RIGHT = "waitlist.change_reply"
LANGUAGES = {"en": "English", "es": "Spanish"}
ANSWERED_MEANWHILE = (
    "Nothing was sent: somebody else answered meanwhile. Read their answer above; yours still stands below."
)


def shown_on_reply(request: HttpRequest, reply: Reply) -> dict[str, Any]:
    """Return what a page needs to offer an answer to ``reply``: the form, or why there is none."""
    if not request.user.has_perm(RIGHT):
        return {}
    return {
        "answer_to": reply,
        "answer_refusal": staff_answers.why_not(reply),
        "answer_longest": LONGEST_ANSWER,
        "answer_language": LANGUAGES[wording.language_of(senders.sender_of(reply).subject.language)],
        "answer_way": "e-mail" if reply.channel == Channel.EMAIL else "text",
    }


def page(owner: ReadOnlyAdmin, request: HttpRequest, reply: Reply) -> HttpResponse:
    """Show the words as they would arrive (``do=look``), or send what was shown (``do=send``)."""
    if request.method not in ("GET", "HEAD", "POST"):
        return HttpResponseNotAllowed(["GET", "POST"])
    if not request.user.has_perm(RIGHT):
        raise PermissionDenied
    words = "\n".join(request.POST.get("words", "").strip().splitlines())
    refusal = staff_answers.why_not(reply)
    draft = staff_answers.draft(reply, words)
    if request.method == "POST" and request.POST.get("do") == "send" and not refusal and not draft.is_blocked:
        message = staff_answers.send(reply, words, by=request.user.get_username(), number=_number(request))
        if message is not None:
            messages.success(request, _said(message))
            return HttpResponseRedirect(reverse("admin:waitlist_reply_change", args=[reply.pk]))
        messages.error(request, ANSWERED_MEANWHILE)
    people: list[Patient] = senders.sender_of(reply).patients
    viewing.record_view([reply.patient], reason="answer")
    context = {
        **owner.admin_site.each_context(request),
        **shown_on_reply(request, reply),
        "title": "Answer",
        "subtitle": None,
        "reply": reply,
        "is_shared": len(people) > 1,
        "is_unknown": not people,
        "words": words,
        "draft": draft,
        "parts": cut(draft.message.body) if reply.channel == Channel.SMS else [draft.message.body],
        "answers": Message.objects.for_user(request.user).filter(
            kind=Message.Kind.STAFF, dedupe_key__startswith=f"staff:{reply.pk}:"
        ),
    }
    return TemplateResponse(request, "admin/waitlist/reply/answer.html", context)


def _number(request: HttpRequest) -> int:
    given = request.POST.get("number", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 5 else 0


def _said(message: Message) -> str:
    if message.status == Message.Status.WAITING:
        return "Your answer is on its way. If it does not arrive, you are asked to call."
    return "Your answer was sent already."
