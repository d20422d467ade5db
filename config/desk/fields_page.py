"""The fields of patients: where each comes from, whose word counts, how it fares; and the page that changes one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from config.desk.rights import require
from integrations import field_preview, mapping_changes, mapping_state
from integrations.field_health import is_failing
from integrations.field_mapping import PathKind
from integrations.fields import FIELDS, Field, Transform
from integrations.mapping_changes import Impossible
from integrations.models import Connection, FieldHealth
from scheduling.admin import viewing
from scheduling.models import ExternalId, Patient

VIEW, CHANGE, SEES_PATIENTS = (
    "integrations.view_fieldmapping",
    "integrations.change_fieldmapping",
    "scheduling.view_patient",
)
OWNERS = [("ehr", "the EHR"), ("practice", "the practice")]
#: What is the practice's own from the first, and what is always the EHR's: shown for completeness, not mapped.
OTHERS = (
    ("Restricted, seen here before", "the practice", "They are entered on the patient’s page."),
    ("Consent, waitlist entries, wishes", "the practice", "The EHR does not know of them."),
    ("Active, deceased, replaced by", "the EHR", "A record that must not be used must not be used here either."),
    ("Numbers, such as the MRN", "the EHR", "By them we know that it is the same person."),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One field as the list shows it; ``health`` is None before the first patient was read."""

    field: Field
    owner: str
    path: str
    transform: str
    is_own: bool
    health: FieldHealth | None
    since: datetime | None
    state: tuple[str, str, str]


class FieldForm(forms.Form):
    """Where one field stands and whose word counts."""

    fhirpath = forms.CharField(label="FHIRPath", max_length=400, required=False)
    fhirpath_transform = forms.ChoiceField(label="Tidied", choices=Transform.choices)
    hl7v2 = forms.CharField(label="HL7 v2 path", max_length=400, required=False)
    hl7v2_transform = forms.ChoiceField(label="Tidied", choices=Transform.choices)
    owner = forms.ChoiceField(label="Owner", choices=OWNERS)

    def __init__(self, field: Field, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._field = field
        if field.fixed:
            del self.fields["owner"]
        for name in ("fhirpath", "hl7v2"):
            self.fields[name].widget.attrs.update({"class": "vTextField", "spellcheck": "false", "autocomplete": "off"})

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        for key, value in self.wanted(cleaned).items():
            try:
                mapping_state.check(key, value)
            except Impossible as problem:
                self.add_error(key[2] if key[0] == "path" else "owner", str(problem))
        return cleaned

    def wanted(self, cleaned: dict[str, Any]) -> mapping_state.State:
        """Return what the form asks for; a path left empty is the usual one."""
        found: mapping_state.State = {}
        for kind in PathKind.values:
            usual = mapping_state.usual(self._field, kind)
            path = cleaned.get(kind, "").strip() or usual["path"]
            told = {"path": path, "transform": cleaned.get(f"{kind}_transform", usual["transform"])}
            found["path", self._field.key, kind] = told
        if "owner" in self.fields:
            found["owner", self._field.key] = cleaned.get("owner", "ehr")
        return found


_NO_PATH = field_preview.Preview("There is no path to try.")


@require_safe
def page_view(request: HttpRequest, pk: int) -> HttpResponse:
    """List the fields of a connection."""
    require(request, VIEW)
    row = _connection(pk)
    return _shown(
        request,
        row,
        "admin/desk/fields.html",
        {"title": f"Fields of patients from {row.source.name}", "rows": _rows(row), "others": OTHERS},
    )


@require_http_methods(["GET", "HEAD", "POST"])
def field_view(request: HttpRequest, pk: int, field: str) -> HttpResponse:
    """Show one field, try a path, or change where it comes from."""
    require(request, VIEW)
    if field not in FIELDS:
        raise Http404
    row, declared = _connection(pk), FIELDS[field]
    state = mapping_state.current(row)
    form, tried = FieldForm(declared, initial=_initial(state, declared)), None
    if request.method == "POST":
        require(request, CHANGE)
        form = FieldForm(declared, request.POST)
        if form.is_valid() and "try" in request.POST:
            tried = _tried(request, row, form, declared, request.POST["try"])
        elif form.is_valid() and (saved := _save(request, row, form)):
            return saved
    health = FieldHealth.objects.filter(connection=row, field=field).first()
    context = {
        "title": f"{declared.label} from {row.source.name}",
        "field": declared,
        "form": form,
        "usual": {kind: mapping_state.usual(declared, kind)["path"] for kind in PathKind.values},
        "health": health,
        "state": _state(health, declared, is_loaded=row.loaded_at is not None),
        "since": _since(health),
        "good": _good_value(request, row, health),
        "tried": tried,
        "may_change": request.user.has_perm(CHANGE),
        "messages_say": _messages_say(row),
    }
    return _shown(request, row, "admin/desk/field.html", context)


def _messages_say(row: Connection) -> str:
    """Return what an HL7 v2 path does at this connection."""
    if row.only_sends:
        return "This EHR sends HL7 v2 alone: the path is followed in each ADT and SIU message."
    if row.messages_tell == Connection.MessagesTell.FIELDS:
        return (
            "A path of your own here is followed in each ADT message, and FHIR tells the field only once, when a "
            "patient is first met. With the usual place the field comes from FHIR."
        )
    return "Not read at present: the connection’s settings say that messages only bring news."


def _save(request: HttpRequest, row: Connection, form: FieldForm) -> HttpResponse | None:
    try:
        done = mapping_changes.change(row, form.wanted(form.cleaned_data), by=request.user.get_username())
    except Impossible as problem:
        form.add_error(None, str(problem))
        return None
    if done is None:
        messages.info(request, "Nothing was changed: it is so already.")
    elif row.only_sends:
        messages.success(request, "Changed. It holds for messages from now on; it can be undone under “As a file”.")
    elif row.loaded_at:
        messages.success(
            request,
            "Changed. All patients are read again, Connect shows how far; it can be undone under “As a file”.",
        )
    else:
        messages.success(request, "Changed. It holds from the first load on; it can be undone under “As a file”.")
    return HttpResponseRedirect(reverse("admin:desk_fields", args=[row.pk]))


def _tried(request: HttpRequest, row: Connection, form: FieldForm, field: Field, kind: str) -> dict[str, Any]:
    by_message = kind == PathKind.HL7V2
    told = form.wanted(form.cleaned_data)["path", field.key, PathKind.HL7V2 if by_message else PathKind.FHIRPATH]
    follow = field_preview.of_last_message if by_message else field_preview.of_last_patient
    found = follow(row, field.key, told["path"], told["transform"]) if told["path"] else _NO_PATH
    seen = _patient(request, row, found.external_id) if found.external_id else None
    if seen and found.value:
        viewing.record_view([seen], reason="field mapping tried")
    return {"found": found, "value": found.value if seen else ""}


def _good_value(request: HttpRequest, row: Connection, health: FieldHealth | None) -> str:
    """Return the last good value where the person may see whose it is, with the look on record."""
    if health is None or health.last_good_value is None:
        return ""
    seen = _patient(request, row, health.last_good_external_id)
    if seen is None:
        return ""
    viewing.record_view([seen], reason="last good value of a field")
    return health.last_good_value


def _patient(request: HttpRequest, row: Connection, external_id: str) -> Patient | None:
    if not request.user.has_perm(SEES_PATIENTS):
        return None
    names = ExternalId.objects.filter(source_id=row.source_id, kind=ExternalId.Kind.PATIENT, value=external_id)
    return Patient.objects.for_user(request.user).filter(pk__in=names.values("object_id")).first()


def _rows(row: Connection) -> list[Row]:
    state = mapping_state.current(row)
    health = {each.field: each for each in FieldHealth.objects.filter(connection=row).defer("last_good_value")}
    rows = []
    for field in FIELDS.values():
        key = _followed(row, field, state)
        rows.append(
            Row(
                field,
                state.get(("owner", field.key), "ehr"),
                state[key]["path"],
                Transform(state[key]["transform"]).label,
                state[key] != mapping_state.nothing(key),
                health.get(field.key),
                _since(health.get(field.key)),
                _state(health.get(field.key), field, is_loaded=row.loaded_at is not None),
            )
        )
    return rows


def _followed(row: Connection, field: Field, state: mapping_state.State) -> mapping_state.Key:
    """Return where the field is read: in messages where they are all there is, or have a path of the practice's own."""
    by_message = ("path", field.key, PathKind.HL7V2)
    is_own = state[by_message] != mapping_state.nothing(by_message)
    if row.only_sends or (is_own and row.messages_tell == Connection.MessagesTell.FIELDS):
        return by_message
    return ("path", field.key, PathKind.FHIRPATH)


def _state(health: FieldHealth | None, field: Field, *, is_loaded: bool) -> tuple[str, str, str]:
    """Return how a field fares: word and tone, and a sentence."""
    if health is None and not field.fhirpath:
        return ("not read yet", "stop", "No EHR tells it in a usual place: give its path.")
    if health is None and not is_loaded:
        return ("not read yet", "stop", "")
    if health is None:  # nobody has it, and nothing went wrong: nothing was worth a row
        return ("none so far", "stop", "No patient read so far had it.")
    if health.failures:
        tone = "danger" if is_failing(health) else "wait"
        return (f"{health.failures} failed in a row", tone, f"Last: {health.last_problem}.")
    if is_failing(health):
        return ("stopped coming", "danger", f"{_the_last(health.empty)} had nothing there.")
    if health.last_good_at is None:
        return ("none so far", "stop", "No patient read so far had it.")
    return ("comes", "ok", f"{_the_last(health.empty)} had none." if health.empty else "")


def _since(health: FieldHealth | None) -> datetime | None:
    """Return since when a field fails; what merely stopped coming does so since it came last."""
    if health is None:
        return None
    return health.failing_since or (health.last_good_at if is_failing(health) else None)


def _initial(state: mapping_state.State, field: Field) -> dict[str, str]:
    values = {"owner": state.get(("owner", field.key), "ehr")}
    for kind in PathKind.values:
        told = state["path", field.key, kind]
        values |= {kind: told["path"], f"{kind}_transform": told["transform"]}
    return values


def _shown(request: HttpRequest, row: Connection, template: str, context: dict[str, Any]) -> TemplateResponse:
    frame = {**admin.site.each_context(request), "subtitle": None, "row": row}
    return TemplateResponse(request, template, {**frame, **context})


def _connection(pk: int) -> Connection:
    return get_object_or_404(Connection.objects.select_related("source"), pk=pk)


def _the_last(number: int) -> str:
    return "The last patient" if number == 1 else f"The last {number} patients"
