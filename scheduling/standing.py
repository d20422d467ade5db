"""How an opening stands now, as it is told to somebody whose step came too late."""

from __future__ import annotations

from scheduling.models import Opening


def nothing_changed(opening: Opening) -> str:
    """Say that nothing was changed and how the opening stands; it is read anew."""
    opening.refresh_from_db()
    if opening.held and opening.status in Opening.CLAIMABLE:
        return f"Nothing changed: this opening is held now ({opening.get_held_display()})."
    return f"Nothing changed: this opening is {opening.get_status_display()} now."
