"""Sockets, signals and the web server: from an address to a served application, and to a clean end."""

import contextlib
import errno
import logging
import os
import signal
import socket
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from genai_exporter.config import Address, UnixAddress
from genai_exporter.connections import ServingConfig
from genai_exporter.guard import Guard
from genai_exporter.limits import Limits
from genai_exporter.security import Security

log = logging.getLogger(__name__)

# Below the 10 s that container engines leave between SIGTERM and SIGKILL.
_GRACE_SECONDS = 5

_REMEDIES = {
    errno.EADDRINUSE: "address already in use; stop the program that listens there or choose another address",
    errno.EADDRNOTAVAIL: "not an address of this machine; use one of its own, or :PORT for all interfaces",
    errno.EACCES: "not permitted; choose a port from 1024 on",
}
_UNIX_REMEDIES = {
    errno.EADDRINUSE: "a program listens there; stop it or choose another path",
    errno.ENOENT: "its folder does not exist; make it, or choose another path",
    errno.EACCES: "not permitted; choose a folder that this user may write to",
    errno.EEXIST: "there is a file that is not a socket; remove it or choose another path",
}
# Connecting takes write permission: for our user, and for the group that a proxy shares with it, and nobody else.
_UNIX_UMASK = 0o117


class ListenError(Exception):
    """The address cannot be listened on; the text names it, the reason and the remedy."""


@contextlib.contextmanager
def listening(addresses: Sequence[Address | UnixAddress]) -> Iterator[list[socket.socket]]:
    """Listen on all addresses, or raise ``ListenError``; at the end close them and remove Unix sockets."""
    with contextlib.ExitStack() as stack:
        listeners = []
        for address in addresses:
            listeners.append(stack.enter_context(contextlib.closing(listen(address))))
            if isinstance(address, UnixAddress):
                stack.callback(_remove, address.path, os.stat(address.path).st_ino)
        yield listeners


def listen(address: Address | UnixAddress) -> socket.socket:
    """Return a socket that listens on ``address``: IPv4 and IPv6 where it names all interfaces.

    A name with several addresses means its first IPv4 one. A Unix socket that nobody listens on any more is
    replaced. Raises ``ListenError``.
    """
    if isinstance(address, UnixAddress):
        return _listen_unix(address)
    try:
        if not address.host:
            return _undelayed(_listen_everywhere(address.port))
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        family, _, _, _, name = min(found, key=lambda info: info[0] != socket.AF_INET)
        return _undelayed(socket.create_server(name, family=family))
    except socket.gaierror as error:
        raise ListenError(
            f"cannot listen on {address}: no such host ({error.strerror}); give an IP address of this machine"
        ) from error
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, error.strerror or str(error))
        raise ListenError(f"cannot listen on {address}: {remedy}") from error


def url(listener: socket.socket, scheme: str = "http") -> str:
    """Where a browser on this machine reaches ``listener`` (all interfaces: their wildcard address)."""
    if listener.family == socket.AF_UNIX:
        return str(UnixAddress(Path(listener.getsockname())))
    host, port = listener.getsockname()[:2]
    return f"{scheme}://{Address(host, port)}"


def end_on_signals() -> None:
    """Let SIGTERM and SIGINT end this process with exit code 0, through ``SystemExit``; main thread only."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)


def run(app: ASGIApp, listeners: list[socket.socket], security: Security | None = None) -> None:
    """Serve ``app`` until SIGTERM or SIGINT, then answer what is being answered (5 s at most) and return.

    The signal is raised again at the end, so the handlers that were there before see it too.
    """
    server = Server(app, security)
    with contextlib.closing(server):
        server.run(sockets=listeners)


class Server(uvicorn.Server):
    """Serves an application, guarded and within limits; says in the log when it answers, and where."""

    def __init__(self, app: ASGIApp, security: Security | None = None, limits: Limits | None = None) -> None:
        self._guard = Guard(app, security)
        self._scheme = "https" if security is not None and security.has_tls else "http"
        config = ServingConfig(
            self._guard,
            security,
            limits or Limits(),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        # What a client does wrong is answered, not logged: it would fill the log of whoever is scanned.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        await super().startup(sockets)
        for listener in sockets or ():
            log.info("listening on %s", url(listener, self._scheme))

    def close(self) -> None:
        """Let go of what the server held; call it after ``run``."""
        self._guard.close()


def _undelayed(listener: socket.socket) -> socket.socket:
    """Have connections send what they have at once.

    asyncio does so by itself only for sockets that name their protocol. Without it the end of an answer waits for the
    client's acknowledgement of its beginning, which takes 40 ms on a connection that is kept alive.
    """
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _listen_everywhere(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as error:
            # IPv6 can be compiled in and yet switched off, as in many containers.
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise
    return socket.create_server(("", port))


def _listen_unix(address: UnixAddress) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    try:
        _remove_stale(address.path)
        # So it is never open to others, not even for a moment; no other thread makes files yet.
        umask = os.umask(_UNIX_UMASK)
        try:
            listener.bind(str(address.path))
        finally:
            os.umask(umask)
        listener.listen()
    except OSError as error:
        listener.close()
        remedy = _UNIX_REMEDIES.get(error.errno or 0, error.strerror or str(error))
        raise ListenError(f"cannot listen on {address}: {remedy}") from error
    return listener


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens on; raises ``OSError`` for anything else that is there."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "not a socket", str(path))
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)  # a listener with a full backlog is one all the same
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, "in use", str(path))


def _remove(path: Path, inode: int) -> None:
    with contextlib.suppress(OSError):
        if path.lstat().st_ino == inode:
            path.unlink()


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
