"""A real Prometheus scrapes a secured exporter: TLS with a password, and client certificates."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import trustme
from servers import Prometheus, end, free_port, get, prometheus, wait_for

RECORD = """
import sys
from genai_metrics import configure, track_llm_call
configure(metrics_dir=sys.argv[1], service_name="chat")
for _ in range(3):
    track_llm_call(model="some-model", provider="openai")
"""


def write_pair(folder: Path, name: str, cert: trustme.LeafCert) -> None:
    """Write a certificate and its key."""
    (folder / f"{name}.crt").write_bytes(b"".join(blob.bytes() for blob in cert.cert_chain_pems))
    (folder / f"{name}.key").write_bytes(cert.private_key_pem.bytes())


@contextmanager
def secured(folder: Path, name: str, web_config: str) -> Iterator[int]:
    """Run an exporter with that web configuration over a metrics directory with three calls; yields its port."""
    metrics_dir = folder / f"{name}-metrics"
    subprocess.run([sys.executable, "-c", RECORD, str(metrics_dir)], check=True, timeout=60)
    path = folder / f"{name}.yml"
    path.write_text(web_config)
    port = free_port()
    command = [
        *(sys.executable, "-m", "genai_exporter", "serve", "--metrics-dir", str(metrics_dir)),
        *("--web.listen-address", f"127.0.0.1:{port}", "--web.config.file", str(path), "--born-at-zero-seconds", "0"),
    ]
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_for(f"{name} listens", lambda: f"listening on https://127.0.0.1:{port}" in log.read_text())
        yield port
    finally:
        assert end(process) == 0, log.read_text()
    assert "level=error" not in log.read_text()


def errors(database: Prometheus) -> dict[str, str]:
    """Last scrape error of each job."""
    targets = json.loads(get(f"{database.url}/api/v1/targets"))["data"]["activeTargets"]
    return {target["labels"]["job"]: target["lastError"] for target in targets}


def test_prometheus_scrapes_with_password_and_with_certificate(tmp_path: Path) -> None:
    """What has the right password or certificate is scraped; what has not is down, and Prometheus says why."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    write_pair(tmp_path, "server", ca.issue_cert("127.0.0.1"))
    write_pair(tmp_path, "prometheus", ca.issue_cert("prometheus.example"))
    write_pair(tmp_path, "stranger", ca.issue_cert("stranger.example"))
    tls = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
    users = f"basic_auth_users:\n  prometheus: {bcrypt.hashpw(b'correct horse', bcrypt.gensalt(10)).decode()}\n"
    mutual = (
        "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n"
        "  client_allowed_sans: [prometheus.example]\n"
    )
    jobs = ""

    def scrape(job: str, port: int, login: str = "", cert: str = "") -> None:
        nonlocal jobs
        pair = f", cert_file: {tmp_path}/{cert}.crt, key_file: {tmp_path}/{cert}.key" if cert else ""
        jobs += (
            f"  - job_name: {job}\n    scheme: https\n    static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
            f"    tls_config: {{ca_file: {tmp_path}/ca.crt{pair}}}\n"
        )
        if login:
            jobs += f"    basic_auth: {{username: prometheus, password: {login}}}\n"

    with (
        secured(tmp_path, "password", tls + users) as with_password,
        secured(tmp_path, "mutual", tls + mutual) as with_certificate,
    ):
        scrape("password", with_password, login="correct horse")
        scrape("wrong-password", with_password, login="incorrect")
        scrape("no-password", with_password)
        scrape("certificate", with_certificate, cert="prometheus")
        scrape("no-certificate", with_certificate)
        scrape("stranger", with_certificate, cert="stranger")
        with prometheus(tmp_path / "database", {}, config=jobs) as database:
            wait_for("all six jobs", lambda: len(database.query("up")) == 6)
            for job in ("password", "certificate"):
                calls = f'genai_llm_calls_total{{job="{job}"}}'
                assert wait_for(job, lambda calls=calls: database.value(calls)) == 3.0
                assert database.value(f'up{{job="{job}"}}') == 1.0
            down = database.query("up == 0")
            found = errors(database)
    assert len(down) == 4
    assert found["password"] == found["certificate"] == ""
    assert "401 Unauthorized" in found["wrong-password"]
    assert "401 Unauthorized" in found["no-password"]
    assert found["no-certificate"] != ""
    assert found["stranger"] != ""
