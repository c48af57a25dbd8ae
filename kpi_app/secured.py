"""Secured: secrets from files, settings of security that belong together, and what is wrong with a certificate.

A setting that would leave a connection less secure than its companions suggest is refused, never ignored.
"""

import ssl
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from kpi_app.errors import UserError

#: Kafka's own names, see `security.protocol` and `sasl.mechanism` in its manual.
PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")

#: A secret's file is named by the setting and this, as the official images of Postgres and others do it.
FILE = "_FILE"

#: OpenSSL's verification results for a certificate of another name or address (x509_vfy.h).
_OTHER_HOST = (62, 64)

_LONGEST_FILE = 65_536


def protocol(value: str) -> str:
    """One of `PROTOCOLS`, in whatever case it is written."""
    return _one_of(PROTOCOLS, value)


def mechanism(value: str) -> str:
    """One of `MECHANISMS`, in whatever case it is written."""
    return _one_of(MECHANISMS, value)


def _one_of(known: Collection[str], value: str) -> str:
    if value.upper() not in known:
        raise ValueError(f"one of: {', '.join(known)}")
    return value.upper()


def file(value: object) -> object:
    """A file, independent of the working directory; None for "none" and "system", which name none."""
    if not isinstance(value, str | Path):
        return value
    return None if str(value) in ("", "none", "system") else Path(value).absolute()


def at_least(length: int) -> Callable[[SecretStr], SecretStr]:
    """A check that a secret has so many characters, or none."""

    def checked(value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < length:
            raise ValueError(f"at least {length} characters, or nothing")
        return value

    return checked


def read_secrets(names: Collection[str], given: Mapping[str, str | None]) -> dict[str, str]:
    """The secrets that are given as files: `KPI_X_FILE` holds the path of the file with `KPI_X`.

    `names`: of the fields; `given`: the environment, its names in capitals. A line break at a file's end is none of the
    secret's. Raises `UserError` for a file that is empty or can't be read, and when both are set.
    """
    read = {}
    for name in names:
        setting = f"KPI_{name.upper()}"
        path = given.get(setting + FILE)
        if not path:
            continue
        if given.get(setting):
            raise UserError(f"{setting} and {setting}{FILE} are both set: keep one of them")
        try:
            with Path(path).open(encoding="utf-8") as secret:
                read[name] = secret.read(_LONGEST_FILE).rstrip("\r\n")
        except (OSError, ValueError) as error:
            raise UserError(f"{setting}{FILE}={path}: {unusable(error, 'not a file of text')}") from error
        if not read[name].strip():  # as a setting it would mean that no secret is asked for
            raise UserError(f"{setting}{FILE}={path}: it is empty")
    return read


def unusable(error: Exception, unfit: str) -> str:
    """Why a file can't be used: what the system says, or `unfit`, where it can be read and its content is at fault."""
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        return error.strerror or unfit
    return unfit


def contradictions(settings: Any) -> list[str]:
    """A line for each setting of Kafka's security that lacks its companion or contradicts it."""
    chosen = settings.kafka_security
    said = f"KPI_KAFKA_SECURITY={chosen}"
    password = settings.kafka_sasl_password.get_secret_value()
    lines = []
    if chosen.startswith("SASL_") and not (settings.kafka_sasl_username and password):
        lines.append(f"{said}: needs KPI_KAFKA_SASL_USERNAME and KPI_KAFKA_SASL_PASSWORD")
    if chosen == "SASL_PLAINTEXT" and settings.kafka_sasl_mechanism == "PLAIN":
        lines.append(f"{said}: PLAIN would send the password as it is; use SASL_SSL, or SCRAM-SHA-512")
    if settings.kafka_ssl_key and not settings.kafka_ssl_cert:
        lines.append(f"KPI_KAFKA_SSL_KEY={settings.kafka_ssl_key}: needs KPI_KAFKA_SSL_CERT")
    if "kafka_security" not in settings.model_fields_set:
        unused = sorted(name for name in settings.model_fields_set if name.startswith("kafka_"))
        lines += [f"KPI_{name.upper()} is set and KPI_KAFKA_SECURITY is not: say SSL or SASL_SSL" for name in unused]
        return lines
    if not chosen.startswith("SASL_") and (idle := _set(settings, "kafka_sasl_")):
        lines.append(f"{said}: takes no {idle}: say SASL_SSL or SASL_PLAINTEXT, or leave it out")
    if not chosen.endswith("SSL") and (idle := _set(settings, "kafka_ssl_")):
        lines.append(f"{said}: takes no {idle}: say SSL or SASL_SSL, or leave it out")
    return lines


def _set(settings: Any, prefix: str) -> str:
    """The settings that begin so and are not what they would be without being set."""
    fields = type(settings).model_fields
    names = (name for name in fields if name.startswith(prefix) and getattr(settings, name) != fields[name].default)
    return ", ".join(f"KPI_{name.upper()}" for name in names)


def fault(error: ssl.SSLCertVerificationError, ca: str) -> str:
    """What is wrong with the certificate of a server. `ca`: the setting of those that are trusted."""
    if error.verify_code in _OTHER_HOST:
        return f"its certificate is another host's: name the host as its certificate does ({error.verify_message})"
    return f"its certificate is not trusted: {ca} is to name the CA that it is from ({error.verify_message})"
