"""Dashboards and alert rules of Grafana: every query of theirs is run, as kpi_reader, on a filled Postgres."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import promql_parser
import pytest
import yaml

from kpi_app.feeds.access_measures import DIMENSIONS
from kpi_app.stream.metrics import METRICS
from tests.deploy.conftest import DEPLOY, Deployed
from tests.deploy.filled import FROM, TO, fill

GRAFANA = DEPLOY / "grafana"
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}
TOPS = ["value", "requests", "requests_error", "errors", "failed", "bytes_sent"]

#: The columns of every query, by dashboard and panel.
COLUMNS = {
    "kpi-overview": {
        "Requests": ["requests"],
        "Failed (5xx)": ["failed"],
        "Bots": ["bots"],
        "Bytes sent": ["bytes_sent"],
        "Load": ["time", "mean", "peak"],
        "Status classes": ["time", "1xx", "2xx", "3xx", "4xx", "5xx", "other"],
        "Visitors": ["time", "visitors"],
        "Traffic": ["time", "sent"],
        "Busiest hours": ["hour_start", "date", "hour", "requests", "requests_per_second", "peak_requests_per_second"],
    },
    "kpi-paths": {
        "Heaviest": TOPS,
        "Most errors among the busiest (4xx and 5xx)": TOPS,
        "The ten heaviest over time": ["time", "metric", "load"],
    },
    "kpi-latency": {
        "95 % took no longer (last closed window)": ["request_time_p95"],
        "Longest": ["longest"],
        "Mean": ["mean"],
        "Request times": ["time", "p50", "p90", "p95", "p99", "mean"],
        "Load and 95 %": ["time", "load", "p95"],
        "Slowest windows": [
            *("window_start", "requests"),
            *(f"request_time_{name}" for name in ("p50", "p95", "p99", "max")),
        ],
    },
    "kpi-ingest": {
        "Lines unaccounted for": ["lines"],
        "Not merged yet": ["lines"],
        "Rejected": ["rejected"],
        "Furthest behind": ["behind"],
        "Conservation": ["compares", "topic", "partition", "window_seconds", "expected", "actual", "difference"],
        "Books of each partition": [
            *("topic", "partition", "next_offset", "lines", "counted", "rejected", "late_dropped", "duplicates"),
            *("lost_offsets", "expired", "watermark", "idle", "updated_at"),
        ],
        "Late lines and corrections": ["time", "late", "revisions"],
    },
}


def queries(name: str, source: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The panels of a dashboard with each of their queries of a data source."""
    for panel in DASHBOARDS[name]["panels"]:
        for target in panel.get("targets", []):
            if target["datasource"]["uid"] == source:
                yield panel, target


def expanded(sql: str, size_s: int, dimension: str = "path") -> str:
    """A query as Grafana sends it: its macros and our variables filled in."""
    start, end = (f"'{datetime.fromtimestamp(time_s, UTC).isoformat()}'" for time_s in (FROM, TO))
    sql = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 BETWEEN {start} AND {end}", sql)
    sql = sql.replace("${dimension:sqlstring}", f"'{dimension}'").replace("$window", str(size_s))
    assert "$" not in sql, sql
    return sql


@pytest.fixture
async def reader(deployed: Deployed) -> asyncpg.Connection:
    """A session of kpi_reader, on a filled database."""
    await fill(deployed)
    connection = await deployed.connect("reader")
    yield connection
    await connection.close()


async def test_every_query_of_every_panel_gives_rows_of_its_columns(reader: asyncpg.Connection) -> None:
    """In windows of each size; a time series begins with its times, and has numbers in the other columns."""
    for name in DASHBOARDS:
        for panel, target in queries(name, "kpi-postgres"):
            for size_s in (60, 3_600, 86_400):
                where = f"{name}: {panel['title']}, {size_s} s"
                found = await reader.prepare(expanded(target["rawSql"], size_s))
                assert [it.name for it in found.get_attributes()] == COLUMNS[name][panel["title"]], where
                rows = await found.fetch()
                if not (size_s > 60 and "closed" in target["rawSql"]):  # of the larger ones none is closed
                    assert rows, where
                    assert any(it is not None for it in rows[0].values()), where
                if target["format"] == "time_series":
                    check_series(rows, where)


def check_series(rows: list[asyncpg.Record], where: str) -> None:
    """What Grafana can draw: ordered times, then numbers; a text column names the series."""
    times = [row["time"] for row in rows]
    assert times == sorted(times), where
    for row in rows:
        assert isinstance(row["time"], datetime), where
        numbers = [it for name, it in row.items() if name not in ("time", "metric")]
        assert all(it is None or isinstance(it, int | float | Decimal) for it in numbers), where


async def test_numbers_on_the_dashboards_are_those_of_the_lines(reader: asyncpg.Connection) -> None:
    """361 lines in rows and one not merged yet, one rejected, every tenth failed; nothing is unaccounted for."""
    shown = {
        (name, panel["title"]): [tuple(row) for row in await reader.fetch(expanded(target["rawSql"], 60))]
        for name in DASHBOARDS
        for panel, target in queries(name, "kpi-postgres")
    }
    assert shown["kpi-overview", "Requests"] == [(361,)]
    assert round(shown["kpi-overview", "Failed (5xx)"][0][0], 4) == round(36 / 361, 4)
    assert round(shown["kpi-overview", "Bots"][0][0], 2) == 0.33
    assert sum(row[1] for row in shown["kpi-paths", "Heaviest"]) == 361
    assert sum(row[3] for row in shown["kpi-paths", "Most errors among the busiest (4xx and 5xx)"]) == 72
    assert shown["kpi-latency", "Longest"] == [(0.089,)]
    assert shown["kpi-ingest", "Lines unaccounted for"] == [(0,)]
    assert shown["kpi-ingest", "Not merged yet"] == [(1,)]
    assert round(shown["kpi-ingest", "Rejected"][0][0] * 363, 6) == 1
    assert sum(row[3] for row in shown["kpi-overview", "Busiest hours"]) == 361


async def test_variables_list_what_there_is(reader: asyncpg.Connection) -> None:
    """The sizes of the windows from the feed itself; every dimension, and none that there isn't."""
    for name, dashboard in DASHBOARDS.items():
        [window] = [it for it in dashboard["templating"]["list"] if it["name"] == "window"]
        rows = await reader.fetch(window["query"])
        assert [tuple(row) for row in rows] == [(60, "1m"), (3_600, "1h"), (86_400, "1d")], name
    [dimension] = [it for it in DASHBOARDS["kpi-paths"]["templating"]["list"] if it["name"] == "dimension"]
    assert sorted(dimension["query"].split(",")) == sorted(DIMENSIONS)
    assert [it["value"] for it in dimension["options"]] == dimension["query"].split(",")


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_is_whole(name: str) -> None:
    """Ids are unique, panels do not overlap, overrides name a column, and sources are those that are provisioned."""
    dashboard = DASHBOARDS[name]
    assert dashboard["uid"] == name
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    sources = {it["uid"]: it["type"] for it in provisioned("datasources")["datasources"]}
    for panel in panels:
        for target in panel.get("targets", []):
            assert sources[target["datasource"]["uid"]] == target["datasource"]["type"]
        columns = COLUMNS[name].get(panel["title"], [])
        named = [it["matcher"]["options"] for it in panel.get("fieldConfig", {}).get("overrides", [])]
        assert set(named) <= set(columns), panel["title"]


def test_every_panel_of_prometheus_asks_for_metrics_that_there_are() -> None:
    """Each expression can be parsed, and names metrics and labels of kpi_app/stream/metrics.py."""
    asked = [target for name in DASHBOARDS for _, target in queries(name, "kpi-prometheus")]
    assert len(asked) > 5
    for target in asked:
        check_promql(target["expr"])
        labels = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
        assert all(label in target["expr"] for label in labels)


def check_promql(expression: str) -> None:
    """It is PromQL, and names only metrics of ours, with labels that they have, or Prometheus's own."""
    promql_parser.parse(expression)
    known = {metric.name: metric for metric in METRICS}
    names = set(re.findall(r"\bkpi_\w+", expression))
    assert names or "up{" in expression, expression
    for name in names:
        metric = known[re.sub(r"_(bucket|sum|count)$", "", name)]
        assert (metric.kind == "histogram") == (metric.name != name), name
    labels = {label for name in names if name in known for label in known[name].labels} | {"le"}
    for grouping in re.findall(r"\bby \(([^)]*)\)", expression):
        assert set(re.split(r",\s*", grouping)) <= labels, expression


ALERTS = yaml.safe_load((GRAFANA / "provisioning/alerting/kpi.yaml").read_text())["groups"][0]["rules"]


def provisioned(what: str) -> Any:
    """A file of deploy/grafana/provisioning."""
    return yaml.safe_load((GRAFANA / "provisioning" / what / "kpi.yaml").read_text())


async def values(connection: asyncpg.Connection) -> dict[str, bool]:
    """Which of the alert rules would fire now."""
    fires = {}
    for rule in ALERTS:
        query, condition = rule["data"]
        [row] = await connection.fetch(query["model"]["rawSql"])
        [number] = row.values()
        assert isinstance(number, float), rule["uid"]
        [it] = condition["model"]["conditions"]
        assert it["evaluator"]["type"] == "gt"
        assert condition["model"]["expression"] == query["refId"]
        assert (query["datasourceUid"], rule["condition"]) == ("kpi-postgres", condition["refId"])
        fires[rule["uid"]] = number > it["evaluator"]["params"][0]
    return fires


async def test_alerts_fire_on_what_they_are_about_and_on_nothing_else(deployed: Deployed) -> None:
    """On rows that are two years old; then made new; then with failures; then with a line too many."""
    await fill(deployed)
    admin = await deployed.connect()
    reader = await deployed.connect("reader")
    quiet = dict.fromkeys((rule["uid"] for rule in ALERTS), False)
    assert await values(reader) == quiet | {"kpi-no-lines": True, "kpi-behind": True}
    await admin.execute("UPDATE ingest_ledger SET watermark = now()")
    assert await values(reader) == quiet
    await admin.execute(
        "UPDATE access_kpi SET window_start = now() - interval '1 minute' WHERE window_start ="
        " (SELECT max(window_start) FROM access_kpi WHERE window_seconds = 60) AND window_seconds = 60"
    )
    assert await values(reader) == quiet  # few requests: their share says nothing
    await admin.execute(
        "UPDATE access_kpi SET requests = 1000, status_5xx = 100 WHERE window_start > now() - interval '5 minutes'"
    )
    assert await values(reader) == quiet | {"kpi-failed-share": True, "kpi-conservation": True}
    await admin.execute("UPDATE access_kpi SET requests = 1, status_5xx = 0")
    assert await values(reader) == quiet  # rows are behind, which they may be while there is something to merge
    await admin.execute("DELETE FROM dirty_window")
    assert await values(reader) == quiet | {"kpi-conservation": True}
    for connection in (admin, reader):
        await connection.close()


async def test_an_idle_partition_is_not_behind(deployed: Deployed) -> None:
    """Only while its lease holds, which a dead worker does not renew."""
    await fill(deployed)
    admin = await deployed.connect()
    await admin.execute("UPDATE ingest_ledger SET idle = true, idle_until = now() + interval '1 hour'")
    assert not (await values(admin))["kpi-behind"]
    await admin.execute("UPDATE ingest_ledger SET idle_until = now() - interval '1 second'")
    assert (await values(admin))["kpi-behind"]
    await admin.close()


def test_grafana_reads_as_the_reader() -> None:
    """And its password is in no file."""
    [postgres, _] = provisioned("datasources")["datasources"]
    assert postgres["user"] == "kpi_reader"
    assert postgres["secureJsonData"] == {"password": "${POSTGRES_READER_PASSWORD}"}
    assert not postgres["editable"]


RULES = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus/rules.yaml").read_text())["groups"]
    for rule in group["rules"]
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_of_prometheus_asks_for_metrics_that_there_are(rule: dict[str, Any]) -> None:
    """And says only labels that its expression leaves."""
    check_promql(rule["expr"])
    said = re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"]))
    assert set(said) <= {label for metric in METRICS for label in metric.labels} | {"instance"}
