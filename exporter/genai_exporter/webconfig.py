"""The web configuration file: TLS, client certificates, users, headers, in the format of Prometheus's exporter-toolkit.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md is the format. What it can
say and Python's ``ssl`` cannot do is an error, never passed over. Reads the file only; ``tlscontext`` reads the
certificates that it names.
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from genai_exporter.durations import seconds
from genai_exporter.tlsnames import CURVES, TLS12_CIPHERS, TLS13_CIPHERS, VERSIONS
from genai_metrics import yamlfile
from genai_metrics.yamlvalues import Scalar, Section, nearest

MAX_BCRYPT_COST: Final = 18
"""Dearest accepted password hash; already some 20 seconds for a single check."""

_TLS_KEYS = (
    *("cert", "cert_file", "key", "key_file", "client_auth_type", "client_ca", "client_ca_file"),
    *("client_allowed_sans", "min_version", "max_version", "cipher_suites", "prefer_server_cipher_suites"),
    "curve_preferences",
)
_CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
# OpenSSL verifies whatever certificate it asks for, so each of these has a stricter type to be replaced with.
_UNVERIFIED = {
    "RequestClientCert": "VerifyClientCertIfGiven",
    "RequireAnyClientCert": "RequireAndVerifyClientCert",
    "RequireClientCert": "RequireAndVerifyClientCert",
}
# The headers of the toolkit, and the values of those that have a fixed set.
_HEADERS: Mapping[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
_BCRYPT = re.compile(r"\$2[aby]?\$(\d\d)\$[./A-Za-z0-9]{53}")


@dataclass(frozen=True)
class Pem:
    """Where a certificate or key is: in a file (``path``), or in the configuration itself (``text``)."""

    key: str
    path: Path | None
    text: str | None = field(repr=False)


@dataclass(frozen=True)
class TlsSettings:
    """How TLS is served. ``section`` places errors; ciphers and curve carry OpenSSL's names.

    ``ciphers`` are for TLS 1.2; empty, and ``curve`` None, mean OpenSSL's defaults. ``allowed_sans`` is None where
    any verified client certificate will do.
    """

    section: Section = field(repr=False)
    cert: Pem
    key: Pem
    client_ca: Pem | None
    client_auth: ssl.VerifyMode
    allowed_sans: frozenset[str] | None
    minimum_version: ssl.TLSVersion
    maximum_version: ssl.TLSVersion
    ciphers: tuple[str, ...]
    prefers_own_ciphers: bool
    curve: str | None


@dataclass(frozen=True)
class RateLimit:
    """A token bucket: one request each ``interval_seconds`` (> 0), ``burst`` (>= 1) at once."""

    interval_seconds: float
    burst: int


@dataclass(frozen=True)
class WebConfig:
    """What a web configuration file says; immutable.

    ``users`` maps names to bcrypt hashes; empty means that everybody is let in. ``headers`` are added to every
    response. ``wants_http2`` is whether the file asks for HTTP/2, which is not offered.
    """

    tls: TlsSettings | None = None
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    rate_limit: RateLimit | None = None
    wants_http2: bool = False


def read(path: Path) -> WebConfig:
    """Read the web configuration file at ``path``; relative names in it start at its folder.

    Raises ``YamlError``, whose text names file, line, key and remedy, and never contains a password,
    hash or private key.
    """
    root = yamlfile.read(path)
    root.check_keys(("tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"))
    http = root.section("http_server_config")
    http.check_keys(("http2", "headers"))
    tls = root.section("tls_server_config")
    return WebConfig(
        tls=_tls(tls) if tls.keys() else None,
        users=_users(root.section("basic_auth_users")),
        headers=_headers(http.section("headers")),
        rate_limit=_rate_limit(root.section("rate_limit")),
        wants_http2=http.boolean("http2", False),
    )


def _tls(section: Section) -> TlsSettings:
    section.check_keys(_TLS_KEYS)
    cert, key, client_ca = (_pem(section, name) for name in ("cert", "key", "client_ca"))
    for name, pem in (("cert", cert), ("key", key)):
        if pem is None:
            raise section.error(f"tls_server_config has no {name}_file; TLS needs both cert_file and key_file")
    assert cert is not None
    assert key is not None
    client_auth = _client_auth(section, client_ca)
    minimum, maximum = _version(section, "min_version", "TLS12"), _version(section, "max_version", "TLS13")
    ciphers = section.texts("cipher_suites")
    for name in ciphers:
        if name not in TLS12_CIPHERS and name not in TLS13_CIPHERS:
            raise section.error(f"{name!r} is not a cipher suite; {_known(name, TLS12_CIPHERS)}", "cipher_suites")
    tls12 = tuple(TLS12_CIPHERS[name] for name in ciphers if name in TLS12_CIPHERS)
    if ciphers and not tls12:
        minimum = ssl.TLSVersion.TLSv1_3  # the list leaves TLS 1.2 without a suite
    if minimum > maximum:
        raise section.error(
            "no TLS version is left; min_version must not be above max_version, and TLS 1.2 needs a suite of its own "
            "in cipher_suites",
            "max_version",
        )
    return TlsSettings(
        section=section,
        cert=cert,
        key=key,
        client_ca=client_ca,
        client_auth=client_auth,
        allowed_sans=_allowed_sans(section, client_auth),
        minimum_version=minimum,
        maximum_version=maximum,
        ciphers=tls12,
        prefers_own_ciphers=section.boolean("prefer_server_cipher_suites", True),
        curve=_curve(section),
    )


def _pem(section: Section, name: str) -> Pem | None:
    in_file = f"{name}_file"
    if section.has(name) and section.has(in_file):
        raise section.error(f"{name} and {in_file} are both given; remove one", name)
    if section.has(name):
        return Pem(name, None, section.text(name))
    file = section.text(in_file, None)
    return None if file is None else Pem(in_file, section.path.parent / Path(file).expanduser(), None)


def _client_auth(section: Section, client_ca: Pem | None) -> ssl.VerifyMode:
    name = section.text("client_auth_type", "NoClientCert")
    if name in _UNVERIFIED:
        raise section.error(
            f"client_auth_type: {name} takes certificates that nobody has verified, which Python's ssl cannot; "
            f"use {_UNVERIFIED[name]} with client_ca_file",
            "client_auth_type",
        )
    if name not in _CLIENT_AUTH:
        raise section.error(
            f"client_auth_type: {name!r} is not a type; {_known(name, _CLIENT_AUTH)}", "client_auth_type"
        )
    if client_ca is not None and name == "NoClientCert":
        raise section.error(
            f"{client_ca.key} is given and no client certificate is asked for; set client_auth_type: "
            "RequireAndVerifyClientCert",
            client_ca.key,
        )
    if client_ca is None and name != "NoClientCert":
        raise section.error(
            f"client_auth_type: {name} needs client_ca_file, the authority that signs your clients' certificates",
            "client_auth_type",
        )
    return _CLIENT_AUTH[name]


def _allowed_sans(section: Section, client_auth: ssl.VerifyMode) -> frozenset[str] | None:
    if not section.has("client_allowed_sans"):
        return None
    if client_auth is not ssl.CERT_REQUIRED:
        raise section.error(
            "client_allowed_sans needs client_auth_type: RequireAndVerifyClientCert", "client_allowed_sans"
        )
    names = section.texts("client_allowed_sans")
    if not names:
        raise section.error(
            "client_allowed_sans is empty, so nobody could connect; name someone or remove it", "client_allowed_sans"
        )
    return frozenset(names)


def _version(section: Section, key: str, default: str) -> ssl.TLSVersion:
    name = section.text(key, default)
    if name in ("TLS10", "TLS11"):
        raise section.error(
            f"{key}: {name} is deprecated (RFC 8996), and OpenSSL 3 does not serve it; use TLS12 or TLS13", key
        )
    if name not in VERSIONS:
        raise section.error(f"{key}: {name!r} is not a TLS version; use TLS12 or TLS13", key)
    return VERSIONS[name]


def _curve(section: Section) -> str | None:
    names = section.texts("curve_preferences")
    for name in names:
        if name not in CURVES:
            raise section.error(f"{name!r} is not a curve; {_known(name, CURVES)}", "curve_preferences")
    if len(names) > 1:
        raise section.error(
            "curve_preferences: Python's ssl takes a single curve; give one, or remove the key for OpenSSL's list "
            "(X25519 first)",
            "curve_preferences",
        )
    return CURVES[names[0]] if names else None


def _users(section: Section) -> dict[str, str]:
    users: dict[str, str] = {}
    for name in section.entries:
        if ":" in name:
            raise section.error(f"basic_auth_users: {name!r} has a colon, which HTTP cannot carry; rename it", name)
        found = _BCRYPT.fullmatch(section.text(name, ""))
        if found is None:  # not repeated: it may be the password itself
            raise section.error(
                f"basic_auth_users.{name} is not a bcrypt hash; make one with: htpasswd -nBC 10 {name}", name
            )
        if not 4 <= int(found[1]) <= MAX_BCRYPT_COST:
            raise section.error(
                f"basic_auth_users.{name}: the bcrypt cost {int(found[1])} is not from 4 to {MAX_BCRYPT_COST}; "
                f"make a new hash with: htpasswd -nBC 10 {name}",
                name,
            )
        users[name] = found[0]
    return users


def _headers(section: Section) -> dict[str, str]:
    section.check_keys(_HEADERS)
    headers: dict[str, str] = {}
    for name, (_, given) in section.entries.items():
        if isinstance(given, Scalar) and not given.text.strip():
            continue  # a blank value leaves the header out, as in the toolkit
        value = section.text(name)
        if not (value.isascii() and value.isprintable()):
            raise section.error(f"{section.key}.{name} must be printable ASCII on one line", name)
        allowed = _HEADERS[name]
        if allowed and value not in allowed:
            raise section.error(f"{section.key}.{name}: {value!r} is not allowed; {_known(value, allowed)}", name)
        headers[name] = value.strip()
    return headers


def _rate_limit(section: Section) -> RateLimit | None:
    section.check_keys(("interval", "burst"))
    try:
        interval = seconds(section.text("interval", "0"))
    except ValueError as error:
        raise section.error(f"rate_limit.interval: {error}", "interval") from None
    burst = section.integer("burst", 0, minimum=0)
    if interval == 0:
        return None
    if burst == 0:
        raise section.error("rate_limit.burst is 0, so nobody would be answered; give at least 1", "burst")
    return RateLimit(interval, burst)


def _known(name: str, allowed: Mapping[str, object] | tuple[str, ...]) -> str:
    return nearest(name, tuple(allowed))
