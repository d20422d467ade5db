"""The addresses of the front desk's own pages; all of them are for staff and live in the admin's namespace."""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.urls import URLPattern, path

from config.desk import (
    connecting,
    correcting,
    differences,
    fields_page,
    guardian,
    launch,
    lists,
    mapper,
    mapping_file,
    opening_page,
    opening_steps,
    pausing,
    sandbox_page,
    shadow,
    status,
    thread,
    today,
    try_code,
    words,
)


def desk_urls(site: AdminSite) -> list[URLPattern]:
    """Return the pages of ``site``; Django's own come after them."""

    views = (
        ("today/live/", today.live_view, "desk_today_live"),
        ("pause/", pausing.pause_view, "desk_pause"),
        ("resume/", pausing.resume_view, "desk_resume"),
        ("lists/", lists.lists_view, "desk_lists"),
        ("patients/<int:pk>/correct/", correcting.correct_view, "desk_correct"),
        ("patients/<int:pk>/guardian/", guardian.guardian_view, "desk_guardian"),
        ("patients/<int:pk>/thread/", thread.thread_view, "desk_thread"),
        ("openings/<int:pk>/", opening_page.page_view, "desk_opening"),
        ("openings/<int:pk>/live/", opening_page.live_view, "desk_opening_live"),
        ("openings/<int:pk>/choose/", opening_page.choose_view, "desk_opening_choose"),
        ("openings/<int:pk>/why-not/<int:entry_id>/", opening_page.why_not_view, "desk_opening_why_not"),
        ("openings/<int:pk>/do/<slug:step>/", opening_steps.step_view, "desk_opening_step"),
        ("differences/", differences.page_view, "desk_differences"),
        ("differences/decide/", differences.decide_view, "desk_differences_decide"),
        ("status/", status.status_view, "desk_status"),
        ("status/<int:pk>/<slug:step>/", status.step_view, "desk_status_step"),
        ("connections/<int:pk>/", connecting.page_view, "desk_connecting"),
        ("connections/<int:pk>/load/live/", connecting.load_view, "desk_connecting_load"),
        ("connections/<int:pk>/codes/", mapper.mapper_view, "desk_mapper"),
        ("connections/<int:pk>/codes/map/", mapper.map_view, "desk_map_code"),
        ("connections/<int:pk>/codes/undo/<int:change_id>/", mapper.undo_view, "desk_undo_code"),
        ("connections/<int:pk>/codes/try/<int:event_id>/", try_code.try_view, "desk_try_code"),
        ("connections/<int:pk>/fields/", fields_page.page_view, "desk_fields"),
        ("connections/<int:pk>/fields/<slug:field>/", fields_page.field_view, "desk_field"),
        ("connections/<int:pk>/mappings/", mapping_file.page_view, "desk_mapping_file"),
        ("connections/<int:pk>/mappings/export/", mapping_file.export_view, "desk_mapping_export"),
        ("connections/<int:pk>/mappings/import/", mapping_file.import_view, "desk_mapping_import"),
        ("connections/<int:pk>/mappings/apply/", mapping_file.apply_view, "desk_mapping_apply"),
        ("connections/<int:pk>/mappings/<int:change>/undo/", mapping_file.undo_view, "desk_mapping_undo"),
        ("connections/<int:pk>/<slug:step>/", connecting.step_view, "desk_connecting_step"),
        *words.VIEWS,
        ("connections/<int:pk>/history/live/", connecting.history_view, "desk_connecting_history"),
        ("shadow/<int:pk>/", shadow.report_view, "desk_shadow"),
        ("shadow/<int:pk>/csv/", shadow.csv_view, "desk_shadow_csv"),
        ("shadow/past/<int:pk>/", shadow.past_view, "desk_shadow_past"),
        *launch.VIEWS,
        *sandbox_page.VIEWS,
    )
    return [path(route, site.admin_view(view), name=name) for route, view, name in views]
