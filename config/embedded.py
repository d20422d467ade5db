"""The whole product in one process: web server, worker and beat as threads over a broker in memory.

It is what a trial, the demo and small practices run. The sandbox EHR stays a process of its own with a file of its
own, as a real EHR would.
"""

import contextlib
import errno
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from celery.beat import Service
from celery.worker import WorkController, state
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from waitress.server import create_server

from config.celery import app

logger = logging.getLogger(__name__)

PORTS_TO_TRY = 50
STOP_SECONDS = 10.0


class WebServer:
    """Waitress on the first free port from the one asked for."""

    def __init__(self, host: str, port: int, threads: int) -> None:
        self._stopping = threading.Event()
        self._server = _listen(host, port, threads)
        self.port = int(self._server.effective_port)
        self._thread = threading.Thread(target=self._serve, name="web", daemon=True)

    def _serve(self) -> None:
        loop = self._server.asyncore.loop
        while not self._stopping.is_set():
            loop(timeout=0.5, map=self._server._map, use_poll=True, count=1)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Lets running requests end, then closes every connection."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS)
        self._server.task_dispatcher.shutdown(timeout=5)
        self._server.asyncore.close_all(self._server._map, ignore_all=True)


def _listen(host: str, port: int, threads: int) -> Any:
    application = get_wsgi_application()
    for candidate in range(port, port + PORTS_TO_TRY):
        try:
            return create_server(application, host=host, port=candidate, threads=threads, ident=None)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, f"ports {port} to {port + PORTS_TO_TRY - 1} are all in use; choose another --port")


class Worker:
    """Celery's worker with a pool of threads, and beat beside it."""

    def __init__(self, concurrency: int) -> None:
        self._ready = threading.Event()
        ready = self._ready

        class ThreadedWorker(WorkController):
            def on_consumer_ready(self, consumer: Any) -> None:
                ready.set()

        self._controller = ThreadedWorker(
            app=app,
            pool="threads",
            concurrency=concurrency,
            hostname="embedded@localhost",
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        self._beat = Service(app, max_interval=1, scheduler_cls="celery.beat:Scheduler", remote_control=False)
        self._threads = [
            threading.Thread(target=self._controller.start, name="worker", daemon=True),
            threading.Thread(target=self._beat.start, name="beat", daemon=True),
        ]

    def start(self) -> None:
        app.set_default()
        worker, beat = self._threads
        worker.start()
        if not self._ready.wait(STOP_SECONDS):
            raise RuntimeError("the worker did not start; its log lines above say why")
        beat.start()

    def stop(self) -> None:
        """Lets running tasks end; what they leave undone is a row that the next start picks up."""
        worker, beat = self._threads
        self._beat.stop()
        beat.join(STOP_SECONDS)
        state.should_stop = 0
        worker.join(STOP_SECONDS)
        state.should_stop = None
        if worker.is_alive():
            logger.warning("a task is still running; it is cut off and taken up again at the next start")


class EmbeddedSite:
    """Web server, worker and beat, started and stopped together. `url` is known before anything is served."""

    def __init__(self, port: int = 8000, *, host: str = "127.0.0.1", threads: int = 12, concurrency: int = 6) -> None:
        if not settings.CELERY_BROKER_URL.startswith("memory:"):
            raise RuntimeError("the embedded mode brings its own broker: leave CELERY_BROKER_URL out to use it")
        self._web = WebServer(host, port, threads)
        self._worker = Worker(concurrency)
        self.asked_port = port
        self.port = self._web.port
        self.url = f"http://{'localhost' if host == '127.0.0.1' else host}:{self.port}"

    def start(self) -> None:
        if settings.PUBLIC_BASE_URL == "http://localhost:8000":
            # Only the default follows the port that was free; an address the operator gave is theirs.
            settings.PUBLIC_BASE_URL = self.url
        self._worker.start()
        self._web.start()

    def stop(self) -> None:
        self._web.stop()
        self._worker.stop()


@contextlib.contextmanager
def until_signalled() -> Iterator[threading.Event]:
    """Yields an event that Ctrl-C or SIGTERM sets; the handlers before are put back at the end."""
    asked = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda *_: asked.set())
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_embedded(
    port: int = 8000,
    *,
    host: str = "127.0.0.1",
    announce: Callable[[EmbeddedSite], None] = lambda site: None,
) -> None:
    """Serve until Ctrl-C or SIGTERM. `announce` is called once everything runs, to print addresses.

    Only for the main thread, which receives the signals.
    """
    site = EmbeddedSite(port, host=host)
    with until_signalled() as asked:
        site.start()
        try:
            announce(site)
            asked.wait()
        finally:
            site.stop()
