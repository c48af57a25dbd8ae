"""The end of a worker that takes too long to stop: its exit code says whether everything is saved."""

from types import SimpleNamespace

import pytest

from kpi_app.stream.bend import worker as bent
from kpi_app.stream.bend.stop import EXIT_CODE


@pytest.mark.parametrize(("finished", "code"), [(True, 0), (False, EXIT_CODE)], ids=["saved", "not saved"])
def test_a_worker_that_is_cut_off_says_whether_it_is_saved(
    monkeypatch: pytest.MonkeyPatch, finished: bool, code: int
) -> None:
    """The group may keep it waiting once all is saved: that is a stop in order."""

    def ended(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr("kpi_app.stream.bend.worker.end", ended)
    monkeypatch.setattr("kpi_app.stream.bend.stop.end", ended)
    with pytest.raises(SystemExit) as end:
        bent.BentWorker._cut_off(SimpleNamespace(app=SimpleNamespace(finished=finished)))  # type: ignore[arg-type]
    assert end.value.code == code
