"""From a request to its answer: routing, authorisation, errors and faults."""

from __future__ import annotations

import collections
import sys
import time
import traceback
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from . import interactions
from .auth import Token, TokenDesk, check_scope, smart_configuration
from .batch import answer_batch
from .capability import capability_statement
from .clinic import load_clinic
from .control import Control
from .delivery import Courier
from .dialects import DIALECTS
from .faults import Faults
from .messages import FHIR_JSON, Request, Response, json_response
from .offers import Offer, Operation
from .outcomes import FhirError, operation_outcome
from .paging import bundle_json, read_page
from .rate_limit import RateLimit
from .sabotage import answer_with_fault
from .search import check_needs, check_scope_of_search, parse_search
from .settings import SandboxSettings
from .store import Store
from .subscriptions import enqueue

LOG_LENGTH = 2000
#: FHIR's name of an interaction by level and HTTP method.
INTERACTIONS = {
    ("type", "GET"): "search-type",
    ("type", "POST"): "create",
    ("instance", "GET"): "read",
    ("instance", "PUT"): "update",
    ("instance", "PATCH"): "patch",
    ("instance", "DELETE"): "delete",
    ("version", "GET"): "vread",
}


class Application:
    """The sandbox EHR without its sockets."""

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self.dialect = DIALECTS[settings.dialect]
        self.store = Store(settings.database)
        self.faults = Faults()
        self.tokens = TokenDesk(settings)
        self.rate_limit = RateLimit(settings)
        self.log: collections.deque[dict[str, Any]] = collections.deque(maxlen=LOG_LENGTH)
        self.courier = Courier(self.store, settings, self.faults)
        self.control = Control(self.store, settings, self.faults, self.tokens, self.log)
        self.store.own_identifiers = self.dialect.own_identifiers
        if settings.clinic_seeded:
            load_clinic(self.store, settings.today)
        with self.store.writing() as transaction:
            transaction.add_own_identifiers()
        self.store.notifying = self.dialect.notifying
        self.store.watcher = lambda transaction, record: enqueue(
            transaction, record, deletes_told=settings.deletes_told, gather_seconds=settings.gather_seconds
        )
        self.store.after_commit = self.courier.wake

    def start(self) -> None:
        self.courier.start()

    def stop(self) -> None:
        self.courier.stop()
        self.store.close()

    def answer(self, request: Request) -> Response:
        """Never raises: whatever goes wrong becomes an answer."""
        began = time.monotonic()
        if request.path.startswith("/_sandbox"):
            return self._guarded(self.control.answer, request)
        fault = self.faults.take_request(request)
        if fault is None:
            response = self._guarded(self._route, request)
        else:
            response = answer_with_fault(self.faults, fault, request, lambda asked: self._guarded(self._route, asked))
        self._remember(request, response, began)
        return response

    def _guarded(self, route: Any, request: Request) -> Response:
        try:
            response: Response = route(request)
        except FhirError as error:
            return json_response(error.status, error.outcome, FHIR_JSON, error.headers)
        except Exception:
            traceback.print_exc(file=sys.stderr)
            text = "The sandbox EHR has a fault of its own. Its error output says more."
            return json_response(500, operation_outcome("exception", text), FHIR_JSON)
        return response

    def _remember(self, request: Request, response: Response, began: float) -> None:
        """Names of search parameters, values only of the technical ones: birth dates and phones stay out of the log."""
        parameters = {
            name: value if name.startswith("_") and name != "_cursor" else "" for name, value in request.parameters
        }
        self.log.append(
            {
                "at": self.store.clock.now(),
                "method": request.method,
                "path": request.path,
                "parameters": parameters,
                "status": response.status,
                "milliseconds": round((time.monotonic() - began) * 1000, 1),
                "fault": response.fault,
                "delivery": response.delivery.value,
            }
        )

    def _route(self, request: Request) -> Response:
        request = self._below_fhir(request)
        if request.path == "/oauth/token":
            return self.tokens.issue(request)
        if request.path in ("/fhir/.well-known/smart-configuration", "/.well-known/smart-configuration"):
            if not self.settings.is_discoverable:
                raise FhirError(404, "not-found", "This server has no smart-configuration.")
            return smart_configuration(self.settings, request.base_url)
        self.rate_limit.check()
        if self.dialect.tidy is not None:
            self.store.hold_seconds = self.settings.hold_seconds
            self.dialect.tidy(self.store)
        if request.path == "/fhir/metadata":
            return json_response(200, capability_statement(self.dialect, request.base_url, self.store.clock), FHIR_JSON)
        for beginning, page in self.dialect.pages.items():
            if f"{request.path}/".startswith(beginning):
                self.tokens.check(request)
                return page(self.store, request)
        if request.path.strip("/").split("/")[0] != "fhir":
            raise FhirError(404, "not-found", "There is nothing here. The FHIR base is /fhir.")
        token = self.tokens.check(request)
        if request.path.strip("/") == "fhir" and request.method == "POST" and self.dialect.takes_batches:
            return answer_batch(request, lambda asked: self._guarded(lambda one: self._fhir(token, one), asked))
        return self._fhir(token, request)

    def _below_fhir(self, request: Request) -> Request:
        base = self.dialect.base_path
        if not f"{request.path}/".startswith(f"{base}/"):
            return request
        return replace(request, path=f"/fhir{request.path.removeprefix(base)}")

    def _fhir(self, token: Token, request: Request) -> Response:
        parts = request.path.strip("/").split("/")
        offer = self.dialect.offers.get(parts[1]) if len(parts) > 1 else None
        if offer is None:
            raise FhirError(404, "not-supported", f"This server has only {', '.join(self.dialect.offers)}.")
        return self._resource(offer, token, request, parts[1], parts[2:])

    def _resource(self, offer: Offer, token: Token, request: Request, resource_type: str, rest: list[str]) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        if rest == ["_search"] and method == "POST":
            method, rest = "GET", []
        operation = offer.operations.get(rest[-1]) if rest else None
        if operation is not None and len(rest) <= 2:
            return self._operate(operation, token, request, resource_type, rest)
        level = {0: "type", 1: "instance"}.get(len(rest), "")
        if len(rest) == 3 and rest[1] == "_history":
            level = "version"
        interaction = INTERACTIONS.get((level, method), "")
        if interaction not in offer.interactions:
            raise _not_offered(offer, request, resource_type, level)
        check_scope(token, resource_type, interaction)
        if interaction == "search-type":
            return self._search(offer, request, resource_type)
        return self._interact(offer, request, interaction, resource_type, rest)

    def _operate(
        self, operation: Operation, token: Token, request: Request, resource_type: str, rest: list[str]
    ) -> Response:
        level = "instance" if len(rest) == 2 else "type"
        if request.method not in operation.methods or level not in operation.levels:
            methods = {"Allow": ", ".join(operation.methods)}
            raise FhirError(405, "not-supported", f"{rest[-1]} is not possible like this here.", headers=methods)
        check_scope(token, resource_type, operation.interaction)
        return operation.run(self.store, request, rest[0] if level == "instance" else "")

    def _interact(
        self, offer: Offer, request: Request, interaction: str, resource_type: str, rest: list[str]
    ) -> Response:
        if interaction == "create":
            return interactions.create(self.store, offer, request, resource_type)
        if interaction == "delete":
            return interactions.delete(self.store, resource_type, rest[0])
        if interaction in ("read", "vread"):
            return interactions.read(self.store, request, resource_type, rest[0], *rest[2:])
        change = interactions.update if interaction == "update" else interactions.patch
        return change(self.store, offer, request, resource_type, rest[0])

    def _search(self, offer: Offer, request: Request, resource_type: str) -> Response:
        parameters = request.parameters
        if request.method == "POST":
            parameters = parameters + parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)
        check_needs(offer.search_needs, parameters)
        scope = self.dialect.search_scope
        check_scope_of_search(scope, parameters)
        asked = [each for each in parameters if each != scope]
        search = parse_search(resource_type, asked, offer.parameters(resource_type))
        if search.unknown and request.preference("handling") == "strict":
            raise FhirError(400, "not-supported", f"Unknown search parameter: {', '.join(search.unknown)}.")
        url = f"{request.base_url}/fhir/{resource_type}"
        with self.store.reading() as connection:
            page = read_page(connection, self.store.clock, search, parameters, url)
        return Response(200, bundle_json(page).encode())


def _not_offered(offer: Offer, request: Request, resource_type: str, level: str) -> FhirError:
    """405 that says what is possible at this address."""
    methods = [method for (at, method), code in INTERACTIONS.items() if at == level and code in offer.interactions]
    text = f"{request.method} is not possible here: this server does not offer it for {resource_type}."
    return FhirError(405, "not-supported", text, headers={"Allow": ", ".join(methods) or "GET"})
