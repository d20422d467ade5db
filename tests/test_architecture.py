"""The direction of the layers, also where import-linter cannot see it."""

import ast
from pathlib import Path

import grimp
import pytest
from celery import current_app
from django.apps import apps
from django.conf import settings
from importlinter.cli import lint_imports

LAYERS = ["config", "integrations", "waitlist", "scheduling", "audit"]  # each may use those after it
SANDBOX = "integrations.ehr.sandbox"


def test_imports_go_one_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(settings.BASE_DIR)
    assert lint_imports(no_cache=True) == 0


def test_the_sandbox_imports_nothing_of_the_product_nor_the_product_the_sandbox() -> None:
    graph = grimp.build_graph(*LAYERS, cache_dir=None)
    inside = {SANDBOX, *graph.find_descendants(SANDBOX)}
    assert len(inside) > 1
    crossings = {
        (importer, imported)
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
        if (importer in inside) != (imported in inside)
    }
    assert crossings == set()


def test_relations_between_models_go_the_same_way() -> None:
    wrong = []
    for model in apps.get_models():
        if model._meta.app_label not in LAYERS:
            continue
        for field in model._meta.get_fields():
            target = field.related_model if field.concrete and field.is_relation else None
            label = target._meta.app_label if target is not None and not isinstance(target, str) else None
            if label in LAYERS and LAYERS.index(label) < LAYERS.index(model._meta.app_label):
                wrong.append(f"{model.__name__}.{field.name} points to {label}")
    assert wrong == []


@pytest.mark.parametrize("layer", LAYERS[1:])
def test_no_layer_reaches_a_higher_one_by_name(layer: str) -> None:
    """`get_model("waitlist", …)` or `send_task("integrations.tasks…")` would go round the linter."""
    higher = tuple(f"{name}." for name in LAYERS[: LAYERS.index(layer)])
    found = []
    for path in sorted((Path(settings.BASE_DIR) / layer).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            texts = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            names = [f"{text}." for text in texts if isinstance(text, str)]
            if called in {"get_model", "send_task", "import_module", "import_string", "signature"}:
                found += [f"{path.name}: {called}({name[:-1]})" for name in names if name.startswith(higher)]
    assert found == []


def test_every_task_that_is_started_by_name_exists() -> None:
    current_app.loader.import_default_modules()
    started = {*settings.WAKE_TASKS.values(), *(entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values())}
    assert started - set(current_app.tasks) == set()
