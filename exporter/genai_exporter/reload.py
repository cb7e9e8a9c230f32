"""Taking over a changed configuration file while the exporter runs: all of it, or nothing.

Knows nothing of HTTP; what a setting does is for the functions that it is given. Imports ``config``.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from genai_exporter.config import Config
from genai_metrics.yamlvalues import YamlError

log = logging.getLogger(__name__)

FIXED = {
    "metrics_dir": "metrics_dir",
    "metrics_dir_shared": "metrics_dir_shared",
    "listen_addresses": "web.listen_address",
    "web_config_file": "web.config_file",
}
"""Settings that are what they were at the start, and what a configuration file calls them."""


@dataclass(frozen=True)
class ReloadState:
    """Whether the last attempt to read the configuration succeeded, and the Unix time of the last that did."""

    successful: bool
    succeeded_at: float


class Reloader:
    """Reads the configuration again and hands it on; any thread, one at a time.

    ``load`` reads it as at the start, options included, and raises ``YamlError``. ``current`` is what it returned
    then. ``apply``: functions that take over what they need of a new one, without raising; called in order, in the
    thread that reloads.
    """

    def __init__(
        self, load: Callable[[], Config], current: Config, apply: Sequence[Callable[[Config], None]] = ()
    ) -> None:
        self._load = load
        self._current = current
        self._apply = apply
        self._lock = threading.Lock()
        self.state = ReloadState(True, time.time())
        """How the last attempt went; the start counts as one."""

    def reload(self) -> str | None:
        """Take over the configuration as it is now, or keep the old one; returns the reason for the latter."""
        with self._lock:
            try:
                new = self._load()
            except YamlError as error:
                return self._refuse(str(error))
            for name, key in FIXED.items():
                if getattr(new, name) != getattr(self._current, name):
                    return self._refuse(f"{key} cannot change while the exporter runs: change it back, or restart it")
            for take_over in self._apply:
                take_over(new)
            self._current = new
            self.state = ReloadState(True, time.time())
            log.info("configuration reloaded")
            return None

    def _refuse(self, reason: str) -> str:
        self.state = ReloadState(False, self.state.succeeded_at)
        log.error("configuration not reloaded, the old one is kept", extra={"fields": {"error": reason}})
        return reason


def hold_hangups() -> None:
    """Have SIGHUP wait for ``reload_on_hangup`` instead of ending the process; before any thread is started."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def reload_on_hangup(reloader: Reloader) -> None:
    """Reload at each SIGHUP, in a thread of its own, which ends with the process."""

    def wait() -> None:
        # Not a handler: it would interrupt the event loop anywhere, and reading files would hold it up.
        while True:
            signal.sigwait({signal.SIGHUP})
            reloader.reload()

    threading.Thread(target=wait, name="reload", daemon=True).start()
