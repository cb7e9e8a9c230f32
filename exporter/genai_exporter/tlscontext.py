"""From TLS settings to an ``ssl.SSLContext``, and whether a client's certificate carries an allowed name.

Reads certificate files, so not for an event loop.
"""

import contextlib
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from genai_exporter.webconfig import Pem, TlsSettings
from genai_metrics.yamlfile import MAX_BYTES
from genai_metrics.yamlvalues import YamlError


def make_context(tls: TlsSettings) -> ssl.SSLContext:
    """Make a server's context with the certificates as they are now.

    Raises ``YamlError`` that names file, line, key and remedy when a certificate, key or authority cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = tls.minimum_version, tls.maximum_version
    context.options |= ssl.OP_NO_RENEGOTIATION
    if not tls.prefers_own_ciphers:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if tls.ciphers:
        context.set_ciphers(":".join(tls.ciphers))
    if tls.curve is not None:
        context.set_ecdh_curve(tls.curve)
    context.set_alpn_protocols(["http/1.1"])
    _load_certificate(context, tls)
    context.verify_mode = tls.client_auth
    if tls.client_ca is not None:
        # As in Go, whatever the file lists is trusted by itself, be it an intermediate authority.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        text = _text(tls, tls.client_ca, "-----BEGIN CERTIFICATE-----")
        try:
            context.load_verify_locations(cadata=text)
        except (ssl.SSLError, ValueError) as error:
            raise _error(tls, tls.client_ca, f"not a certificate ({_reason(error)}); give one in PEM form") from error
    return context


def has_allowed_name(certificate: Mapping[str, object] | None, allowed: frozenset[str]) -> bool:
    """Whether a DNS name, IP address, e-mail address or URI of the certificate's SAN is exactly one of ``allowed``.

    ``certificate`` is what ``SSLObject.getpeercert`` returns.
    """
    names = (certificate or {}).get("subjectAltName", ())
    assert isinstance(names, tuple)
    return any(_canonical(kind, name) in allowed for kind, name in names)


def _canonical(kind: str, name: str) -> str:
    if kind != "IP Address":
        return name
    # OpenSSL writes 0:0:0:0:0:0:0:1 where people write ::1.
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(name.strip()))
    return name


def _load_certificate(context: ssl.SSLContext, tls: TlsSettings) -> None:
    # Both are read here first: load_cert_chain does not say which of the two files it minds.
    cert = _text(tls, tls.cert, "-----BEGIN CERTIFICATE-----")
    key = _text(tls, tls.key, "PRIVATE KEY-----")
    try:
        with _as_file(cert) as cert_file, _as_file(key) as key_file:
            context.load_cert_chain(cert_file, key_file, password=_refuse_to_ask)
    except _Encrypted:
        raise _error(
            tls, tls.key, "encrypted with a passphrase; give one without, such as: openssl pkey -in KEY -out NEW"
        ) from None
    except ssl.SSLError as error:
        if "MISMATCH" in (error.reason or ""):
            raise _error(tls, tls.key, f"does not belong to {tls.cert.key}; give that certificate's") from error
        raise _error(
            tls, tls.cert, f"cannot be used with {tls.key.key} ({_reason(error)}); give both in PEM form"
        ) from error


def _text(tls: TlsSettings, pem: Pem, marker: str) -> str:
    text = pem.text
    if pem.path is not None:
        try:
            with pem.path.open("rb") as file:
                text = file.read(MAX_BYTES).decode("ascii", "replace")
        except OSError as error:
            raise _error(
                tls, pem, f"cannot be read: {error.strerror or error}; check the path and its permissions"
            ) from error
    if text is None or marker not in text:
        what = "a private key" if "KEY" in marker else "a certificate"
        raise _error(tls, pem, f"holds no {what.removeprefix('a ')}; give {what} in PEM form")
    return text


@contextlib.contextmanager
def _as_file(text: str) -> Iterator[str]:
    """Lend the text as a file, because ``ssl`` loads keys from files only: where possible one without a disk."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("pem")
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            yield f"/dev/fd/{descriptor}"
    else:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            yield file.name


class _Encrypted(Exception):
    pass


def _refuse_to_ask() -> NoReturn:
    # Without this OpenSSL asks for the passphrase on the terminal.
    raise _Encrypted


def _error(tls: TlsSettings, pem: Pem, problem: str) -> YamlError:
    where: Path | str = f": {pem.path}" if pem.path is not None else ""
    return tls.section.error(f"tls_server_config.{pem.key}{where}: {problem}", pem.key)


def _reason(error: ssl.SSLError | ValueError) -> str:
    reason = getattr(error, "reason", None) or str(error)
    return str(reason).lower().replace("_", " ")
