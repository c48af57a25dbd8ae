"""What Fluent Bit 5's documentation allows in a configuration; the program itself is on no package registry.

Sources: docs.fluentbit.io/manual/5.0, "Service" (administration/configuring-fluent-bit/yaml), "Monitoring", "Tail"
(data-pipeline/inputs), "Kafka Producer" (data-pipeline/outputs), "Buffering and storage", "Scheduling and retries".
Settings named rdkafka.… are librdkafka's own, which is asked itself.
"""

import re
from pathlib import Path
from typing import Any

import yaml

FILES = Path(__file__).parents[2] / "fluent-bit"
CONFIGURATIONS = sorted(FILES.glob("*.yaml"))


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


SERVICE = _names(
    """
    flush grace daemon dns.mode log_file log_level parsers_file plugins_file streams_file http_server http_listen
    http_port hot_reload coro_stack_size scheduler.cap scheduler.base json.convert_nan_to_null json.escape_unicode
    sp.convert_from_str_to_num health_check hc_errors_count hc_retry_failure_count hc_period
    storage.path storage.sync storage.checksum storage.max_chunks_up storage.backlog.mem_limit
    storage.backlog.flush_on_shutdown storage.metrics storage.delete_irrecoverable_chunks storage.keep.rejected
    storage.rejected.path
    """
)
TAIL = _names(
    """
    name tag alias log_level mem_buf_limit threaded storage.type storage.pause_on_chunks_overlimit
    path path_key exclude_path offset_key read_from_head refresh_interval rotate_wait ignore_older
    ignore_active_older_files skip_long_lines skip_empty_lines buffer_chunk_size buffer_max_size static_batch_size
    db db.sync db.locking db.journal_mode db.compare_filename exit_on_eof parser key inotify_watcher tag_regex
    """
)
KAFKA = _names(
    """
    name match match_regex alias log_level retry_limit storage.total_limit_size workers
    brokers topics topic_key dynamic_topic format message_key message_key_field timestamp_key timestamp_format
    queue_full_retries raw_log_key
    """
)

#: Values of settings that know only these. `--dry-run` takes any.
VALUES = {
    "format": {"json", "msgpack", "raw", "gelf"},
    "timestamp_format": {"double", "iso8601", "iso8601_ns"},
    "storage.type": {"memory", "filesystem"},
    "storage.sync": {"normal", "full"},
    "db.sync": {"extra", "full", "normal", "off"},
    "log_level": {"off", "error", "warn", "info", "debug", "trace"},
}
_SWITCHES = (
    *("http_server", "health_check", "json.escape_unicode", "read_from_head", "skip_long_lines", "db.locking"),
    "storage.checksum",
)
VALUES |= {name: {"on", "off", "true", "false"} for name in _SWITCHES}

_VARIABLE = re.compile(r"\$\{([^}]*)\}")


def read(path: Path) -> dict[str, Any]:
    """A configuration, its values as the texts that they are to Fluent Bit: `on` is no truth value there."""
    found: dict[str, Any] = yaml.load(path.read_text(), yaml.BaseLoader)  # noqa: S506 - it makes texts only
    return found


def variables(found: object) -> set[str]:
    """The environment variables in the values of a configuration."""
    return set(_VARIABLE.findall(str(found)))


def output(path: Path) -> dict[str, str]:
    """The settings of its Kafka output."""
    [found] = read(path)["pipeline"]["outputs"]
    return dict(found)


def librdkafka(path: Path, values: dict[str, str]) -> dict[str, str]:
    """What librdkafka is told: brokers, and the settings of its own; `values` are those of the variables."""
    told = {name.removeprefix("rdkafka."): value for name, value in output(path).items() if name.startswith("rdkafka.")}
    told["bootstrap.servers"] = output(path)["brokers"]
    return {name: _VARIABLE.sub(lambda found: values[found[1]], value) for name, value in told.items()}
