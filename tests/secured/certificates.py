"""Certificates of a CA that was made for the test."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

KEY_PASSWORD = "k3y-pa55word"  # noqa: S105  a made-up one


class Pair(NamedTuple):
    """Files of a certificate with those up to its CA, and of its key."""

    cert: Path
    key: Path


class Authority:
    """A CA and what it has issued, in `directory`."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.ca = directory / "ca.pem"
        self._ca = trustme.CA()
        self._ca.cert_pem.write_to_path(self.ca)

    def issue(self, name: str, hosts: Sequence[str], key_password: str | None = None) -> Pair:
        """A certificate for hosts, with `name` as its common name; `key_password` encrypts the key."""
        issued = self._ca.issue_cert(*hosts, common_name=name)
        pair = Pair(self.directory / f"{name}.pem", self.directory / f"{name}.key")
        pair.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        encryption: KeySerializationEncryption = NoEncryption()
        if key_password is not None:
            encryption = BestAvailableEncryption(key_password.encode())
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        # PKCS#8: the one form that Kafka reads
        pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
        pair.key.chmod(0o600)
        return pair
