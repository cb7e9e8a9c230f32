"""Block files that somebody else put into a metrics directory, and the series in which a sound one shows."""

import struct

from genai_metrics.blockfile import header_size, pack_block, pack_header
from genai_metrics.catalog import TENANT_REQUESTS

GOOD = 'genai_tenant_requests_total{service="service",tenant="good",mode="m"}'


def block_file(tenant: str, calls: float = 1.0, token: bytes = b"t" * 16, used: int | None = None) -> bytes:
    """A sound file of a dead process with some requests of one tenant; ``used`` may lie."""
    body = pack_block(TENANT_REQUESTS.layout_id, f"{tenant}\0m".encode(), 1) + struct.pack("=d", calls)
    size = header_size("service")
    used = size + len(body) if used is None else used
    return pack_header(used=used, size=size, pid=7, start_time=1.0, token=token, service="service") + body
