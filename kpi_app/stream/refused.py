"""Why no broker let us in, and which setting mends it.

aiokafka tries all brokers, logs what each said, and raises that it found none. What was logged is kept here: errors,
told apart by their class and by OpenSSL's codes.
"""

import logging
import ssl
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from kpi_app.secured import fault


class Refusals(logging.Handler):
    """Keeps aiokafka's log off the terminal, since the user is told in one line, and the errors that it logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._errors: list[BaseException] = []

    @property
    def reason(self) -> str:
        """What the first broker that can be told apart from one that is away said, and what to do; or nothing."""
        return next(filter(None, map(_explain, self._errors)), "")

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the error of a line."""
        arguments = record.args if isinstance(record.args, tuple) else ()
        self._errors.extend(each for each in arguments if isinstance(each, BaseException))

    def __enter__(self) -> Self:
        self._log = logging.getLogger("aiokafka")
        self._before = self._log.propagate, self._log.level
        self._log.propagate = False
        self._log.setLevel(logging.WARNING)
        self._log.addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.removeHandler(self)
        self._log.propagate, level = self._before
        self._log.setLevel(level)


def _explain(error: BaseException) -> str:
    """What to do about it; nothing where it only says that nobody is there."""
    for cause in _causes(error):
        if isinstance(cause, SaslAuthenticationFailed):
            return f"it does not let this user in: check KPI_KAFKA_SASL_USERNAME and KPI_KAFKA_SASL_PASSWORD ({cause})"
        if isinstance(cause, UnsupportedSaslMechanismError | IllegalSaslStateError):
            return f"it does not take this KPI_KAFKA_SASL_MECHANISM, or no SASL there ({cause})"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return fault(cause, "KPI_KAFKA_SSL_CA")
        if isinstance(cause, ssl.SSLError):
            return _explain_tls(cause)
    if isinstance(error, KafkaConnectionError | EOFError | ConnectionResetError):
        return "the connection was cut off at its start: check KPI_KAFKA_SECURITY, and that this is a port of Kafka's"
    return ""


def _explain_tls(error: ssl.SSLError) -> str:
    if error.reason == "WRONG_VERSION_NUMBER":
        return "it speaks no TLS at that port: check KPI_KAFKA_SECURITY"
    if error.reason and "ALERT" in error.reason:
        return f"it refuses our certificate: check KPI_KAFKA_SSL_CERT ({error.reason})"
    return f"TLS failed: {error.reason or error}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
