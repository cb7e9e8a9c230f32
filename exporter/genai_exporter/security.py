"""The web configuration in force: read again when its files change, so that a renewed certificate needs no restart.

As the exporter-toolkit does, the file and the certificates are looked at for every connection and request, here in
a thread. What cannot be used (a certificate whose key is not yet written) leaves in force what was before.
"""

import asyncio
import hashlib
import logging
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from genai_exporter import webconfig
from genai_exporter.tlscontext import make_context
from genai_exporter.webconfig import WebConfig
from genai_metrics.yamlfile import MAX_BYTES
from genai_metrics.yamlvalues import YamlError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InForce:
    """A web configuration, the TLS context made from it (None without TLS), and digests of the files it came from."""

    config: WebConfig
    context: ssl.SSLContext | None
    file: bytes | None = None
    named: tuple[bytes | None, ...] = ()


class Security:
    """The web configuration of one exporter; ``current`` may be called from any event loop.

    Making one reads the file and raises ``YamlError`` when it cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._complaint: str | None = None
        self._in_force: InForce | None = None
        self._in_force = self._read()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="web-config")

    @property
    def has_tls(self) -> bool:
        """Whether the listeners speak TLS; never changes."""
        return self._in_force is not None and self._in_force.context is not None

    async def current(self) -> InForce:
        """What the files say now, or said when they could be used last; looks at them in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._refresh)

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _refresh(self) -> InForce:
        assert self._in_force is not None
        try:
            self._in_force = self._read()
        except YamlError as error:
            if str(error) != self._complaint:
                log.error("web configuration not taken over, the old one stays", extra={"fields": {"error": error}})
            self._complaint = str(error)
        return self._in_force

    def _read(self) -> InForce:
        """Return what the files say; what is in force itself if they have not changed."""
        before = self._in_force
        # Digests come first: what changes while it is read is read again the next time.
        file = _digest(self._path)
        config = before.config if before is not None and before.file == file else webconfig.read(self._path)
        pems = [] if config.tls is None else [config.tls.cert, config.tls.key, config.tls.client_ca]
        named = tuple(_digest(pem.path) for pem in pems if pem is not None and pem.path is not None)
        if before is not None and (before.file, before.named) == (file, named):
            return before
        if before is not None and (before.context is None) != (config.tls is None):
            raise YamlError(f"{self._path}: TLS is switched on and off by a restart only; restart the exporter")
        if before is not None and before.config.users and not config.users:
            # A file that is being written, or was cut off, must not open the door.
            raise YamlError(f"{self._path}: no users are left; to serve without passwords, restart the exporter")
        context = None if config.tls is None else make_context(config.tls)
        self._complaint = None
        if before is not None:
            log.info("web configuration taken over", extra={"fields": {"file": self._path}})
        elif config.wants_http2:
            log.warning("HTTP/2 is not offered, clients use HTTP/1.1", extra={"fields": {"file": self._path}})
        return InForce(config, context, file, named)


def _digest(path: Path) -> bytes | None:
    """Hash a file's content, the only thing that tells every change; None if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.sha256(file.read(MAX_BYTES)).digest()
    except OSError:
        return None
