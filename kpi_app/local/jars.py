"""Apache Kafka's jars: fetched once with jgo, checked against `kafka-jars.txt`, kept in a cache.

Run as a program to fetch them ahead, with a progress bar: `python -m kpi_app.local.jars`; with `--lock` it
writes `kafka-jars.txt` anew, for another `KAFKA_VERSION`.
"""

import contextlib
import hashlib
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from kpi_app.local.errors import LocalError
from kpi_app.local.progress import OnBytes, Row, Watch

KAFKA_VERSION = "4.1.2"
# Kafka's own dependencies hold no logger behind slf4j: a broker that dies would say nothing.
_ROOTS = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.slf4j:slf4j-simple:1.7.36")
_LIST = Path(__file__).with_name("kafka-jars.txt")
_CONNECTIONS = 4
_TIMEOUT_S = 10  # without a byte


@dataclass(frozen=True)
class Jar:
    """One jar: its Maven coordinate `group:artifact:version`, its hash, its size."""

    coordinate: str
    sha256: str
    size_bytes: int

    @property
    def file_name(self) -> str:
        """Its name in the cache."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"

    def is_whole(self, path: Path) -> bool:
        """Whether the file at `path` is this jar."""
        return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == self.sha256


def default_cache() -> Path:
    """Where the jars are kept: kpi_app's place in the user's cache."""
    return user_cache_path("kpi_app") / f"kafka-{KAFKA_VERSION}"


def kafka_jars() -> list[Jar]:
    """What a broker needs, in the order of its class path."""
    fields = [line.split() for line in _LIST.read_text().splitlines()]
    return [Jar(coordinate, sha256, int(size)) for coordinate, sha256, size in fields]


def missing_jars(cache: Path, wanted: Sequence[Jar] | None = None) -> list[Jar]:
    """The jars (by default, a broker's) that are not in the cache, or not whole."""
    wanted = kafka_jars() if wanted is None else wanted
    return [jar for jar in wanted if not jar.is_whole(cache / jar.file_name)]


def ensure_jars(cache: Path, row: Row, wanted: Sequence[Jar] | None = None) -> list[Path]:
    """The paths of the jars (by default, a broker's), in the order of the class path; fetches what is missing.

    Raises `LocalError` when one can't be had, `OSError` when the cache can't be written.
    """
    wanted = kafka_jars() if wanted is None else wanted
    missing = missing_jars(cache, wanted)
    if missing:
        size_bytes = sum(jar.size_bytes for jar in missing)
        on_bytes = row.fetch(f"fetching Apache Kafka {KAFKA_VERSION}, this first time only", size_bytes)
        _fetch_all(missing, cache, on_bytes)
    return [cache / jar.file_name for jar in wanted]


def _fetch_all(jars: list[Jar], cache: Path, on_bytes: OnBytes) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    # Each arrives aside and is moved in whole: an interrupted fetch, or two at once, leave no half jar.
    with (
        tempfile.TemporaryDirectory(dir=cache, prefix="arriving-") as aside,
        _pool() as pool,
        _abandonable(on_bytes) as counted,  # left first: the pool then has nothing to wait for
    ):
        context = _maven(Path(aside), counted)
        for done in as_completed([pool.submit(_fetch_one, context, jar, cache) for jar in jars]):
            done.result()


@contextlib.contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    """Threads that begin nothing more once one failed or the user said Ctrl-C."""
    pool = ThreadPoolExecutor(_CONNECTIONS)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _abandonable(on_bytes: OnBytes) -> Iterator[OnBytes]:
    """Passes counts on from any thread; once left, ends downloads under way at their next bytes."""
    left, one_at_a_time = threading.Event(), threading.Lock()

    def counted(count: int) -> None:
        if left.is_set():
            raise ConnectionAbortedError("given up")
        with one_at_a_time:
            on_bytes(count)

    try:
        yield counted
    finally:
        left.set()


def _maven(repository: Path, on_bytes: OnBytes) -> Any:
    try:
        from jgo.config import GlobalSettings
        from jgo.maven import MavenContext, PythonResolver
    except ImportError as error:
        raise LocalError(
            f"the embedded Kafka needs the extra 'local' ({error.name} is missing): "
            "run 'make setup', or set KPI_BROKERS to a Kafka of yours"
        ) from error

    @contextlib.contextmanager
    def each(_name: str, _size: int) -> Iterator[OnBytes]:
        yield on_bytes

    # The user's own mirrors, from jgo's configuration, are heeded; with none it is Maven Central.
    mirrors = GlobalSettings.load().repositories or None
    resolver = PythonResolver(progress_callback=each)
    return MavenContext(resolver, repo_cache=repository, remote_repos=mirrors, timeout=_TIMEOUT_S)


def _fetch_one(context: Any, jar: Jar, cache: Path) -> None:
    group, artifact, version = jar.coordinate.split(":")
    try:
        arrived: Path = context.project(group, artifact).at_version(version).artifact().resolve()
    except Exception as error:  # requests' errors and jgo's RuntimeErrors alike: it can't be had
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise LocalError(
            f"could not fetch {jar.coordinate} from Maven Central ({reason}): "
            "check the network and try again, or set KPI_BROKERS to a Kafka of yours"
        ) from error
    if not jar.is_whole(arrived):
        raise LocalError(f"{jar.coordinate} arrived damaged or altered (its SHA-256 differs): try again")
    arrived.replace(cache / jar.file_name)


def _resolve() -> Iterator[Jar]:
    """All jars that the roots need at run time, by their poms."""
    from jgo.parse import Coordinate

    with tempfile.TemporaryDirectory() as aside:
        context = _maven(Path(aside), lambda count: None)
        for root in _ROOTS:
            wanted = replace(Coordinate.parse(root), scope="compile")
            inputs, others = context.resolver.resolve([context.create_dependency(wanted)])
            for dependency in [
                *inputs,
                *(other for other in others if other.scope in ("compile", "runtime")),
            ]:
                artifact = dependency.artifact
                content = artifact.resolve().read_bytes()
                coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
                yield Jar(coordinate, hashlib.sha256(content).hexdigest(), len(content))


def _lock() -> None:
    jars = dict.fromkeys(_resolve())  # the roots share slf4j-api
    _LIST.write_text("".join(f"{jar.coordinate} {jar.sha256} {jar.size_bytes}\n" for jar in jars))


def main() -> int:
    """`python -m kpi_app.local.jars [--lock]`; returns the exit code."""
    if "--lock" in sys.argv[1:]:
        _lock()
        return 0
    try:
        with Watch() as watch:
            row = watch.row("Kafka")
            ensure_jars(default_cache(), row)
            row.done(f"its jars are in {default_cache()}")
    except (LocalError, OSError) as error:
        print(f"make setup: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
