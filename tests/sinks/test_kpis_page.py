"""docs/kpis.md names every column that people read, in the section of its table."""

import re
from pathlib import Path

import pytest

from kpi_app.feeds.access_measures import DIMENSIONS
from kpi_app.sinks.migrate import migrate
from tests.conftest import connected

PAGE = (Path(__file__).parents[2] / "docs" / "kpis.md").read_text()
READ = ["access_kpi", "access_kpi_by", "access_load", "ingest_ledger", "completeness", "conservation"]


def section(table: str) -> str:
    """The text under the heading that names a table."""
    found = [text for text in re.split(r"^## ", PAGE, flags=re.MULTILINE) if table in text.splitlines()[0].split(", ")]
    assert len(found) == 1, table
    return found[0]


async def columns(dsn: str, table: str) -> list[str]:
    async with connected(dsn) as connection:
        sql = "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped"
        return [row["attname"] for row in await connection.fetch(sql, table)]


@pytest.mark.parametrize("table", READ)
async def test_every_column_is_on_the_page(table: str, database: str) -> None:
    """A column that is added without a word about it fails here."""
    await migrate(database)
    names = await columns(database, table)
    assert names
    assert [name for name in names if f"`{name}`" not in section(table)] == []


@pytest.mark.parametrize("view", ["access_hourly", "access_daily"])
async def test_the_views_have_the_columns_of_the_table(view: str, database: str) -> None:
    """What the page says they share, they share; what they add is named."""
    await migrate(database)
    shared = set(await columns(database, "access_kpi")) - {"window_start", "window_seconds", "tops_at", "sketches"}
    names = set(await columns(database, view))
    assert shared <= names
    assert all(f"`{name}`" in section(view) for name in names - shared)


def test_every_dimension_is_on_the_page() -> None:
    """And none that there isn't."""
    listed = re.findall(r"^\| `(\w+)` \|", section("access_kpi_by").split("| dimension | value |")[1], re.MULTILINE)
    assert tuple(listed) == DIMENSIONS


@pytest.mark.parametrize("sql", re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL))
async def test_every_example_runs(sql: str, database: str) -> None:
    """On a fresh schema, as it stands on the page."""
    await migrate(database)
    async with connected(database) as connection:
        await connection.fetch(sql.rstrip().rstrip(";"))
