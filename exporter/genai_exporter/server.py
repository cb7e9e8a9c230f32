"""Sockets, signals and the web server: from an address to a served application, and to a clean end."""

import errno
import logging
import signal
import socket
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from genai_exporter.config import Address

log = logging.getLogger(__name__)

# Below the 10 s that container engines leave between SIGTERM and SIGKILL.
_GRACE_SECONDS = 5

_REMEDIES = {
    errno.EADDRINUSE: "address already in use; stop the program that listens there or choose another address",
    errno.EADDRNOTAVAIL: "not an address of this machine; use one of its own, or :PORT for all interfaces",
    errno.EACCES: "not permitted; choose a port from 1024 on",
}


class ListenError(Exception):
    """The address cannot be listened on; the text names it, the reason and the remedy."""


def listen(address: Address) -> socket.socket:
    """Return a socket that listens on ``address``: IPv4 and IPv6 where it names all interfaces.

    A name with several addresses means its first IPv4 one. Raises ``ListenError``.
    """
    try:
        if not address.host:
            return _listen_everywhere(address.port)
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        family, _, _, _, name = min(found, key=lambda info: info[0] != socket.AF_INET)
        return socket.create_server(name, family=family)
    except socket.gaierror as error:
        raise ListenError(
            f"cannot listen on {address}: no such host ({error.strerror}); give an IP address of this machine"
        ) from error
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, error.strerror or str(error))
        raise ListenError(f"cannot listen on {address}: {remedy}") from error


def url(listener: socket.socket) -> str:
    """Where a browser on this machine reaches ``listener`` (all interfaces: their wildcard address)."""
    host, port = listener.getsockname()[:2]
    return f"http://{Address(host, port)}"


def end_on_signals() -> None:
    """Let SIGTERM and SIGINT end this process with exit code 0, through ``SystemExit``; main thread only."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)


def run(app: Starlette, listener: socket.socket) -> None:
    """Serve ``app`` until SIGTERM or SIGINT, then answer what is being answered (5 s at most) and return.

    The signal is raised again at the end, so the handlers that were there before see it too.
    """
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    _Server(config).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Says in the log when it answers, and where."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        for listener in sockets or ():
            log.info("listening on %s", url(listener))


def _listen_everywhere(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as error:
            # IPv6 can be compiled in and yet switched off, as in many containers.
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise
    return socket.create_server(("", port))


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
