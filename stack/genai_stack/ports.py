"""Which loopback ports a native run listens on."""

import errno
import socket
from collections.abc import Iterable

PAGES = {"exporter": 9840, "prometheus": 9090, "alertmanager": 9093, "grafana": 3000, "inbox": 8025}
"""The ports that people open in a browser; Docker Compose publishes them too."""

DEFAULT_PORTS = {**PAGES, "inbox_smtp": 1025, "llm": 8100, "rag": 8200}
"""All ports of a native run."""

HOST = "127.0.0.1"
"""Only this machine can reach a native run."""


def is_free(port: int) -> bool:
    """Whether a server could listen on the loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def choose(names: Iterable[str], offset: int = 0, any_free: bool = False) -> tuple[dict[str, int], list[str]]:
    """Ports by service name, and a line for each that is not its default because that one is taken.

    ``offset`` is added to each default; ``any_free`` takes free ports throughout. ``ValueError`` when an
    offset leads outside 1-65535.
    """
    ports: dict[str, int] = {}
    notes: list[str] = []
    for name in names:
        wanted = DEFAULT_PORTS[name] + offset
        if not 0 < wanted < 65536:
            raise ValueError(f"--port-offset {offset} puts {name} on port {wanted}; ports are 1 to 65535")
        if any_free:
            ports[name] = _unused()
        elif is_free(wanted):
            ports[name] = wanted
        else:
            ports[name] = _unused()
            notes.append(f"Port {wanted} is taken: {name} listens on {ports[name]} instead.")
    return ports, notes


def _unused() -> int:
    """Port that is free now, chosen by the kernel."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
