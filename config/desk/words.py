"""The words of messages: what is said by whom in which language, changed with a look at a phone, tried on oneself."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from config.desk.rights import require
from config.desk.words_shown import House, Key, cells, example, preview
from integrations.messaging import recipients
from integrations.messaging.gateway import carrier_for
from integrations.models import AlertContact
from waitlist import house_words, trial_sends, wording
from waitlist.events import BY_KEY
from waitlist.models import MessageTemplate
from waitlist.placeholders import PLACEHOLDERS
from waitlist.proofreading import LONGEST, LONGEST_SUBJECT
from waitlist.wording import EMAIL, LANGUAGES, Words

VIEW, CHANGE = "waitlist.view_messagetemplate", "waitlist.change_messagetemplate"
MOVED_ON = (
    "Nothing was saved: somebody else changed these words meanwhile. Yours still stand below; theirs are under "
    "“Earlier versions”."
)


class WordsForm(forms.Form):
    """The words, and the version that stood there when the page was opened."""

    subject = forms.CharField(max_length=LONGEST_SUBJECT, required=False, widget=forms.TextInput(attrs={"size": 60}))
    text = forms.CharField(
        required=False, strip=False, label="Words", widget=forms.Textarea(attrs={"maxlength": LONGEST})
    )
    instead_of = forms.IntegerField(min_value=0, widget=forms.HiddenInput)

    def __init__(self, *args: Any, key: Key, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not key.has_subject:
            del self.fields["subject"]
        self.fields["text"].widget.attrs |= {"lang": key.language, "rows": 18 if key.channel == EMAIL else 7}

    def words(self) -> Words:
        """Return what was written, with one kind of line end."""
        return _words(self.cleaned_data)


def _words(data: Any) -> Words:
    subject, text = data.get("subject") or "", data.get("text") or ""
    return Words(" ".join(subject.split()), "\n".join(text.strip().splitlines()))


@require_safe
def list_view(request: HttpRequest) -> HttpResponse:
    """Show every message with the state of its words."""
    require(request, VIEW)
    context = {
        **admin.site.each_context(request),
        "title": "Words of messages",
        "subtitle": None,
        "events": cells(),
    }
    return TemplateResponse(request, "admin/desk/words.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def edit_view(request: HttpRequest, language: str, event: str, channel: str) -> HttpResponse:
    """Show some words with their preview; on POST look at them again, or use them from now on."""
    key = _key(language, event, channel)
    require(request, CHANGE if request.method == "POST" else VIEW)
    active = house_words.active_version(*key.parts)
    if request.method != "POST":
        return _page(request, key, active, _opened(request, key, active))
    form = WordsForm(request.POST, key=key)
    if form.is_valid() and request.POST.get("do") == "save":
        if not preview(key, form.words(), House.read(), house_words.in_use()).is_blocked:
            if _save(request, key, form.words(), form.cleaned_data["instead_of"]):
                return HttpResponseRedirect(_address(key))
            messages.error(request, MOVED_ON)
        else:
            form.add_error("text", "Nothing was saved. Mend what the check says must be mended.")
    return _page(request, key, active, form)


def _opened(request: HttpRequest, key: Key, active: MessageTemplate | None) -> WordsForm:
    """Return the form with the words in use, or with those of the earlier version that was asked for."""
    wanted = request.GET.get("version", "")
    row = active
    if wanted.isascii() and wanted.isdigit() and len(wanted) < 9:
        row = house_words.versions(*key.parts).filter(edition=int(wanted)).first() or active
    words = Words(row.subject, row.text) if row else wording.shipped(*key.parts)
    edition = active.edition if active else 0
    return WordsForm(initial={"subject": words.subject, "text": words.text, "instead_of": edition}, key=key)


def _save(request: HttpRequest, key: Key, words: Words, instead_of: int) -> bool:
    by = request.user.get_username()
    if words == wording.shipped(*key.parts):
        if instead_of and not house_words.back_to_shipped(*key.parts, instead_of=instead_of):
            return False
        messages.info(request, "These are the words we came with; they are used as they are.")
        return True
    row = house_words.save(*key.parts, words, by=by, instead_of=instead_of)
    if row is None:
        return False
    messages.success(request, f"Version {row.edition} is used from now on. What waits to be sent keeps its words.")
    return True


def _page(request: HttpRequest, key: Key, active: MessageTemplate | None, form: WordsForm) -> HttpResponse:
    house = House.read()
    data = form.data if form.is_bound else form.initial
    shipped = wording.shipped(*key.parts)
    context = {
        **admin.site.each_context(request),
        "title": f"{key.event.title}: {key.name}",
        "subtitle": None,
        "key": key,
        "form": form,
        "active": active,
        "shipped": shipped,
        "versions": house_words.versions(*key.parts)[:50],
        "siblings": _siblings(key),
        "placeholders": [(name, PLACEHOLDERS[name]) for name in key.event.may_name(key.channel)],
        "must": key.event.must_name(key.channel),
        "own_addresses": own_addresses(request, key.channel) if key.event.is_sent and key.event.key in _SENT else None,
        "may_change": request.user.has_perm(CHANGE),
        **_shown(key, _words(data), house),
    }
    return TemplateResponse(request, "admin/desk/words_edit.html", context)


def _siblings(key: Key) -> list[tuple[str, str, bool]]:
    """Return label and address of the same message in each language and channel, and which of them this is."""
    found = []
    for channel in key.event.channels:
        for language in LANGUAGES:
            each = Key(language, key.event, channel)
            found.append((each.name, _address(each), each == key))
    return found


@require_POST
def preview_view(request: HttpRequest, language: str, event: str, channel: str) -> HttpResponse:
    """Return the part of the page that shows what is being written; nothing is stored."""
    key = _key(language, event, channel)
    require(request, VIEW)
    return TemplateResponse(
        request, "admin/desk/words_preview.html", {"key": key, **_shown(key, _words(request.POST), House.read())}
    )


def _shown(key: Key, words: Words, house: House) -> dict[str, Any]:
    return {"preview": preview(key, words, house, house_words.in_use()), "house": house}


@require_POST
def back_view(request: HttpRequest, language: str, event: str, channel: str) -> HttpResponse:
    """Use the words we came with again."""
    key = _key(language, event, channel)
    require(request, CHANGE)
    active = house_words.active_version(*key.parts)
    if active is None:
        messages.info(request, "Nothing changed: the words we came with are in use already.")
    elif house_words.back_to_shipped(*key.parts, instead_of=active.edition):
        messages.success(request, "The words we came with are used from now on. Yours are kept below.")
    else:
        messages.error(request, MOVED_ON)
    return HttpResponseRedirect(_address(key))


#: Messages that can be tried: the closing lines are part of every e-mail.
_SENT = frozenset(event.key for event in BY_KEY.values() if event.is_sent and event.key != wording.SIGNATURE)


@require_POST
def test_view(request: HttpRequest, language: str, event: str, channel: str) -> HttpResponse:
    """Send the words in use, with example values, to the person who asks and to nobody else."""
    key = _key(language, event, channel)
    require(request, CHANGE)
    address = request.POST.get("address", "")
    if key.event.key not in _SENT or address not in own_addresses(request, channel):
        messages.error(request, "Nothing was sent: a test goes to your own address only.")
        return HttpResponseRedirect(_address(key))
    words = house_words.current(*key.parts)
    said = example(key, words, House.read())
    row = trial_sends.send(key.event, channel, language, said, address, by=request.user.get_username())
    link = reverse("admin:waitlist_message_change", args=[row.pk])
    messages.success(request, format_html('A test is on its way to you. <a href="{}">See how it fares</a>.', link))
    if carrier_for(channel).leaves_the_building and not recipients.may_be_reached(address):
        messages.warning(
            request, "This is a test installation, and your address is not on its list: IT adds it to TEST_RECIPIENTS."
        )
    return HttpResponseRedirect(_address(key))


def own_addresses(request: HttpRequest, channel: str) -> list[str]:
    """Return where the signed-in person can be reached: their account's e-mail, or the phone of theirs that is kept
    among the alert contacts under the same e-mail address."""
    email = getattr(request.user, "email", "")
    if not email:
        return []
    if channel == EMAIL:
        return [email]
    rows = AlertContact.objects.filter(email__iexact=email).exclude(phone="")
    return list(rows.order_by("pk").values_list("phone", flat=True))


def _key(language: str, event: str, channel: str) -> Key:
    found = BY_KEY.get(event)
    if found is None or language not in LANGUAGES or channel not in found.channels:
        raise Http404
    return Key(language, found, channel)


def _address(key: Key) -> str:
    return reverse("admin:desk_words_edit", args=key.parts)


_ONE = "words/<slug:language>/<str:event>/<slug:channel>/"
VIEWS = (
    ("words/", list_view, "desk_words"),
    (_ONE, edit_view, "desk_words_edit"),
    (f"{_ONE}preview/", preview_view, "desk_words_preview"),
    (f"{_ONE}back/", back_view, "desk_words_back"),
    (f"{_ONE}test/", test_view, "desk_words_test"),
)
