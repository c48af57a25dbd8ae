"""Every setting once: its name, default, unit and what it does.

Read from the environment (`KPI_…`) and from `.env`; secrets from files, too (`KPI_…_FILE`). `load()` raises
`UserError`, with a line for each wrong setting that names it, its value and what would be right. Secrets are never
shown.
"""

import os
import zoneinfo
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from dotenv import dotenv_values
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from kpi_app import names, secured
from kpi_app.core.windows import format_duration, parse_duration
from kpi_app.database_url import unambiguous, without_password
from kpi_app.errors import UserError
from kpi_app.feeds import FEEDS
from kpi_app.feeds.base import Reading


def _seconds(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def _seconds_or_forever(value: object) -> object:
    return None if value == "forever" else _seconds(value)


def _brokers(value: str) -> str:
    for broker in value.split(","):
        host, _, port = broker.strip().rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise ValueError(f"{broker!r} is not host:port")
    return ",".join(broker.strip() for broker in value.split(","))


def _topic(value: str) -> str:
    legal = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    if not value or len(value) > 200 or set(value) - legal or value in (".", ".."):
        raise ValueError("a topic's name has 1 to 200 of the characters a-z A-Z 0-9 . _ -")
    return value


def _windows(value: object) -> object:
    return tuple(map(parse_duration, value.split(","))) if isinstance(value, str) else value


def _nested(value: tuple[int, ...]) -> tuple[int, ...]:
    if not value or not 0 < value[0] <= 60:
        raise ValueError("the first window is the base: 1s to 1m")
    for smaller, larger in pairwise(value):
        if larger <= smaller or larger % smaller:
            raise ValueError(
                f"{format_duration(larger)} is not a multiple of the window before it, {format_duration(smaller)}"
            )
    return value


def _log_format(value: str) -> str:
    formats = [name for feed in FEEDS for name in feed.formats]
    if value not in formats:
        raise ValueError(f"one of: {', '.join(formats)}")
    return value


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    given = "" if value == "none" else value
    try:
        return tuple(ip_network(network.strip()) for network in given.split(",") if network.strip())
    except ValueError:
        raise ValueError("none, or networks such as 10.0.0.0/8, several with commas between") from None


def _on_or_off(value: object) -> object:
    known = {"on": True, "off": False}
    if isinstance(value, str) and value.lower() not in known:
        raise ValueError("on or off")
    return known[value.lower()] if isinstance(value, str) else value


def _timezone(value: str) -> str:
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("not a time zone such as Europe/Berlin") from error
    return value


Seconds = Annotated[int, BeforeValidator(_seconds)]
SecondsOrForever = Annotated[int | None, BeforeValidator(_seconds_or_forever)]
File = Annotated[Path | None, BeforeValidator(secured.file)]


class Settings(BaseSettings):
    """The settings of every command and of the worker."""

    model_config = SettingsConfigDict(env_prefix="KPI_", env_file=".env", extra="ignore", frozen=True)

    brokers: Annotated[str, AfterValidator(_brokers)] = Field(
        "127.0.0.1:9092", description="Kafka: host:port, several with commas between"
    )
    kafka_security: Annotated[str, AfterValidator(secured.protocol)] = Field(
        "PLAINTEXT", description="how Kafka is spoken to: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    kafka_sasl_mechanism: Annotated[str, AfterValidator(secured.mechanism)] = Field(
        "SCRAM-SHA-512", description="how the user proves who it is: SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN"
    )
    kafka_sasl_username: str = Field("", description="Kafka's user, for SASL")
    kafka_sasl_password: SecretStr = Field(SecretStr(""), description="its password")
    kafka_ssl_ca: File = Field(
        None, description="file of the CAs (PEM) that Kafka's certificate may be from; system: those of this machine"
    )
    kafka_ssl_cert: File = Field(None, description="file of our certificate (PEM) and those between it and its CA")
    kafka_ssl_key: File = Field(None, description="file of its key (PEM), where that is not in the certificate's")
    kafka_ssl_key_password: SecretStr = Field(SecretStr(""), description="what that key is encrypted with")
    database_url: Annotated[SecretStr, AfterValidator(unambiguous)] = Field(
        SecretStr("postgresql://postgres@127.0.0.1:5432/postgres"),
        description="Postgres: postgresql://user:password@host:port/database",
    )
    topic: Annotated[str, AfterValidator(_topic)] = Field("access-log", description="topic of the raw lines")
    log_format: Annotated[str, AfterValidator(_log_format)] = Field(
        "auto", description="format of the lines; auto tells them apart line by line"
    )
    windows: Annotated[tuple[int, ...], NoDecode, BeforeValidator(_windows), AfterValidator(_nested)] = Field(
        (60, 3_600, 86_400),
        description="window sizes: the base (at most 1m), then multiples of the one before",
    )
    grace: Seconds = Field(60, ge=0, description="how long a window waits for late lines, in event time")
    idle_after: Seconds = Field(30, ge=1, description="a partition that saw nothing for this long holds no window open")
    emit_every: Seconds = Field(1, ge=1, description="pace of checkpoints and of rows")
    stall_after: SecondsOrForever = Field(
        120, ge=30, description="a worker that makes no progress for this long ends itself; forever: it never does"
    )
    correct_for: SecondsOrForever = Field(
        None,
        ge=0,
        description="how long after its closing a window still takes late lines; forever or a duration",
    )
    future_limit: Seconds = Field(60, ge=0, description="a line further ahead of its Kafka record's time is rejected")
    top: int = Field(100, ge=1, le=1_000, description="how many values of each dimension are listed, window by window")
    keep: SecondsOrForever = Field(
        None, ge=1, description="how long windows stay in Postgres after their end; forever or a duration"
    )
    timezone: Annotated[str, AfterValidator(_timezone)] = Field(
        "UTC", description="time zone of the views, such as Europe/Berlin; `kpi migrate` puts it in force"
    )
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_networks)] = Field(
        (), description="networks of the proxies whose X-Forwarded-For is believed; none, or some with commas between"
    )
    anonymise_ip: Annotated[bool, BeforeValidator(_on_or_off)] = Field(
        True, description="on: of a client's address only its network is kept (the last octet, of IPv6 80 bits, is 0)"
    )
    visitor_key: Annotated[SecretStr, AfterValidator(secured.at_least(16))] = Field(
        SecretStr(""), description="secret of the numbers that stand for visitors; at least 16 characters"
    )
    data_dir: Path = Field(
        Path("kpi-data"), description="local state; a worker's own part of it is named by its web port"
    )
    web_host: str = Field("127.0.0.1", description="address that the web endpoint binds to")
    web_port: int = Field(6066, ge=1, le=65_535, description="port of the web endpoint")
    web_user: str = Field("kpi", pattern="^[^:]+$", description="user of the web endpoint, with KPI_WEB_PASSWORD")
    web_password: Annotated[SecretStr, AfterValidator(secured.at_least(8))] = Field(
        SecretStr(""), description="asked for by the web endpoint (HTTP Basic), where set; at least 8 characters"
    )
    web_token: Annotated[SecretStr, AfterValidator(secured.at_least(16))] = Field(
        SecretStr(""), description="the same for programs (HTTP Bearer); at least 16 characters"
    )

    @property
    def base_window_s(self) -> int:
        """Size of the base window, seconds."""
        return self.windows[0]

    @property
    def reading(self) -> Reading:
        """How lines are read; its `visitor_key` is empty where none is set."""
        return Reading(
            self.log_format, self.trusted_proxies, self.anonymise_ip, self.visitor_key.get_secret_value().encode()
        )


#: What a field stands for that holds nothing, where that is not "none".
_UNSET = {
    "visitor_key": "made once and kept in the database",
    "kafka_ssl_ca": "system",
    "correct_for": "forever",
    "keep": "forever",
    "stall_after": "forever",
}

#: The fields that are never shown, and may be given as files.
SECRETS = frozenset(name for name, field in Settings.model_fields.items() if field.annotation is SecretStr)


def default(name: str) -> str:
    """A setting's default as text for people."""
    return _shown(name, Settings.model_fields[name].default)


def shown(settings: Settings, name: str) -> str:
    """A setting's value as text for people, in the notation that it is set in, without its secrets."""
    return _shown(name, getattr(settings, name))


def _shown(name: str, value: Any) -> str:
    if name == "windows":
        return ",".join(map(format_duration, value))
    if name == "database_url":
        return without_password(value.get_secret_value())
    if name in SECRETS and value.get_secret_value():
        return "***"
    if name in SECRETS or value in ("", None):
        return _UNSET.get(name, "none")
    if name == "trusted_proxies":
        return ",".join(map(str, value)) or "none"
    if name == "anonymise_ip":
        return "on" if value else "off"
    if name in ("grace", "idle_after", "emit_every", "future_limit", "correct_for", "keep", "stall_after"):
        return format_duration(value)
    return str(value)


def fields(environment: Mapping[str, str]) -> dict[str, str]:
    """The fields that environment variables set, for `load`."""
    return {name.removeprefix("KPI_").lower(): value for name, value in environment.items()}


def environment(settings: Settings) -> dict[str, str]:
    """The settings as environment variables, secrets included, for a process that is to have the same."""
    values = {name: (getattr(settings, name), shown(settings, name)) for name in Settings.model_fields}
    return {
        f"KPI_{name.upper()}": value.get_secret_value() if isinstance(value, SecretStr) else text
        for name, (value, text) in values.items()
        if value != ""  # what is not set has no name, not even "none"
    }


def load(**overrides: Any) -> Settings:
    """The settings in force. Raises `UserError` with a line for each wrong one, and for each that is misspelt.

    Other names that begin like ours and are none are logged, once in a process.
    """
    given = {name.upper(): value for name, value in (dotenv_values(".env") | dict(os.environ)).items()}
    known = {f"KPI_{name.upper()}" for name in Settings.model_fields}
    known |= {f"KPI_{name.upper()}{secured.FILE}" for name in SECRETS}
    unknown = names.unknown(given, known)
    if misspelt := names.misspelt(unknown, known):
        raise UserError("\n".join(misspelt))
    try:
        in_force = Settings(**secured.read_secrets(SECRETS, given) | overrides)
    except ValidationError as error:
        raise UserError("\n".join(map(_explain, error.errors()))) from None
    if wrong := secured.contradictions(in_force):
        raise UserError("\n".join(wrong))
    names.warn(unknown, known)
    return in_force


def _as_given(name: str, value: Any) -> str:
    return _shown(name, value) if isinstance(value, int | tuple) else repr(value)


def _explain(error: Any) -> str:
    name = str(error["loc"][0]) if error["loc"] else "?"
    value = "(hidden)" if name in SECRETS else _as_given(name, error["input"])
    reason = str(error["msg"]).removeprefix("Value error, ")
    return f"KPI_{name.upper()}={value}: {reason}"
