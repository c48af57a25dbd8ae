"""`make dev`: the Procfile (worker and shipper), against what `kpi up` runs, until Ctrl-C.

Where KPI_BROKERS or KPI_DATABASE_URL are set, by `kpi up --env-file .env` in another terminal for one, those are used
instead. Unlike the demo it keeps its data, in KPI_DATA_DIR. Without KPI_LOG_FILE it makes traffic up and follows that.
"""

import asyncio
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from kpi_app.demo import ending
from kpi_app.demo.run import write_live
from kpi_app.demo.terminal import console, safe
from kpi_app.errors import UserError
from kpi_app.local.up import local_services, write_env_file
from kpi_app.preflight import check_data_dir
from kpi_app.settings import environment, fields, load
from kpi_app.sinks.migrate import migrate

LOG_FILE = "KPI_LOG_FILE"
_PROCFILE = Path(__file__).parents[2] / "Procfile"


def main() -> int:
    """Run until a signal, or until one of the processes ends; returns the exit code."""
    err = console(stderr=True)
    try:
        return _run(err)
    except UserError as error:
        err.print(safe(str(error)), soft_wrap=True)
        return 1


def _run(err: Console) -> int:
    settings = load()
    given, data_dir = settings.model_fields_set, settings.data_dir.absolute()
    check_data_dir(data_dir)
    with (
        ending.ending_once(),
        local_services(data_dir, kafka="brokers" not in given, postgres="database_url" not in given, console=err) as up,
    ):
        settings = load(**settings.model_dump(exclude_unset=True) | fields(up.env) | {"data_dir": data_dir})
        log = os.environ.get(LOG_FILE)
        env = dict(os.environ) | environment(settings) | {LOG_FILE: log or str(data_dir / "made-up.log")}
        env["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), env.get("PATH", os.defpath)))
        if not log:
            Path(env[LOG_FILE]).touch()  # the shipper refuses what is not there
        ended: list[int] = []

        async def run() -> None:
            await migrate(settings.database_url.get_secret_value(), settings.timezone)
            ended.append(await _honcho(env, Path(env[LOG_FILE]) if not log else None))

        write_env_file(data_dir / "env", environment(settings))
        for line in (
            f"web    http://{settings.web_host}:{settings.web_port}/",
            f"log    {env[LOG_FILE]}",
            f"env    . {shlex.quote(os.path.relpath(data_dir / 'env'))}",
            "Ctrl-C ends all of it.",
        ):
            err.print(safe(line), soft_wrap=True)
        ending.run(run())
        return ended[0]


async def _honcho(env: Mapping[str, str], made_up: Path | None) -> int:
    """Run the Procfile's processes; a cancellation ends them in order. `made_up`: where traffic is to be written."""
    writing = asyncio.ensure_future(write_live(made_up)) if made_up else None
    process = await asyncio.create_subprocess_exec(
        # no .env of its own: it would win over what is set here; kpi's commands read it all the same
        *(sys.executable, "-m", "honcho", "--env", os.devnull, "--procfile", str(_PROCFILE), "start"),
        env=env,
        start_new_session=True,  # Ctrl-C comes to us alone, who pass it on once
    )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
        if writing:
            writing.cancel()


if __name__ == "__main__":
    sys.exit(main())
