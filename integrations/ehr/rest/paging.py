"""The pages of an adapter's functions, of which nothing is believed: they may run in a circle or be of any form."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from integrations.ehr.fhir.search import MOST_PAGES
from integrations.ehr.gateway import Malformed
from integrations.ehr.rest.declaration import Rows

#: What a function raises that meets JSON of another form than it knows.
OTHER_FORM = (TypeError, ValueError, AttributeError, LookupError)


def rows(pages: Iterator[Rows]) -> Iterator[Rows]:
    """Yield the pages; raises Malformed when they do not end or are of another form."""
    seen, last = set[bytes](), None
    for _ in range(MOST_PAGES):
        try:
            page = next(pages, None)
        except OTHER_FORM:
            raise Malformed("The EHR's answer has another form than its adapter knows.") from None
        if page is None:
            return
        # Several pages may be made of one answer; the same answer given again is a circle.
        digest = hashlib.sha256(page.answer.body).digest()
        if page.answer is not last and digest in seen:
            break
        seen.add(digest)
        last = page.answer
        if not isinstance(page.rows, list):
            raise Malformed("The EHR's records are not a list.")
        yield page
    raise Malformed("The EHR's pages do not end.")
