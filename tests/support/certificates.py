"""Make certificates with openssl, for brokers that use TLS."""

from __future__ import annotations

import subprocess
from pathlib import Path


def certificates(folder: Path) -> None:
    """A CA, and signed by it a server certificate for 127.0.0.1 and one of a client."""
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    commands = [
        ["req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test ca", "-days", "2"],
        ["req", *key, "-keyout", "srv.key", "-out", "srv.csr", "-subj", "/CN=broker"],
        ["x509", "-req", "-in", "srv.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"],
    ]
    commands[-1] += ["-days", "2", "-out", "srv.pem", "-extfile", "san"]
    commands.append(["req", *key, "-keyout", "me.key", "-out", "me.csr", "-subj", "/CN=reserve1"])
    commands.append(["x509", "-req", "-in", "me.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"])
    commands[-1] += ["-days", "2", "-out", "me.pem"]
    for command in commands:
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
