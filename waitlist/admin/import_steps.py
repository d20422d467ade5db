"""The steps from an imported list's page: each takes one, by the verbs of the import, and says what came of it."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest

from scheduling.counting import counted
from waitlist.admin import import_rows
from waitlist.importing import adding, batches, returned, reviewing, working
from waitlist.importing.limits import Unreadable
from waitlist.models import ImportBatch, ImportRow

_S, _V = ImportBatch.Status, ImportRow.Verdict
BUSY = "Nothing changed: somebody else is working on this list. Look at it again."

OTHER_FILE = (
    "This is not the file of this list’s rows with errors. Nothing was changed. Download them here, correct them, "
    "leave the last two columns as they are, and upload that file."
)


def _correct(request: HttpRequest, batch: ImportBatch) -> None:
    told = import_rows.corrections(request.POST)
    done = batches.correct(batch, told)
    if not done:
        messages.warning(request, BUSY if told else "Nothing was written to be checked.")
        return
    messages.add_message(request, *_said_of(batch, list(told), done))


def _said_of(batch: ImportBatch, numbers: list[int], done: int) -> tuple[int, str]:
    """Return a message's level and text about rows that were corrected."""
    wrong = batch.rows.filter(number__in=numbers, verdict=_V.ERROR).count()
    if batch.status == _S.CHECKING:
        return messages.INFO, f"{done} corrected rows are being checked."
    if wrong:
        return (
            messages.WARNING,
            f"{counted(wrong, 'corrected row')} of {done} still to be mended; the others are right now.",
        )
    return messages.SUCCESS, f"{done} corrected row{'' if done == 1 else 's'} checked: no error is left in them."


def say_what_came_back(request: HttpRequest, batch: ImportBatch, outcome: returned.Outcome) -> None:
    level, says = messages.SUCCESS, []
    if outcome.corrected:
        level, text = _said_of(batch, outcome.corrected, len(outcome.corrected))
        says.append(text)
    if outcome.unchanged:
        says.append(f"{_rows(outcome.unchanged)} in the file as before.")
    if outcome.settled:
        says.append(f"{_rows(outcome.settled)} right, added or left out by now and stayed so.")
    if outcome.foreign:
        says.append(f"{_rows(outcome.foreign)} not of this list, and nothing of that was taken.")
    if outcome.unchanged or outcome.settled or outcome.foreign:
        level = messages.WARNING
    messages.add_message(request, level, " ".join(says) or "The file has no rows of this list. Nothing was changed.")


def _rows(count: int) -> str:
    return "1 row is" if count == 1 else f"{count} rows are"


def _decide(request: HttpRequest, batch: ImportBatch) -> None:
    number, chosen = import_rows.choice(request.POST, request.user)
    if number is None or not batches.say_who(batch, number, chosen):
        messages.warning(request, BUSY)
    elif chosen is not None:
        messages.success(request, f"Row {number} is this patient. Nothing was merged; only the entry will be theirs.")
    else:
        messages.success(request, f"Row {number} is somebody else: they will be a patient of their own.")


def _accept_alike(request: HttpRequest, batch: ImportBatch) -> None:
    done = batches.accept_alike(batch, import_rows.alike(batch, request.user))
    if not done:
        messages.warning(request, BUSY)
        return
    are = " is the patient" if done == 1 else "s are the patients"
    messages.success(request, f"{done} row{are} proposed. Nothing was merged.")


def _each(verb: Callable[[ImportBatch, int], bool], said: str) -> Callable[[HttpRequest, ImportBatch], None]:
    def step(request: HttpRequest, batch: ImportBatch) -> None:
        number = import_rows.number_of(request.POST)
        if number is not None and verb(batch, number):
            messages.success(request, said.format(number))
        else:
            messages.warning(request, BUSY)

    return step


def _check(request: HttpRequest, batch: ImportBatch) -> None:
    if not batches.check_again(batch):
        messages.warning(request, BUSY)


def _add(request: HttpRequest, batch: ImportBatch) -> None:
    expected = import_rows.whole(request.POST.get("expected", "")) or 0
    before = batch.added_count
    problem = batches.start_adding(batch, request.user.get_username(), expected)
    if problem:
        messages.warning(request, problem)
    elif batch.status == _S.ADDED:
        added = batch.added_count - before
        messages.success(request, f"{added} {'is' if added == 1 else 'are'} on the list. You can still undo it.")
    elif batch.status == _S.ADDING:
        messages.info(request, "They are being added. You can leave this page; all of them are added, or none.")
    else:
        messages.warning(request, batch.note or working.CHANGED)


def _sheet(request: HttpRequest, batch: ImportBatch) -> None:
    name = request.POST.get("sheet", "")
    try:
        is_read = batches.choose_sheet(batch, name)
    except Unreadable as problem:
        messages.error(request, f"“{name}” cannot be read, and “{batch.sheet_name}” stays. {problem}")
        return
    if is_read:
        messages.success(request, f"“{name}” is read now: {counted(batch.row_count, 'row')}.")
    else:
        messages.warning(request, BUSY)


def _discard(request: HttpRequest, batch: ImportBatch) -> None:
    if batches.discard(batch):
        messages.success(request, "Discarded: the file and its rows are deleted. Nobody was put on the list.")
    else:
        messages.warning(request, BUSY)


def _undo(request: HttpRequest, batch: ImportBatch) -> None:
    count = batch.added_count
    problem = adding.undo(batch)
    if problem:
        messages.error(request, problem)
    else:
        said = f"Undone: {count} {'is' if count == 1 else 'are'} off the list again"
        messages.success(request, f"{said}, and the consent that was stated of them counts no more.")


STEPS: dict[str, Callable[[HttpRequest, ImportBatch], None]] = {
    "check": _check,
    "correct": _correct,
    "decide": _decide,
    "alike": _accept_alike,
    "later": _each(reviewing.put_off, "Row {} waits among the patient reviews. What is answered there counts here."),
    "leave-out": _each(batches.leave_out, "Row {} is left out."),
    "take-in": _each(batches.take_back_in, "Row {} was checked again."),
    "add": _add,
    "sheet": _sheet,
    "discard": _discard,
    "undo": _undo,
}
