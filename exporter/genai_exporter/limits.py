"""What one client may take from the exporter: time, size and number, and how that is checked while HTTP is parsed."""

import http
from dataclasses import dataclass

import h11


@dataclass(frozen=True)
class Limits:
    """Limits of connections and requests; times in seconds, sizes in bytes.

    ``connections``: open at once, on all listeners together. ``handshake_seconds``: for TLS. ``head_seconds``: from
    the connection, or the first byte of a later request, to the end of the request's head. ``idle_seconds``: between
    requests; more than the usual scrape intervals, so that Prometheus keeps its connection. ``write_seconds``: from
    when the client no longer keeps up to the end of the answer. ``close_seconds``: for the client to close its side.
    ``target_bytes``: path and query. ``head_bytes`` and ``head_fields``: request line and headers. ``body_bytes``: no
    endpoint reads a body; a small one is let pass.
    """

    connections: int = 512
    handshake_seconds: float = 10
    head_seconds: float = 10
    idle_seconds: int = 75
    write_seconds: float = 30
    close_seconds: float = 2
    target_bytes: int = 8 * 1024
    head_bytes: int = 16 * 1024
    head_fields: int = 100
    body_bytes: int = 1024


class Parser(h11.Connection):
    """Parses requests and refuses those beyond the limits.

    ``status`` is what to answer after an ``h11.RemoteProtocolError``.
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size=limits.head_bytes)
        self._limits = limits
        self.status = http.HTTPStatus.BAD_REQUEST

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return the next event; raises ``h11.RemoteProtocolError`` for what is not HTTP, or too much of it."""
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            self.status = http.HTTPStatus(error.error_status_hint)
            # More than a whole head without a line feed: it is the request line that does not end.
            if self.status == http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE and b"\n" not in self.trailing_data[0]:
                self.status = http.HTTPStatus.REQUEST_URI_TOO_LONG
            raise
        if isinstance(event, h11.Request):
            self._check(event)
        return event

    def _check(self, request: h11.Request) -> None:
        headers = request.headers.raw_items()
        if len(request.target) > self._limits.target_bytes:
            self._refuse(http.HTTPStatus.REQUEST_URI_TOO_LONG)
        size = len(request.target) + sum(len(name) + len(value) for name, value in headers)
        if len(headers) > self._limits.head_fields or size > self._limits.head_bytes:
            self._refuse(http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        for name, value in request.headers:
            # h11 has made sure that the length is a number. A body of unknown length may be of any.
            unbounded = name == b"transfer-encoding"
            if unbounded or (name == b"content-length" and int(value) > self._limits.body_bytes):
                self._refuse(http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    def _refuse(self, status: http.HTTPStatus) -> None:
        self.status = status
        raise h11.RemoteProtocolError(status.phrase, error_status_hint=status)
