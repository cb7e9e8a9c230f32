"""The exporter's HTTP face: routes and answers; knows nothing of files, sockets or signals.

Nothing here blocks the event loop: scrapes run in the scraper's thread.
"""

import asyncio
import platform
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from genai_exporter import landing
from genai_exporter.collectors.exporter import ExporterMetrics, Outcome, exporter_version
from genai_exporter.collectors.frame import Frame
from genai_exporter.reload import Reloader
from genai_exporter.scraping import Applications, Format, Scraper
from genai_metrics.negotiation import OPENMETRICS_TYPE, TEXT_TYPE, accepts_gzip, prefers_openmetrics
from genai_metrics.pricing import PriceResolver
from genai_metrics.selection import PARAMETER

# After that long without samples Prometheus itself calls a series stale, so nobody scrapes us.
_ABANDONED_SECONDS = 300.0
_PATHS = "/metrics, /-/healthy, /-/ready, /-/reload and /"
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def create_app(
    applications: Applications,
    *,
    directory: Path,
    reloader: Reloader,
    frame: Frame,
    enable_lifecycle: bool = False,
    price_data_age: Callable[[], float | None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Starlette:
    """Make the application that serves ``applications``, whose metrics directory is ``directory``.

    ``frame``: the other collectors. ``reloader`` is asked at ``/-/reload``, but for the metrics of it only with
    ``enable_lifecycle``.
    ``price_data_age`` returns the age of the price table in seconds, or None when unknown (by default that of
    the installed genai-prices); ``clock`` counts seconds. The app's ``state.scraper`` is its ``Scraper``.
    """
    age = PriceResolver().data_age_seconds if price_data_age is None else price_data_age
    own = ExporterMetrics(age, lambda: reloader.state)
    scraper = Scraper(applications, own, frame)
    pages = _Pages(scraper, directory, reloader, clock)
    app = Starlette(
        routes=[
            Route("/metrics", pages.metrics),
            Route("/-/healthy", pages.healthy),
            Route("/-/ready", pages.ready),
            Route("/-/reload", _reloading(reloader, enable_lifecycle), methods=["POST", "PUT"]),
            Route("/", pages.landing),
        ],
        exception_handlers={404: _not_found, 405: _method_not_allowed},
    )
    app.router.redirect_slashes = False
    app.state.scraper = scraper
    return app


class _Pages:
    """The endpoints, and when ``/metrics`` was last served."""

    def __init__(self, scraper: Scraper, directory: Path, reloader: Reloader, clock: Callable[[], float]) -> None:
        self._scraper = scraper
        self._directory = directory
        self._reloader = reloader
        self._clock = clock
        self._served_at: float | None = None

    async def metrics(self, request: Request) -> Response:
        """Serve a fresh scrape, of all metrics or those named, in the format and coding that the client prefers."""
        names = request.query_params.getlist(PARAMETER)
        wanted = Format(
            prefers_openmetrics(",".join(request.headers.getlist("accept"))),
            accepts_gzip(",".join(request.headers.getlist("accept-encoding"))),
            frozenset(names) if names else None,
        )
        headers = {
            "Content-Type": OPENMETRICS_TYPE if wanted.openmetrics else TEXT_TYPE,
            "Vary": "Accept, Accept-Encoding",
            **({"Content-Encoding": "gzip"} if wanted.gzip else {}),
        }
        if request.method == "HEAD":
            # No scrape: one that nobody sees would count new series as shown. So the length is unknown.
            response = Response(headers=headers)
            del response.headers["content-length"]
            return response
        body = await self._scraper.metrics(wanted)
        self._served_at = self._clock()
        return Response(body, headers=headers)

    async def healthy(self, request: Request) -> Response:
        """Say that the process runs."""
        return PlainTextResponse("genai-exporter is healthy.\n")

    async def ready(self, request: Request) -> Response:
        """Say whether the metrics directory can be read; look again only if there is no good scrape yet."""
        outcome = self._scraper.last
        if outcome is None or outcome.error is not None:
            outcome = await self._scraper.probe()
        if outcome.error is not None:
            return PlainTextResponse(f"genai-exporter is not ready: {outcome.error}\n", 503)
        return PlainTextResponse("genai-exporter is ready.\n")

    async def landing(self, request: Request) -> Response:
        """Show the last scrape; make one only when no Prometheus does, so that visits do not disturb it."""
        outcome: Outcome | None = self._scraper.last
        if self._served_at is None or self._clock() - self._served_at > _ABANDONED_SECONDS:
            outcome = await self._scraper.probe()
        page = landing.Page(
            outcome=outcome,
            age=0.0 if outcome is None else time.time() - outcome.ended,
            directory=str(self._directory),
            address=request.headers.get("host", "127.0.0.1:9840"),
            version=exporter_version(),
            python=platform.python_version(),
            old_config=not self._reloader.state.successful,
        )
        return HTMLResponse(landing.render(page), headers=_PAGE_HEADERS)


def _reloading(reloader: Reloader, enabled: bool) -> Callable[[Request], Awaitable[Response]]:
    async def reload(request: Request) -> Response:
        """Read the configuration again and say how that went."""
        if not enabled:
            return PlainTextResponse(
                "Lifecycle API is not enabled: start the exporter with --web.enable-lifecycle\n", 403
            )
        # In a thread: a file can be slow to read.
        reason = await asyncio.to_thread(reloader.reload)
        if reason is not None:
            return PlainTextResponse(f"failed to reload config: {reason}\n", 500)
        return PlainTextResponse("Configuration reloaded.\n")

    return reload


async def _not_found(request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"Nothing here; genai-exporter serves {_PATHS}\n", 404)


async def _method_not_allowed(request: Request, error: Exception) -> Response:
    headers = error.headers if isinstance(error, HTTPException) else None
    allowed = sorted(method.strip() for method in (headers or {}).get("Allow", "GET, HEAD").split(","))
    return PlainTextResponse(f"Only {' and '.join(allowed)} are answered\n", 405, headers)
