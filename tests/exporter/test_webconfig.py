"""Tests of the web configuration file: what it means, and what is wrong with it."""

import re
import ssl
from pathlib import Path

import bcrypt
import pytest

from genai_exporter import webconfig
from genai_exporter.webconfig import Pem, RateLimit, WebConfig
from genai_metrics.yamlvalues import YamlError

# A fixed salt: the names of the cases must not change from one collection to the next.
HASH = bcrypt.hashpw(b"secret", b"$2b$04$" + b"." * 22).decode()
CERTIFICATE = "  cert_file: server.crt\n  key_file: server.key\n"
TLS = "tls_server_config:\n" + CERTIFICATE


def write(folder: Path, text: str) -> Path:
    """Write a web configuration file and return its path."""
    path = folder / "web.yml"
    path.write_text(text)
    return path


class TestRead:
    """What the file says."""

    def test_an_empty_file_secures_nothing(self, tmp_path: Path) -> None:
        """As in the toolkit, it is no error."""
        assert webconfig.read(write(tmp_path, "")) == WebConfig()

    def test_certificate_and_key_start_at_the_file(self, tmp_path: Path) -> None:
        """Relative names do not depend on the working directory; the rest has the toolkit's defaults."""
        tls = webconfig.read(write(tmp_path, TLS)).tls
        assert tls is not None
        assert tls.cert == Pem("cert_file", tmp_path / "server.crt", None)
        assert tls.key == Pem("key_file", tmp_path / "server.key", None)
        assert (tls.client_ca, tls.client_auth, tls.allowed_sans) == (None, ssl.CERT_NONE, None)
        assert (tls.minimum_version, tls.maximum_version) == (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
        assert (tls.ciphers, tls.prefers_own_ciphers, tls.curve) == ((), True, None)

    def test_every_key(self, tmp_path: Path) -> None:
        """All that can be served is understood."""
        text = (
            "tls_server_config:\n"
            "  cert: INLINE CERTIFICATE\n  key: INLINE KEY\n  client_ca: INLINE CA\n"
            "  client_auth_type: RequireAndVerifyClientCert\n  client_allowed_sans: [prometheus, 10.0.0.1]\n"
            "  min_version: TLS12\n  max_version: TLS12\n  prefer_server_cipher_suites: false\n"
            "  cipher_suites:\n"
            "    - TLS_AES_128_GCM_SHA256\n"
            "    - TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256\n"
            "    - TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384\n"
            "  curve_preferences: [CurveP384]\n"
            "http_server_config:\n  http2: true\n  headers:\n"
            "    X-Frame-Options: deny\n    X-Content-Type-Options: nosniff\n    X-XSS-Protection: '1'\n"
            "    Strict-Transport-Security: max-age=60\n    Content-Security-Policy: ''\n"
            f"basic_auth_users:\n  alice: {HASH}\n"
            "rate_limit:\n  interval: 1m0.5s\n  burst: 3\n"
        )
        config = webconfig.read(write(tmp_path, text))
        tls = config.tls
        assert tls is not None
        assert tls.cert == Pem("cert", None, "INLINE CERTIFICATE")
        assert tls.client_ca == Pem("client_ca", None, "INLINE CA")
        assert tls.client_auth is ssl.CERT_REQUIRED
        assert tls.allowed_sans == {"prometheus", "10.0.0.1"}
        assert (tls.minimum_version, tls.maximum_version) == (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
        assert tls.ciphers == ("ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-AES256-GCM-SHA384")
        assert (tls.prefers_own_ciphers, tls.curve) == (False, "secp384r1")
        assert config.headers == {
            "X-Frame-Options": "deny",
            "X-Content-Type-Options": "nosniff",
            "X-XSS-Protection": "1",
            "Strict-Transport-Security": "max-age=60",
        }
        assert config.users == {"alice": HASH}
        assert config.rate_limit == RateLimit(60.5, 3)
        assert config.wants_http2

    def test_suites_of_tls_13_alone_leave_out_tls_12(self, tmp_path: Path) -> None:
        """A list without a suite for TLS 1.2 must not fall back to OpenSSL's defaults."""
        tls = webconfig.read(write(tmp_path, TLS + "  cipher_suites: [TLS_AES_256_GCM_SHA384]\n")).tls
        assert tls is not None
        assert (tls.minimum_version, tls.ciphers) == (ssl.TLSVersion.TLSv1_3, ())

    def test_every_name_of_a_suite_or_curve_is_one_that_openssl_knows(self) -> None:
        """The tables have no typing error."""
        from genai_exporter.tlsnames import CURVES, TLS12_CIPHERS

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers(":".join(TLS12_CIPHERS.values()))
        known = {cipher["name"] for cipher in context.get_ciphers()}
        assert set(TLS12_CIPHERS.values()) <= known
        for curve in CURVES.values():
            context.set_ecdh_curve(curve)

    def test_secrets_are_not_shown(self, tmp_path: Path) -> None:
        """Neither keys nor hashes appear when a configuration is printed."""
        text = f"tls_server_config:\n  cert: C\n  key: PRIVATE\nbasic_auth_users:\n  alice: {HASH}\n"
        shown = repr(webconfig.read(write(tmp_path, text)))
        assert "PRIVATE" not in shown
        assert HASH not in shown


class TestErrors:
    """Nothing is passed over in silence."""

    @pytest.mark.parametrize(
        ("text", "line", "hint"),
        [
            ("tls_server_conf: {}\n", 1, "unknown key 'tls_server_conf'; did you mean 'tls_server_config'?"),
            (TLS + "  cert_fil: x\n", 4, "unknown key 'cert_fil' in tls_server_config; did you mean 'cert_file'?"),
            ("tls_server_config:\n  cert_file: a\n", 2, "tls_server_config has no key_file; TLS needs both"),
            ("\ntls_server_config:\n  min_version: TLS13\n", 3, "tls_server_config has no cert_file"),
            (TLS + "  key: x\n", 4, "key and key_file are both given; remove one"),
            (TLS + "  min_version: TLS11\n", 4, "min_version: TLS11 is deprecated (RFC 8996)"),
            (TLS + "  max_version: SSL30\n", 4, "max_version: 'SSL30' is not a TLS version; use TLS12 or TLS13"),
            (TLS + "  min_version: TLS13\n  max_version: TLS12\n", 5, "no TLS version is left"),
            (TLS + "  max_version: TLS12\n  cipher_suites: [TLS_AES_128_GCM_SHA256]\n", 4, "no TLS version is left"),
            (TLS + "  cipher_suites: [RC4]\n", 4, "'RC4' is not a cipher suite; known: TLS_ECDHE"),
            (TLS + "  curve_preferences: [P256]\n", 4, "'P256' is not a curve; did you mean 'CurveP256'?"),
            (TLS + "  curve_preferences: [X25519, CurveP256]\n", 4, "Python's ssl takes a single curve"),
            (
                TLS + "  client_auth_type: RequestClientCert\n",
                4,
                "RequestClientCert takes certificates that nobody has verified, which Python's ssl cannot; use "
                "VerifyClientCertIfGiven with client_ca_file",
            ),
            (TLS + "  client_auth_type: RequireAnyClientCert\n", 4, "client_auth_type: RequireAnyClientCert takes"),
            (TLS + "  client_auth_type: Require\n", 4, "client_auth_type: 'Require' is not a type; known: NoClient"),
            (TLS + "  client_auth_type: RequireAndVerifyClientCert\n", 4, "needs client_ca_file, the authority"),
            (TLS + "  client_ca_file: ca.pem\n", 4, "client_ca_file is given and no client certificate is asked for"),
            (TLS + "  client_allowed_sans: [a]\n", 4, "client_allowed_sans needs client_auth_type: RequireAndVerify"),
            (
                TLS + "  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n"
                "  client_allowed_sans: []\n",
                6,
                "client_allowed_sans is empty, so nobody could connect",
            ),
            ("http_server_config: {http3: true}\n", 1, "unknown key 'http3' in http_server_config; did you mean"),
            (
                "http_server_config:\n  headers:\n    X-Frame-Option: deny\n",
                3,
                "unknown key 'X-Frame-Option' in http_server_config.headers; did you mean 'X-Frame-Options'?",
            ),
            (
                "http_server_config:\n  headers:\n    X-Frame-Options: allow\n",
                3,
                "http_server_config.headers.X-Frame-Options: 'allow' is not allowed; known: deny, sameorigin",
            ),
            (
                'http_server_config:\n  headers:\n    X-XSS-Protection: "1\\r\\nSet-Cookie: a"\n',
                3,
                "http_server_config.headers.X-XSS-Protection must be printable ASCII on one line",
            ),
            ("basic_auth_users:\n  'a:b': x\n", 2, "'a:b' has a colon, which HTTP cannot carry"),
            ("basic_auth_users:\n  bob:\n", 2, "basic_auth_users.bob is not a bcrypt hash"),
            (
                f"basic_auth_users:\n  bob: {HASH.replace('$04$', '$31$')}\n",
                2,
                "basic_auth_users.bob: the bcrypt cost 31 is not from 4 to 18",
            ),
            ("rate_limit: {interval: 1}\n", 1, "rate_limit.interval: '1' is not a duration; give one such as 15s"),
            ("rate_limit: {interval: 1s}\n", 1, "rate_limit.burst is 0, so nobody would be answered"),
        ],
    )
    def test_names_file_line_and_remedy(self, tmp_path: Path, text: str, line: int, hint: str) -> None:
        """Whatever is wrong is found from the message alone."""
        path = write(tmp_path, text)
        with pytest.raises(YamlError) as caught:
            webconfig.read(path)
        assert str(caught.value).startswith(f"{path}:{line}: ")
        assert hint in str(caught.value)

    def test_a_password_in_clear_is_not_repeated(self, tmp_path: Path) -> None:
        """The message tells how to make a hash, and does not carry the password into a log."""
        with pytest.raises(
            YamlError, match=re.escape("is not a bcrypt hash; make one with: htpasswd -nBC 10 bob")
        ) as e:
            webconfig.read(write(tmp_path, "basic_auth_users:\n  bob: hunter2\n"))
        assert "hunter2" not in str(e.value)
