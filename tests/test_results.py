"""The table of results in the documentation holds what the records say."""

from __future__ import annotations

from pathlib import Path

from mmgen.cli.bench import rows_in
from mmgen.evaluation.results import BEGIN, END, markdown

ROOT = Path(__file__).parent.parent
COMMAND = "mmgen bench table --write docs/benchmarks.md"


def test_every_number_of_the_table_is_that_of_a_record() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    lines = text.partition(BEGIN)[2].partition(END)[0].strip().splitlines()
    rows, _ = rows_in(ROOT / "benchmarks" / "results")
    made = markdown(rows).splitlines()
    assert len(lines) > 10
    assert not set(lines) - set(made), f"Make the table again: {COMMAND}"
