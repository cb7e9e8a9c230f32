"""The exporter with TLS and a password on the loop that is measured, and a client in another process."""

import asyncio
import sys
import tempfile
from pathlib import Path

import bcrypt
import trustme

import genai_metrics
from benchmarks.dataset import record_ours
from genai_exporter.aggregate import Applications
from genai_exporter.collectors.frame import Frame
from genai_exporter.config import Address, Config
from genai_exporter.reload import Reloader
from genai_exporter.security import Security
from genai_exporter.server import Server, listen
from genai_exporter.web import create_app

USER, PASSWORD = "benchmark", "secret"

# Fetches an address without compression, which is what lasts longest under TLS, and prints the size.
CLIENT = """
import ssl, sys, urllib.request
url, authority, login = sys.argv[1:]
request = urllib.request.Request(url, headers={"Authorization": login})
with urllib.request.urlopen(request, timeout=60, context=ssl.create_default_context(cafile=authority)) as answer:
    print(sum(map(len, iter(lambda: answer.read(65536), b""))))
"""


class SecuredExporter:
    """Serves ``tuples`` label tuples from the first ``scrape`` on, until the process ends."""

    def __init__(self, tuples: int) -> None:
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        genai_metrics.configure(service_name="benchmark", metrics_dir=folder / "metrics")
        record_ours(0, tuples)
        authority = trustme.CA()
        self._authority = str(folder / "authority.pem")
        authority.cert_pem.write_to_path(self._authority)
        (folder / "server.pem").write_bytes(authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes())
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()
        (folder / "web.yml").write_text(
            "tls_server_config: {cert_file: server.pem, key_file: server.pem}\n"
            f"basic_auth_users: {{{USER}: {hashed}}}\n"
        )
        applications = Applications(folder / "metrics", born_at_zero_seconds=0)
        applications.open()
        app = create_app(applications, directory=folder, reloader=Reloader(Config, Config()), frame=Frame(()))
        self._server = Server(app, Security(folder / "web.yml"))
        self._listener = listen(Address("127.0.0.1", 0))
        self._serving: asyncio.Task[None] | None = None

    async def scrape(self) -> None:
        """Have the client make one scrape."""
        if self._serving is None:
            self._serving = asyncio.ensure_future(self._server.serve(sockets=[self._listener]))
        url = f"https://127.0.0.1:{self._listener.getsockname()[1]}/metrics"
        login = "Basic YmVuY2htYXJrOnNlY3JldA=="  # USER:PASSWORD
        client = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CLIENT, url, self._authority, login), stdout=asyncio.subprocess.PIPE
        )
        output, _ = await client.communicate()
        if client.returncode or int(output) < 1_000_000:
            raise RuntimeError(f"the exporter answered {output.decode().strip() or 'nothing'} bytes")
