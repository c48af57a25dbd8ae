"""What the bent parts rely on in faust and aiokafka, member by member: an upgrade that moves one fails here.

Behaviour is tested against a real broker in `tests/exactness`; these say *where* to look when it changes.
"""

import inspect
import re
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiokafka
import faust
import faust.worker
import mode
import mode.threads
import pytest
from aiokafka import errors
from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer.fetcher import Fetcher, FetchResult, PartitionRecords
from aiokafka.consumer.group_coordinator import CoordinatorGroupRebalance, GroupCoordinator
from aiokafka.record.default_records import DefaultRecordBatch
from faust.app.router import Router
from faust.stores.rocksdb import Store
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport._cython import conductor
from faust.transport.consumer import Consumer, ThreadDelegateConsumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.web.drivers.aiohttp import Web
from mode.utils.queues import FlowControlEvent, FlowControlQueue

from kpi_app.settings import Settings
from kpi_app.stream.bend import BentApp, identity
from kpi_app.stream.bend.consumer import BatchConsumer, BatchThread, BatchTransport
from kpi_app.stream.bend.recovery import Tables, TakeOver
from kpi_app.stream.bend.worker import BentWorker
from kpi_app.stream.kafka import BATCH_BYTES, transactional_producer

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.mark.parametrize("package", ["faust-streaming", "aiokafka", "rocksdict"])
def test_the_versions_written_against_are_pinned_and_installed(package: str) -> None:
    """The exact version in pyproject.toml is the one that the tests run with."""
    pinned = re.search(rf'"{package}(?:\[[^]]*\])?==([^"]+)"', PYPROJECT.read_text())
    assert pinned is not None
    assert version(package) == pinned[1]


def test_faust_is_compiled() -> None:
    """The pure-Python fallback acknowledges events of a stale generation; the wheel must be the compiled one."""
    import faust._cython.streams

    assert not faust._cython.streams.__file__.endswith(".py")


@pytest.mark.parametrize(
    ("ours", "theirs", "names"),
    [
        (BatchThread, driver.AIOKafkaConsumerThread, ["_create_worker_consumer", "_fetch_records"]),
        (
            BatchConsumer,
            driver.Consumer,
            [
                *("_new_consumer_thread", "getmany", "_wait_next_records", "on_partitions_revoked"),
                *("_filter_tps_with_pending_acks", "_new_offset", "on_buffer_full"),
            ],
        ),
        (TakeOver, Recovery, ["_restart_recovery"]),
        (Tables, TableManager, ["recovery", "on_start"]),
        (BentApp, faust.App, ["_new_transport", "on_first_start", "_stop_consumer"]),
        (BatchTransport, driver.Transport, ["Consumer"]),
        (
            BentWorker,
            faust.worker.Worker,
            ["mundane_level", "on_setup_root_logger", "on_startup_finished", "_on_sigint", "_schedule_shutdown"],
        ),
    ],
)
def test_what_is_overridden_is_there_to_override(ours: type, theirs: type, names: list[str]) -> None:
    """Each member that we replace exists in the class that we replace it in."""
    for name in names:
        assert name in vars(ours)
        assert hasattr(theirs, name)


@pytest.mark.parametrize(
    ("theirs", "names"),
    [
        (driver.AIOKafkaConsumerThread, ["_ensure_consumer", "call_thread"]),
        (
            driver.Consumer,
            ["_wait_next_records", "assignment", "stop_flow", "resume_flow", "resume_partitions", "commit"],
        ),
        (Recovery, ["_set_recovery_started", "_set_recovery_ended", "_wait", "signal_recovery_start"]),
        (TableManager, ["_update_channels", "on_actives_ready", "on_standbys_ready"]),
        (faust.App, ["_fetcher", "on_rebalance_end", "on_rebalance_complete", "consumer_generation_id"]),
        (Store, ["_db_for_partition", "offset_key"]),
        (faust.worker.Worker, ["_signal_stop_time", "_flag_as_shutdown_by_signal"]),
        (GroupCoordinator, ["request_rejoin", "_push_error_to_user"]),
        (ClusterMetadata, ["add_listener", "partitions_for_topic"]),
        (Router, ["tables_metadata"]),
    ],
)
def test_what_is_called_is_there_to_call(theirs: type, names: list[str]) -> None:
    """Each member that we call exists."""
    for name in names:
        assert hasattr(theirs, name), name


@pytest.mark.parametrize(
    ("caller", "called"),
    [
        (driver.AIOKafkaConsumerThread.getmany, "self._fetch_records"),
        (driver.AIOKafkaConsumerThread._create_consumer, "self._create_worker_consumer"),
        (driver.AIOKafkaConsumerThread._create_worker_consumer, "fetch_max_wait_ms=1500"),
        (ThreadDelegateConsumer.__init__, "self._new_consumer_thread()"),
        (Consumer._drain_messages, "getmany(timeout=1.0)"),
        (Consumer._drain_messages, "get_read_offset = self._read_offset.__getitem__"),
        (Consumer._drain_messages, "if r_offset is None or offset >= r_offset"),
        (Consumer.force_commit, "self._filter_tps_with_pending_acks(topics)"),
        (Consumer._filter_committable_offsets, "self._new_offset(tp)"),
        (Consumer._commit_offsets, "self._committed_offset.update(committable_offsets)"),
        (Recovery.on_rebalance, "self.signal_recovery_start.set()"),
        (Recovery.on_rebalance, "self._generation_id = generation_id"),
        (TableManager.on_rebalance, "self.recovery.on_rebalance"),
        (faust.App.on_rebalance_start, "self.rebalancing = True"),
        (faust.App.on_rebalance_end, "self.rebalancing = False"),
        (driver.ConsumerRebalanceListener.on_partitions_revoked, "on_rebalance_start()"),
        (faust.App._stop_consumer, "self.tables.stop()"),
        (faust.App.on_stop, "self._stop_consumer()"),
        (faust.App._new_consumer, "self.transport.create_consumer"),
        (faust.worker.Worker.on_init_dependencies, "self.app.on_startup_finished = self.on_startup_finished"),
        (mode.Worker._on_sigterm, "self._schedule_shutdown(signal.SIGTERM)"),
        (Web.__init__, "self._runner: AppRunner = AppRunner(self.web_app, access_log=None)"),
        (Web.start_server, "await self._runner.setup()"),
        (Web._new_transport_tcp, "self._runner,"),
        (mode.threads.ServiceThread.__init__, "self.thread_loop = "),
        (mode.threads.ServiceThread._start_thread, "self.thread_loop.run_until_complete("),
    ],
)
def test_faust_calls_what_we_replaced(caller: Callable[..., Any], called: str) -> None:
    """The code path that our override sits in is still the one that faust takes."""
    assert called in re.sub(r"T\((\S+)\)\(", r"\1(", inspect.getsource(caller)) or called in inspect.getsource(caller)


def test_a_request_of_ours_goes_the_way_of_aiokafkas_own() -> None:
    """`identify` sends one more version of a request, which its connections choose by what the broker speaks."""
    assert {"get_random_node", "send"} <= set(dir(AIOKafkaClient))
    assert "self._client = AIOKafkaClient(" in inspect.getsource(aiokafka.AIOKafkaConsumer.__init__)
    assert "request.prepare(self._versions)" in inspect.getsource(AIOKafkaConnection.send)
    request = identity._TopicRequest("access-log")
    assert request.prepare({3: (0, 13)}).API_VERSION == 10
    assert request.prepare({3: (0, 9)}).API_VERSION == 4


@pytest.mark.parametrize("option", ["fetch_max_wait_ms", "isolation_level"])
def test_aiokafka_keeps_options_until_start(option: str) -> None:
    """These options are read when the consumer starts, so that they may be set before."""
    assert f"{option}=self._{option}" in inspect.getsource(aiokafka.AIOKafkaConsumer.start)


def test_aiokafka_tells_what_the_group_says_in_one_place() -> None:
    """`member.watch_place` puts its own listener where aiokafka's coordination calls it."""
    routine = inspect.getsource(GroupCoordinator._GroupCoordinator__coordination_routine)  # type: ignore[attr-defined]
    assert "await self._push_error_to_user(exc)" in routine
    assert "self._coordinator = GroupCoordinator(" in inspect.getsource(aiokafka.AIOKafkaConsumer.start)


def test_aiokafka_keeps_a_members_place_where_we_look() -> None:
    """Static membership: the name in the join, no leave at the end while there is one, and the task that does it."""
    made = inspect.getsource(GroupCoordinator.__init__)
    for member in ("_group_instance_id = group_instance_id", "_coordination_task = create_task(", "_closing = "):
        assert f"self.{member}" in made
    assert "self._group_instance_id is None" in inspect.getsource(GroupCoordinator._maybe_leave_group)
    assert "await self._maybe_leave_group()" in inspect.getsource(GroupCoordinator.close)
    assert "self._coordinator._group_instance_id," in inspect.getsource(CoordinatorGroupRebalance.perform_group_join)
    assert "self._closing.set_result(None)" in inspect.getsource(GroupCoordinator.close)
    assert "self.cluster = " in inspect.getsource(AIOKafkaClient.__init__)
    create = inspect.getsource(driver.AIOKafkaConsumerThread._create_worker_consumer)
    assert "group_instance_id=conf.consumer_group_instance_id" in create
    assert "kafka_errors.get(error_code, UnknownError)" in inspect.getsource(errors.for_code)


def test_aiokafka_hands_out_records_of_the_position_only() -> None:
    """What was fetched before a seek is dropped: the label of a batch rests on it."""
    assert "del self._records[tp]" in inspect.getsource(Fetcher.seek_to)
    assert "position" in inspect.getsource(FetchResult.check_assignment)
    assert "self.check_assignment(" in inspect.getsource(FetchResult.getall)


def test_aiokafka_makes_its_records_in_one_place() -> None:
    """`BareResults` puts its own batches and maker of records where aiokafka looks, before the first one is made."""
    assert "self._records[tp] = " in inspect.getsource(Fetcher)
    assert "self.next_fetch_offset = fetch_offset" in inspect.getsource(PartitionRecords.__init__)
    unpack = inspect.getsource(PartitionRecords._unpack_records)
    for line in (
        "records = self._records",
        "while records.has_next():",
        "next_batch = records.next_batch()",
        "for record in next_batch:",
        "if record.offset < self.next_fetch_offset:",
        "consumer_record = self._consumer_record(tp, record)",
        "self.next_fetch_offset = record.offset + 1",
        "yield consumer_record",
    ):
        assert line in unpack
    assert "records = res_or_error.getall(max_records)" in inspect.getsource(Fetcher.fetched_records)
    assert not hasattr(FetchResult, "__slots__"), "its `getall` can be replaced"
    used = set(re.findall(r"next_batch\.([a-z_]+)", unpack))
    assert used <= set(dir(DefaultRecordBatch)), "what it asks a batch for is handed through"
    assert "self._partition_records = partition_records" in inspect.getsource(FetchResult.__init__)


def test_take_over_replaces_the_only_task_that_recovers() -> None:
    """faust's own recovery task is not started beside ours."""
    replaced = {task.fun.__qualname__ for task in TakeOver(_App(), {})._get_tasks()}
    assert "TakeOver._restart_recovery" in replaced
    assert "Recovery._restart_recovery" not in replaced


@pytest.mark.parametrize(("rebalancing", "committed"), [(False, [TP("lines", 0)]), (True, [])])
def test_nothing_is_committed_while_the_group_rebalances(rebalancing: bool, committed: list[TP]) -> None:
    """A commit between joining and syncing makes its worker join anew, and all the others with it, for ever."""
    consumer = BatchConsumer.__new__(BatchConsumer)
    consumer.app = SimpleNamespace(rebalancing=rebalancing, owner=SimpleNamespace(source_topic="lines"))
    consumer.assignment = lambda: {TP("lines", 0), TP("changelog", 0)}
    assert list(consumer._filter_tps_with_pending_acks()) == committed


def test_no_partition_is_left_out_while_the_queue_is_full() -> None:
    """Batches of one partition that waited to be put would go on alone: the queue would never be seen empty."""
    tps = {TP("lines", number) for number in range(4)}
    consumer = BatchConsumer.__new__(BatchConsumer)
    consumer.app = SimpleNamespace(in_recovery=False)
    consumer._active_partitions, consumer._buffered_partitions = set(tps), set()
    queue = FlowControlQueue(1, flow_control=FlowControlEvent())
    for tp in tps:
        full, drop = partial(consumer.on_buffer_full, tp), partial(consumer.on_buffer_drop, tp)
        assert queue.put_nowait_enhanced(tp, on_pressure_high=full, on_pressure_drop=drop)
    assert consumer._get_active_partitions() == tps


def test_faust_asks_the_consumer_what_a_full_queue_means() -> None:
    """In the compiled handler of messages, whose source comes with it."""
    assert "consumer.on_buffer_full" in Path(conductor.__file__).with_name("conductor.pyx").read_text()


async def test_a_checkpoint_is_not_sent_in_pieces_of_two_segments() -> None:
    """aiokafka waits for the broker after each batch, and asks for no more than a megabyte at a time."""
    producer = transactional_producer(Settings(), "checkpoints")
    assert producer._message_accumulator._batch_size == BATCH_BYTES
    await producer.stop()
    assert inspect.signature(aiokafka.AIOKafkaProducer).parameters["max_request_size"].default > BATCH_BYTES


def test_no_offset_counts_as_read() -> None:
    """After a seek back faust would drop every message below the last one read; here it drops none."""
    from kpi_app.stream.bend.consumer import _NoReadOffsets

    offsets = _NoReadOffsets()
    offsets[TP("t", 0)] = 41
    assert offsets[TP("t", 0)] is None


class _App:
    """As much of an app as a Recovery asks for when it is made."""

    class conf:
        stream_recovery_delay = 0.0
