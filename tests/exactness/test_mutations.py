"""Each mechanism of the protocol is needed: without it, the situation that it is there for loses or doubles lines."""

from collections.abc import Awaitable, Callable

import pytest

from tests.exactness import scenarios
from tests.exactness.conftest import MakeRig
from tests.exactness.rig import Rig
from tests.exactness.truth import Inexact
from tests.exactness.workers import WorkerEnded

Scenario = Callable[..., Awaitable[None]]

#: Mechanisms taken away, the situation that goes wrong then, and how.
NEEDED = [
    ("no_fencing", scenarios.a_zombie_commits_late, Inexact, "requests is 3, should be 4"),
    ("books_in_a_transaction_of_their_own", scenarios.an_end_in_mid_transaction, Inexact, "00:01:40.* is None, should"),
    ("files_in_a_transaction_of_their_own", scenarios.an_end_behind_the_files, WorkerEnded, "ahead of its books"),
    ("files_are_in_memory_only", scenarios.an_end_behind_the_files, Inexact, "duplicates is 0, should be 1"),
    ("catch_up_reads_uncommitted", scenarios.an_end_before_the_dead_letters, Inexact, "dead letter"),
    ("dead_letters_outside_the_transaction", scenarios.an_end_behind_the_dead_letters, Inexact, "dead letter"),
    ("position_moves_by_acknowledgement", scenarios.a_return_to_an_old_disk, Inexact, "requests is 2, should be 3"),
    ("births_are_ignored", scenarios.a_disk_from_before_a_reset, Inexact, "requests is 2, should be 3"),
    ("no_contiguity_check", scenarios.a_lost_batch, Inexact, "requests is 1, should be 2"),
    ("lower_offsets_are_folded_again", scenarios.a_repeated_batch, Inexact, "requests is 4, should be 3"),
    ("older_checkpoints_are_flushed", scenarios.a_flush_that_comes_too_late, WorkerEnded, "set back"),
    ("ledger_is_not_locked nothing_is_flushed_again", scenarios.two_flushes_at_once, WorkerEnded, "set back"),
    ("marks_are_unique", scenarios.a_flush_during_a_merge, Inexact, "requests is 2, should be 3"),
    ("marks_are_taken_last", scenarios.a_flush_during_a_merge, Inexact, "requests is 2, should be 3"),
    ("windows_are_not_locked", scenarios.two_merges_at_once, Inexact, "requests is 1, should be 2"),
    ("dropped_before_flushed", scenarios.windows_close_while_postgres_lags, WorkerEnded, "set back"),
    ("no_explicit_seek no_contiguity_check", scenarios.group_offsets_set_to_the_end, Inexact, "requests is 2, should"),
]

SCENARIOS = list(dict.fromkeys(scenario for _, scenario, _, _ in NEEDED))


@pytest.fixture
async def rig(make_rig: MakeRig) -> Rig:
    """One partition: its lines are told one by one."""
    return await make_rig(partitions=1)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_with_all_mechanisms_in_place_no_number_changes(rig: Rig, scenario: Scenario) -> None:
    """Each of these situations leaves every number right."""
    await scenario(rig)


@pytest.mark.parametrize(("mechanisms", "scenario", "error", "how"), NEEDED, ids=[needed[0] for needed in NEEDED])
async def test_without_the_mechanism_it_goes_wrong(
    rig: Rig, mechanisms: str, scenario: Scenario, error: type[Exception], how: str
) -> None:
    """Without the mechanism lines are lost or doubled, or the worker notices and stops."""
    with pytest.raises(error, match=how):
        await scenario(rig, *mechanisms.split())


@pytest.mark.parametrize("mechanism", ["no_explicit_seek", "no_contiguity_check"])
async def test_the_seek_and_the_check_of_contiguity_make_up_for_each_other(rig: Rig, mechanism: str) -> None:
    """Wherever the group's offsets point, one of the two is enough."""
    await scenarios.group_offsets_set_to_the_end(rig, mechanism)


async def test_the_lock_and_the_look_at_a_ledger_that_went_back_make_up_for_each_other(rig: Rig) -> None:
    """What an older flush has overwritten is flushed again."""
    await scenarios.two_flushes_at_once(rig, "ledger_is_not_locked")


async def test_a_restored_backup_stops_the_worker(rig: Rig) -> None:
    """A database that was set back to before what the state has dropped is not written to."""
    with pytest.raises(WorkerEnded, match="set back"):
        await scenarios.a_restored_backup(rig)


async def test_a_restored_backup_that_goes_unnoticed_loses_lines(rig: Rig) -> None:
    """Without the check the lines between backup and drop are lost."""
    with pytest.raises(Inexact, match="requests is 1, should be 2"):
        await scenarios.a_restored_backup(rig, "restored_backup_goes_unnoticed")
