"""HTTP: the addresses that Alertmanager sends to, and the page for people."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from inbox import documents, mail, pagerduty, slack
from inbox.arrivals import Arrivals

LARGEST_BYTES = 2**20
"""Of a request; Slack and PagerDuty take no more than half of it."""

_STATIC = Path(__file__).parent / "static"
# Nothing from elsewhere, nothing inline: whatever a message contains, it stays text.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Documents are the user's own, and still have no business with scripts. Pictures carry their styles.
_DOCUMENT_POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# A mail is shown in a frame without scripts, forms or an origin; it may carry styles, and links open in a new window.
_MAIL_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    "; form-action 'none'; frame-ancestors 'self'"
)


def application(arrivals: Arrivals, docs: Path | None = None) -> Starlette:
    """The inbox over ``arrivals``; ``docs`` is a folder of Markdown files that runbook links lead into."""
    views = _Views(arrivals, docs)
    return Starlette(
        routes=[
            Route("/", views.page),
            Route("/messages", views.messages),
            Route("/mails/{number:int}", views.one_mail),
            Route("/docs/{path:path}", views.document),
            Route("/-/ready", views.ready),
            Route("/slack", views.slack, methods=["POST"]),
            Route("/v2/enqueue", views.pagerduty, methods=["POST"]),
            Route("/watchdog", views.watchdog, methods=["POST"]),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ]
    )


class _Views:
    """The routes."""

    def __init__(self, arrivals: Arrivals, docs: Path | None) -> None:
        self._arrivals = arrivals
        self._docs = docs.resolve() if docs else None

    async def page(self, request: Request) -> Response:
        """The page; it asks for messages by itself."""
        return FileResponse(_STATIC / "index.html", headers={"Content-Security-Policy": _PAGE_POLICY, **_SAFE})

    async def messages(self, request: Request) -> Response:
        """Everything after message number ``seen``; incidents whole if any of their events came after it."""
        try:
            seen = int(request.query_params.get("seen", "0"))
        except ValueError:
            raise HTTPException(400, "seen must be a number") from None
        kept = self._arrivals.all()
        incidents = pagerduty.incidents(one for one in kept if one.channel == "pagerduty")
        return JSONResponse(
            {
                "started": self._arrivals.started,
                "newest": kept[-1].number if kept else 0,
                "oldest": kept[0].number if kept else 0,
                "heartbeat": self._arrivals.heartbeat,
                "slack": [
                    {"number": one.number, "at": one.at, "attachments": one.content}
                    for one in kept
                    if one.channel == "slack" and one.number > seen
                ],
                "pagerduty": [incident for incident in incidents if incident["number"] > seen],
                "mail": [
                    {"number": one.number, "at": one.at, **{k: v for k, v in one.content.items() if k != "html"}}
                    for one in kept
                    if one.channel == "mail" and one.number > seen
                ],
            },
            headers={"Cache-Control": "no-store", **_SAFE},
        )

    async def one_mail(self, request: Request) -> Response:
        """The content of a mail, for a frame of the page."""
        arrival = self._arrivals.get(request.path_params["number"])
        if arrival is None or arrival.channel != "mail":
            raise HTTPException(404, "This mail is not kept.")
        return HTMLResponse(mail.document(arrival.content), headers={"Content-Security-Policy": _MAIL_POLICY, **_SAFE})

    async def document(self, request: Request) -> Response:
        """A Markdown file as a page, or a picture of one."""
        if self._docs is None:
            raise HTTPException(404, "The inbox was started without --docs.")
        path = (self._docs / request.path_params["path"]).resolve()
        if not path.is_relative_to(self._docs) or path.suffix not in (".md", ".svg") or not path.is_file():
            raise HTTPException(404, "There is no such page.")
        headers = {"Content-Security-Policy": _DOCUMENT_POLICY, **_SAFE}
        if path.suffix == ".svg":
            return FileResponse(path, headers=headers)
        return HTMLResponse(documents.page(path), headers=headers)

    async def ready(self, request: Request) -> Response:
        """Answers as soon as the inbox does."""
        return PlainTextResponse("ready\n")

    async def slack(self, request: Request) -> Response:
        """Slack's incoming webhook."""
        try:
            self._arrivals.add("slack", slack.message(await _json(request)))
        except slack.Refused as error:
            return PlainTextResponse(str(error), 400)
        return PlainTextResponse("ok")

    async def pagerduty(self, request: Request) -> Response:
        """PagerDuty's Events API v2."""
        try:
            event = pagerduty.event(await _json(request))
        except pagerduty.Refused as error:
            answer = {"status": "invalid event", "message": "Event object is invalid", "errors": [str(error)]}
            return JSONResponse(answer, 400)
        self._arrivals.add("pagerduty", event)
        answer = {"status": "success", "message": "Event processed", "dedup_key": event["dedup_key"]}
        return JSONResponse(answer, 202)

    async def watchdog(self, request: Request) -> Response:
        """A dead man's switch, without the alarm."""
        await _body(request)
        self._arrivals.beat()
        return PlainTextResponse("OK")


_SAFE = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


async def _json(request: Request) -> Any:
    """Body as JSON; None when it is none, which no service takes."""
    try:
        return json.loads(await _body(request), parse_constant=_refuse)
    except ValueError:
        return None


def _refuse(name: str) -> Iterator[None]:
    """NaN and the like are no JSON, and the browser could not read them back."""
    raise ValueError(f"{name} is no JSON")


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BYTES:
            raise HTTPException(413, f"larger than {LARGEST_BYTES} bytes")
    return body
