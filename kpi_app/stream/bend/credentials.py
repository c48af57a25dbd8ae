"""What faust's own clients prove who they are with: the options of aiokafka's clients, in faust's words."""

from collections.abc import Mapping
from typing import Any

from faust.auth import Credentials, SASLCredentials, SSLCredentials


def credentials(security: Mapping[str, Any]) -> Credentials | None:
    """What faust takes, out of the options of security of an aiokafka client; None for PLAINTEXT."""
    if "sasl_mechanism" in security:
        return SASLCredentials(
            username=security["sasl_plain_username"],
            password=security["sasl_plain_password"],
            ssl_context=security.get("ssl_context"),
            mechanism=security["sasl_mechanism"],
        )
    return SSLCredentials(security["ssl_context"]) if "ssl_context" in security else None
