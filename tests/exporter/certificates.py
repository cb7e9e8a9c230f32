"""A folder with certificates and a web configuration, and clients of the server that uses it."""

import socket
import ssl
from pathlib import Path

import trustme
from cryptography import x509

from genai_exporter.security import Security

DEADLINE_SECONDS = 60.0
GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class Files:
    """A folder with a web configuration, and with the certificates that it names."""

    def __init__(self, folder: Path, ca: trustme.CA) -> None:
        self.folder = folder
        self.ca = ca
        ca.cert_pem.write_to_path(str(folder / "ca.pem"))
        self.renew()

    def renew(self) -> None:
        """Write a new certificate and key."""
        self.cert = self.ca.issue_cert("127.0.0.1")
        self.write_cert(self.cert)
        self.write_key(self.cert)

    def write_cert(self, cert: trustme.LeafCert) -> None:
        """Write a server's certificate, and no key."""
        (self.folder / "server.crt").write_bytes(b"".join(blob.bytes() for blob in cert.cert_chain_pems))

    def write_key(self, cert: trustme.LeafCert) -> None:
        """Write a server's key."""
        (self.folder / "server.key").write_bytes(cert.private_key_pem.bytes())

    def configure(self, more: str = "", pair: str = "cert_file: server.crt\nkey_file: server.key\n") -> Path:
        """Write a web configuration with the lines of ``more`` in its TLS section."""
        path = self.folder / "web.yml"
        lines = (f"  {line}\n" for line in (pair + more).splitlines())
        path.write_text("tls_server_config:\n" + "".join(lines))
        return path

    def security(self, more: str = "") -> Security:
        """Read such a configuration."""
        return Security(self.configure(more))

    def client(self, cert: trustme.LeafCert | None = None) -> ssl.SSLContext:
        """A client's context that trusts our authority."""
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        if cert is not None:
            cert.configure_cert(context)
        return context


def fetch(port: int, context: ssl.SSLContext) -> tuple[bytes, int]:
    """Make a request; return the answer and the serial number of the server's certificate."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        certificate = client.getpeercert()
        assert certificate is not None
        client.sendall(GET)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
        return answer, int(str(certificate["serialNumber"]), 16)


def is_refused(port: int, context: ssl.SSLContext) -> bool:
    """Whether a client with that context gets no answer."""
    try:
        answer, _ = fetch(port, context)
    except (ssl.SSLError, ConnectionError):
        return True
    return answer == b""


def serial(cert: trustme.LeafCert) -> int:
    """Serial number of a certificate."""
    return x509.load_pem_x509_certificate(cert.cert_chain_pems[0].bytes()).serial_number
