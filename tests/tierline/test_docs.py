"""The documentation says what the code does."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tierline_broker
from tierline_broker import TOPICS, Record

ROOT = Path(__file__).parents[2]
FIELDS = {
    "claim", "value", "reach", "better", "unit", "spread", "runs", "command", "machine", "versions", "date"
}  # fmt: skip
RECORDS = [one for one in Record.__subclasses__() if one.__module__.startswith(tierline_broker.__name__)]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")]


def test_the_table_of_topics_is_the_one_in_code() -> None:
    text = (ROOT / "docs" / "protocol.md").read_text().partition("## Topics")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (\d) \| (yes|no) \|", text, re.MULTILINE)

    assert rows == [
        (topic.kind, topic.record.__name__, str(topic.qos), "yes" if topic.retain else "no")
        for topic in TOPICS
    ]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_every_field_of_a_record_is_described(record: type[Record]) -> None:
    text = (ROOT / "docs" / "protocol.md").read_text().partition(f"\n**{record.__name__}**")[2]
    section = re.split(r"\n\*\*[A-Z]|\n## ", text)[0]

    assert [name for name in record.model_fields if f"`{name}`" not in section] == []


def test_every_dependency_has_a_line_that_says_what_earns_its_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    listed = re.findall(r"^\| ([\w-]+)[ (|]", (ROOT / "docs" / "dependencies.md").read_text(), re.MULTILINE)

    assert {re.split(r"[<>=!]", one)[0] for one in wanted} == set(listed) - {"package"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_within_the_repository_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())

    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_every_figure_is_a_whole_row() -> None:
    for path in (ROOT / "benchmarks" / "results").glob("*.json"):
        for row in json.loads(path.read_text()):
            assert row.keys() >= FIELDS
            assert row["better"] in ("higher", "lower")
            assert row["spread"][0] <= row["value"] <= row["spread"][1]


def test_the_tables_of_figures_are_the_rows() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/tables.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, ""), "run `make docs`"
