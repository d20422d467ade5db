"""JSON Patch (RFC 6902): add, remove, replace and test."""

from __future__ import annotations

import copy
from typing import Any

from .outcomes import FhirError, unprocessable


def apply_patch(resource: dict[str, Any], operations: Any) -> dict[str, Any]:
    """A changed copy. Raises ``FhirError``: 400 for a malformed patch, 422 for one that does not fit the resource."""
    if not isinstance(operations, list) or not all(isinstance(operation, dict) for operation in operations):
        raise FhirError(400, "structure", "A JSON Patch is a list of operations.")
    patched = copy.deepcopy(resource)
    for operation in operations:
        _apply(patched, operation)
    return patched


def _apply(document: dict[str, Any], operation: dict[str, Any]) -> None:
    kind, path = operation.get("op"), operation.get("path")
    if kind not in ("add", "remove", "replace", "test"):
        raise FhirError(400, "not-supported", "Only the operations add, remove, replace and test are supported.")
    if not isinstance(path, str) or not path.startswith("/"):
        raise FhirError(400, "structure", "An operation needs a path that starts with a slash.")
    if kind != "remove" and "value" not in operation:
        raise FhirError(400, "structure", f"The operation {kind} needs a value.")
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]
    container: Any = document
    for part in parents:
        container = _child(container, part, path)
    if isinstance(container, list):
        _change_list(container, last, kind, operation, path)
    elif isinstance(container, dict):
        _change_object(container, last, kind, operation, path)
    else:
        raise _missing(path)


def _child(container: Any, part: str, path: str) -> Any:
    if isinstance(container, list):
        return container[_position(part, len(container) - 1, path)]
    if isinstance(container, dict) and part in container:
        return container[part]
    raise _missing(path)


def _change_list(container: list[Any], part: str, kind: str, operation: dict[str, Any], path: str) -> None:
    if kind == "add":
        container.insert(len(container) if part == "-" else _position(part, len(container), path), operation["value"])
        return
    position = _position(part, len(container) - 1, path)
    if kind == "remove":
        del container[position]
    elif kind == "replace":
        container[position] = operation["value"]
    else:
        _test(container[position], operation, path)


def _change_object(container: dict[str, Any], part: str, kind: str, operation: dict[str, Any], path: str) -> None:
    if kind == "add":
        container[part] = operation["value"]
        return
    if part not in container:
        raise _missing(path)
    if kind == "remove":
        del container[part]
    elif kind == "replace":
        container[part] = operation["value"]
    else:
        _test(container[part], operation, path)


def _position(part: str, highest: int, path: str) -> int:
    if not part.isdigit() or int(part) > highest:
        raise _missing(path)
    return int(part)


def _test(present: Any, operation: dict[str, Any], path: str) -> None:
    if present != operation["value"]:
        raise unprocessable(
            f"The test at {path} failed: the value is another one. Nothing was changed.", path, "processing"
        )


def _missing(path: str) -> FhirError:
    return unprocessable(f"There is nothing at {path}. Nothing was changed.", path, "processing")
