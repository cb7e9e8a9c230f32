"""``/metrics`` for applications that serve themselves: an ASGI and a WSGI application that stream.

They render this process's own blocks, then whatever else is in the prometheus_client registry, in small chunks: an
asyncio loop is never held up for long, whatever the number of series. Imports runtime, exposition, prometheus_client.
"""

import logging
import types
import zlib
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, MutableMapping
from functools import partial
from itertools import chain
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Metric
from prometheus_client.exposition import generate_latest as encode_text
from prometheus_client.openmetrics.exposition import ALLOWUTF8
from prometheus_client.openmetrics.exposition import generate_latest as encode_openmetrics

from genai_metrics import runtime
from genai_metrics.births import BORN_AT_ZERO_SECONDS, Births
from genai_metrics.blocks import Block
from genai_metrics.catalog import EXEMPLAR_KINDS, BlockKind, MetricSpec
from genai_metrics.exemplars import OfBlock, unpacked
from genai_metrics.exposition import Row, label_text, own_blocks, own_exemplar_blocks, render, shown_elsewhere
from genai_metrics.negotiation import OPENMETRICS_TYPE, TEXT_TYPE, accepts_gzip, allows_utf8, prefers_openmetrics
from genai_metrics.selection import PARAMETER, is_selected, selected

logger = logging.getLogger("genai_metrics")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]
WsgiApp = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]
Encoder = Callable[[Any], bytes]
Names = frozenset[str] | None

_READ_AT_ONCE = 256
_UNPACKED_AT_ONCE = 16
_METHODS = "GET, HEAD"
_PLAIN = ("Content-Type", "text/plain; charset=utf-8")


def asgi_app(
    path: str = "/metrics",
    *,
    registry: CollectorRegistry = REGISTRY,
    born_at_zero_seconds: float = BORN_AT_ZERO_SECONDS,
) -> AsgiApp:
    """Return an ASGI application that serves this process's metrics at ``path`` or wherever it is mounted.

    Answers GET and HEAD (405 to other methods, 404 elsewhere), in the text format or OpenMetrics as the client prefers,
    gzip-compressed if it accepts that. ``born_at_zero_seconds``: how long a new series is shown as 0 first; set it to
    more than your scrape interval. A failing collector of ``registry`` is logged and ends that part alone. The query
    ``name[]=NAME``, once or more, asks for some families or samples alone.

    With a metrics directory the exporter serves the application's metrics, and only the rest of ``registry`` is shown.
    """
    endpoint = _Endpoint(registry, born_at_zero_seconds)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"metrics are served over HTTP, not {scope['type']}")
        headers = {"accept": "", "accept-encoding": ""}
        for raw_name, value in scope["headers"]:
            name = raw_name.decode("latin-1").lower()
            if name in headers:  # a header may come in several lines, which count as one list
                headers[name] += value.decode("latin-1") + ","
        mount = scope.get("root_path", "")
        status, head, chunks = endpoint.respond(
            scope["method"],
            scope["path"].removeprefix(mount),
            path,
            bool(mount),
            headers,
            _names(scope.get("query_string", b"").decode("latin-1")),
        )
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(name.lower().encode(), value.encode()) for name, value in head],
            }
        )
        for chunk in chunks:
            if chunk:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            # Servers' send() need not give way to other tasks.
            await _give_way()
        await send({"type": "http.response.body", "body": b""})

    return app


def wsgi_app(
    path: str = "/metrics",
    *,
    registry: CollectorRegistry = REGISTRY,
    born_at_zero_seconds: float = BORN_AT_ZERO_SECONDS,
) -> WsgiApp:
    """Return a WSGI application that serves this process's metrics; as ``asgi_app`` in everything else."""
    endpoint = _Endpoint(registry, born_at_zero_seconds)

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        headers = {
            "accept": environ.get("HTTP_ACCEPT", ""),
            "accept-encoding": environ.get("HTTP_ACCEPT_ENCODING", ""),
        }
        mounted = bool(environ.get("SCRIPT_NAME"))
        status, head, chunks = endpoint.respond(
            environ["REQUEST_METHOD"],
            environ.get("PATH_INFO", ""),
            path,
            mounted,
            headers,
            _names(environ.get("QUERY_STRING", "")),
        )
        start_response(f"{status} {_REASONS[status]}", head)
        return (chunk for chunk in chunks if chunk)

    return app


_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed"}


class _Endpoint:
    """What both applications share: from a request to a status, headers and chunks (some of them empty)."""

    def __init__(self, registry: CollectorRegistry, born_at_zero_seconds: float) -> None:
        self._registry = registry
        self._births = Births(born_at_zero_seconds)
        self._labels: dict[Block, str] = {}
        # First seen by somebody who asked for some metrics alone: their metrics are born each in its own time.
        self._in_parts: set[Block] = set()

    def respond(
        self, method: str, path: str, own_path: str, mounted: bool, headers: dict[str, str], names: Names
    ) -> tuple[int, list[tuple[str, str]], Iterator[bytes]]:
        if path != own_path and not (mounted and path in ("", "/")):
            return 404, [_PLAIN], iter(() if method == "HEAD" else (b"Not found\n",))
        if method not in ("GET", "HEAD"):
            return 405, [_PLAIN, ("Allow", _METHODS)], iter((f"Only {_METHODS}\n".encode(),))
        openmetrics = prefers_openmetrics(headers["accept"])
        content_type, encode = _openmetrics(headers["accept"]) if openmetrics else (TEXT_TYPE, encode_text)
        head = [("Content-Type", content_type), ("Vary", "Accept, Accept-Encoding")]
        zipped = accepts_gzip(headers["accept-encoding"])
        if zipped:
            head.append(("Content-Encoding", "gzip"))
        if method == "HEAD":
            return 200, head, iter(())
        chunks = self._exposition(encode, names, openmetrics=openmetrics)
        return 200, head, _gzip(chunks) if zipped else chunks

    def _exposition(self, encode: Encoder, names: Names, *, openmetrics: bool) -> Iterator[bytes]:
        rows: dict[BlockKind, list[Row]] = {}
        exemplars: dict[MetricSpec, dict[str, OfBlock]] = {}
        recorder = runtime.existing_recorder()
        if recorder is not None:
            read = 0
            for kind, blocks in own_blocks(recorder).items():
                metrics = [i for i, metric in enumerate(kind.metrics) if names is None or is_selected(metric, names)]
                of_kind = rows[kind] = []
                for block in blocks if metrics else ():
                    of_kind.append((self._label_text(recorder.service, block), self._values(block, metrics)))
                    read += 1
                    if read % _READ_AT_ONCE == 0:
                        yield b""
            for kind in EXEMPLAR_KINDS if openmetrics else ():
                for read, block in enumerate(own_exemplar_blocks(recorder, kind)):
                    labels = self._label_text(recorder.service, block)
                    exemplars.setdefault(kind.metrics[0], {})[labels] = unpacked(kind, block.read())
                    if read % _UNPACKED_AT_ONCE == 0:
                        yield b""
        chunks = chain(render(rows, openmetrics=openmetrics, exemplars=exemplars), self._others(encode))
        yield from chunks if names is None else selected(chunks, names)
        if openmetrics:
            yield b"# EOF\n"

    def _label_text(self, service: str, block: Block) -> str:
        labels = self._labels.get(block)
        if labels is None:
            labels = self._labels[block] = label_text(service, block.kind.labels, block.key)
        return labels

    def _values(self, block: Block, metrics: list[int]) -> list[float]:
        """Return the values of a block as they may be shown, when the metrics of these indices are."""
        if block.kind.merge != "sum":
            return block.read()
        whole = len(metrics) == len(block.kind.metrics) or self._births.has_begun(block)
        if whole and block not in self._in_parts:
            return block.read() if self._births.may_show(block) else [0.0] * block.kind.slots
        self._in_parts.add(block)
        values = block.read()
        for i, (metric, offset) in enumerate(block.kind.layout()):
            if i not in metrics or not self._births.may_show((block, i)):
                values[offset : offset + metric.slots] = [0.0] * metric.slots
        return values

    def _others(self, encode: Encoder) -> Iterator[bytes]:
        """Yield the rest of the registry, a family a chunk."""
        token = shown_elsewhere.set(True)
        families = iter(self._registry.collect())
        shown_elsewhere.reset(token)
        while True:
            # Set around each step only: between steps the caller's context is somebody else's.
            token = shown_elsewhere.set(True)
            try:
                family = next(families, None)
            except Exception:
                logger.exception(
                    "genai_metrics: a prometheus_client collector failed; what it had left is missing from the scrape"
                )
                return
            finally:
                shown_elsewhere.reset(token)
            if family is None:
                return
            try:
                text = encode(_OneFamily(family))
            except Exception:  # a value that is no number, text that cannot be encoded
                logger.exception("genai_metrics: the metric %s cannot be shown", family.name)
            else:
                yield text.removesuffix(b"# EOF\n")


class _OneFamily:
    """As much of a registry as prometheus_client's encoders ask for."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return (self._family,)


def _names(query: str) -> Names:
    """Return the names that a query asks for, ``None`` when it asks for all."""
    if PARAMETER not in query and "%5b" not in query.lower():
        return None
    from urllib.parse import parse_qs  # for the few who ask

    names = parse_qs(query, keep_blank_values=True).get(PARAMETER)
    return None if names is None else frozenset(names)


def _openmetrics(accept: str) -> tuple[str, Encoder]:
    """Return the content type, and prometheus_client's encoder for families that are not ours."""
    if allows_utf8(accept):
        return f"{OPENMETRICS_TYPE}; escaping={ALLOWUTF8}", partial(encode_openmetrics, escaping=ALLOWUTF8)
    return OPENMETRICS_TYPE, encode_openmetrics


def _gzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    # Level 6 takes three times as long for hardly less.
    packer = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    for chunk in chunks:
        yield packer.compress(chunk)
    yield packer.flush()


@types.coroutine
def _give_way() -> Generator[None, None, None]:
    """Let other tasks run: ``asyncio.sleep(0)``, without the 13 ms that importing asyncio takes."""
    yield


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
