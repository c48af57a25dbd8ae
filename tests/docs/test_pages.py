"""Pages of the documentation lead where they say, name what there is, and both READMEs keep step."""

import re
from pathlib import Path

import pytest

from kpi_app.settings import SECRETS, Settings, default
from tests.docs.pages import DOCS, PAGES, README, SPANISH, anchor, blocks, headings, links, rows

SETTINGS = {f"KPI_{name.upper()}" for name in Settings.model_fields}
#: Names with the same beginning that are not the worker's: of `make dev`, and of the tests.
OTHERS = {"KPI_LOG_FILE"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Each to a file of this repository, and to a heading that it has."""
    broken = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, part = link.partition("#")
        target = page.parent / name if name else page
        known = {anchor(text) for _, text in headings(target)} if part and target.suffix == ".md" else {part}
        if not target.exists() or part not in known:
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_on_a_page_exist(page: Path) -> None:
    """A setting that is renamed or gone shows here."""
    names = {name.removesuffix("_FILE") for name in re.findall(r"\bKPI_[A-Z_]*[A-Z]\b", page.read_text())}
    assert names - SETTINGS - {name.removesuffix("_FILE") for name in OTHERS} == set()


def test_defaults_on_the_page_are_those_of_the_code() -> None:
    """And each setting is in its table, but for Kafka's, which docs/security.md has."""
    listed = {cells[0].strip("`"): cells[1].strip("`") for cells in rows(DOCS / "settings.md") if "KPI_" in cells[0]}
    assert listed == {
        f"KPI_{name.upper()}": default(name) for name in Settings.model_fields if not name.startswith("kafka_")
    }
    security = (DOCS / "security.md").read_text()
    assert [name for name in Settings.model_fields if f"KPI_{name.upper()}" not in security + str(listed)] == []


def test_every_page_is_in_the_readme() -> None:
    """Who starts there finds all of them."""
    assert {f"docs/{page.name}" for page in DOCS.glob("*.md")} <= set(links(README))


def test_secrets_are_on_no_command_line() -> None:
    """But for the URL with a placeholder, in the environment."""
    for page in PAGES:
        for block in blocks(page):
            for name in SECRETS - {"database_url"}:
                assert f"KPI_{name.upper()}=" not in block.text, page


# -- the two READMEs


def test_both_readmes_have_the_same_shape() -> None:
    """Headings of the same levels, tables of the same size."""
    assert [level for level, _ in headings(SPANISH)] == [level for level, _ in headings(README)]
    assert [len(cells) for cells in rows(SPANISH)] == [len(cells) for cells in rows(README)]
    assert [cells[0] for cells in rows(SPANISH) if cells[0].startswith("`")] == [
        cells[0] for cells in rows(README) if cells[0].startswith("`")
    ]


def test_both_readmes_have_the_same_blocks() -> None:
    """Commands, their outputs and queries are equal; of drawings and tables of figures, the figures."""
    english, spanish = blocks(README), blocks(SPANISH)
    assert [block.language for block in spanish] == [block.language for block in english]
    for ours, theirs in zip(english, spanish, strict=True):
        if ours.language:
            assert _without_comments(theirs.text) == _without_comments(ours.text)
        else:
            assert _figures(theirs.text) == _figures(ours.text)


def test_both_readmes_have_the_same_links_and_figures() -> None:
    """Links in the same order, but for the picture and those to each other; and no figure in one of them only."""
    assert _comparable(links(SPANISH)) == _comparable(links(README))
    assert sorted(_figures(SPANISH.read_text())) == sorted(_figures(README.read_text()))


def _without_comments(text: str) -> str:
    return re.sub(r"\s+# .*", "", text)


def _comparable(found: list[str]) -> list[str]:
    return [re.sub(r"#.*", "", link) for link in found if "screenshots/" not in link and "README" not in link]


def _figures(text: str) -> list[str]:
    """Numbers of at least two digits, whichever sign parts thousands and decimals."""
    return [re.sub(r"[.,]", "", number) for number in re.findall(r"\d[\d.,]*\d", text)]
