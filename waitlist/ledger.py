"""How the consent ledger is read. Pure."""

from __future__ import annotations

from collections.abc import Iterable

#: One line of the ledger for one address: the patient's id (None: whoever uses the address) and "granted", "revoked" or
#: "withdrawn".
Line = tuple[int | None, str]


def consenting_patients(lines: Iterable[Line]) -> set[int]:
    """Return who agreed to be written to at an address, given its lines from the oldest to the newest.

    A grant counts for its patient. A revocation silences everybody at the address; a grant without a patient (START
    from a shared phone) takes the revocation back for those it silenced. A withdrawal: its patient never agreed.
    """
    agreed: set[int] = set()
    silenced: set[int] = set()
    for patient_id, action in lines:
        if action == "revoked":
            silenced |= agreed
            agreed = set()
        elif action == "withdrawn":
            agreed.discard(patient_id or 0)
            silenced.discard(patient_id or 0)
        elif patient_id is None:
            agreed |= silenced
        else:
            agreed.add(patient_id)
    return agreed
