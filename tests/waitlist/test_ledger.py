"""What the lines of the consent ledger say together."""

import pytest

from waitlist.ledger import consenting_patients

ANN, BEN = 1, 2


@pytest.mark.parametrize(
    ("lines", "agreed"),
    [
        ([], set()),
        ([(ANN, "granted")], {ANN}),
        ([(ANN, "granted"), (ANN, "revoked")], set()),
        # STOP binds the address, whoever shares it, also when the line names nobody.
        ([(ANN, "granted"), (BEN, "granted"), (ANN, "revoked")], set()),
        ([(ANN, "granted"), (BEN, "granted"), (None, "revoked")], set()),
        # START gives back what STOP took, and no more.
        ([(ANN, "granted"), (None, "revoked"), (None, "granted")], {ANN}),
        ([(None, "granted")], set()),
        ([(ANN, "granted"), (None, "revoked"), (None, "revoked"), (None, "granted")], {ANN}),
        # A new form counts for the patient who signed it.
        ([(ANN, "granted"), (BEN, "granted"), (None, "revoked"), (BEN, "granted")], {BEN}),
        # What was stated in error was never said: nobody else at the address is bound, and START gives nothing back.
        ([(ANN, "granted"), (BEN, "granted"), (ANN, "withdrawn")], {BEN}),
        ([(ANN, "granted"), (None, "revoked"), (ANN, "withdrawn"), (None, "granted")], set()),
        ([(ANN, "granted"), (ANN, "withdrawn"), (ANN, "granted")], {ANN}),
    ],
)
def test_who_agreed(lines, agreed) -> None:
    assert consenting_patients(lines) == agreed
