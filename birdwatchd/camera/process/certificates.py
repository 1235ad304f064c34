"""Decide whether a camera's certificate is accepted: by a certificate authority, by its fingerprint, or whatever it is.

Most cameras have a certificate that they signed themselves, and speak old versions of TLS: only `verify` insists on
what browsers do.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from birdwatchd.settings.cameras import TlsMode

__all__ = ["CertificateRefused", "Certificates"]


class CertificateRefused(Exception):
    """The certificate is not accepted; the text says why and what to do."""


class Certificates:
    """What is accepted of one camera."""

    def __init__(self, mode: TlsMode, fingerprint: str, say: Callable[[str], None]) -> None:
        """
        Args:
            fingerprint: SHA-256 of the one certificate that is accepted, hexadecimal, for `fingerprint`.
            say: gets a line that a person should know.
        """
        self._mode, self._fingerprint, self._say = mode, fingerprint, say

    def speak_tls(self, connection: socket.socket, host: str) -> ssl.SSLSocket:
        """Speak TLS on a connection from now on.

        Raises:
            CertificateRefused: another certificate is wanted.
            OSError: the other side does not speak TLS.
        """
        context = ssl.create_default_context() if self._mode == "verify" else _lenient()
        address, timeout_s = connection.getpeername()[:2], connection.gettimeout()
        try:
            secure = context.wrap_socket(connection, server_hostname=host)
        except ssl.SSLCertVerificationError as error:
            found = _fingerprint_at(address, host, timeout_s)
            remedy = f"if it is your camera, set tls: fingerprint and tls_fingerprint: {found}" if found else ""
            raise CertificateRefused(
                f"its certificate is not valid ({error.verify_message}); {remedy or 'set tls: off to accept any'}"
            ) from None
        found = _sha256(secure)
        if self._mode == "fingerprint" and found != self._fingerprint:
            secure.close()
            raise CertificateRefused(
                f"its certificate is another one ({found}) than tls_fingerprint says; was the camera replaced or reset?"
            )
        if self._mode == "off":
            self._say(
                "its certificate is not checked, so that anybody on the way can read and change the pictures;"
                f" to accept this one only, set tls: fingerprint and tls_fingerprint: {found}"
            )
        return secure


def _fingerprint_at(address: tuple[str, int], host: str, timeout_s: float | None) -> str:
    """The fingerprint of what was refused, to be shown; empty where it cannot be had."""
    with (
        suppress(OSError),
        socket.create_connection(address, timeout_s) as again,
        _lenient().wrap_socket(again, server_hostname=host) as secure,
    ):
        return _sha256(secure)
    return ""


def _lenient() -> ssl.SSLContext:
    """Any certificate, and versions and ciphers that old cameras speak."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.options |= getattr(ssl, "OP_LEGACY_SERVER_CONNECT", 0x4)
    return context


def _sha256(secure: ssl.SSLSocket) -> str:
    return hashlib.sha256(secure.getpeercert(binary_form=True) or b"").hexdigest()
