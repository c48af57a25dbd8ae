"""How Kafka is spoken to: the settings of security as every client of this project takes them.

`security` is the one place where they are turned into options; `connection` (in `kafka.py`) puts it into every aiokafka
client, `credentials` (in `bend/`) into those of faust. `tests/stream/test_security.py` finds a client made without.
"""

import logging
import ssl
from functools import lru_cache
from pathlib import Path
from typing import Any

from kpi_app.errors import UserError
from kpi_app.secured import unusable
from kpi_app.settings import Settings


class _NoRequests(logging.Filter):
    """Keeps back what aiokafka says of each request: that of SASL's PLAIN holds the password."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is of a warning or worse."""
        return record.levelno > logging.INFO


_NO_REQUESTS = _NoRequests()


def security(settings: Settings) -> dict[str, Any]:
    """The options of security of an aiokafka client. Raises `UserError` for a file that can't be used.

    Where there is TLS, the broker's certificate and host name are always checked.
    """
    logging.getLogger("aiokafka.conn").addFilter(_NO_REQUESTS)
    options: dict[str, Any] = {"security_protocol": settings.kafka_security}
    if settings.kafka_security.endswith("SSL"):
        options["ssl_context"] = _context(
            settings.kafka_ssl_ca,
            settings.kafka_ssl_cert,
            settings.kafka_ssl_key,
            settings.kafka_ssl_key_password.get_secret_value(),
        )
    if settings.kafka_security.startswith("SASL_"):
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_sasl_username
        options["sasl_plain_password"] = settings.kafka_sasl_password.get_secret_value()
    return options


@lru_cache(maxsize=4)  # reading the machine's CAs takes some 20 ms, and each partition has a producer of its own
def _context(ca: Path | None, cert: Path | None, key: Path | None, key_password: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca)  # checks the certificate and the host name; TLS 1.2 or later
    except OSError as error:  # ssl.SSLError is one
        raise UserError(f"KPI_KAFKA_SSL_CA={ca}: {unusable(error, 'no certificates in PEM')}") from error
    if cert is None:
        return context
    try:
        # never None: without a password OpenSSL would ask for one at the terminal
        context.load_cert_chain(cert, key, lambda: key_password)
    except (OSError, ValueError) as error:
        for name, path in (("KPI_KAFKA_SSL_CERT", cert), ("KPI_KAFKA_SSL_KEY", key)):
            if path is not None and not path.is_file():
                raise UserError(f"{name}={path}: there is no such file") from error
        why = "no certificate with its key in PEM, or KPI_KAFKA_SSL_KEY or KPI_KAFKA_SSL_KEY_PASSWORD does not fit it"
        raise UserError(f"KPI_KAFKA_SSL_CERT={cert}: {unusable(error, why)}") from error
    return context
