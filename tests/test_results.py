"""What documents and cards claim is what the records say."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmgen import hub
from mmgen.cli.bench import rows_in, tables_of
from mmgen.evaluation.claims import measured, wrong_claims
from mmgen.evaluation.results import Row, marked

ROOT = Path(__file__).parent.parent
ROWS, LEFT_OUT = rows_in(ROOT / "benchmarks" / "results")
SHIPPED = {name: r for name, r in hub.recipes().items() if r.weights.is_file()}
DOCUMENTS = {"README.md": "pipelines", "docs/benchmarks.md": "results"}


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Row]]:
    """What was measured of each recipe."""
    return measured(ROWS)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_tables_are_those_of_the_records(document: str) -> None:
    made = tables_of(ROWS)[DOCUMENTS[document]]
    there = marked((ROOT / document).read_text("utf-8"), DOCUMENTS[document])
    assert there == made, f"Make the table again: mmgen bench table --write {document}"


def test_no_record_is_of_an_older_protocol_or_of_other_weights() -> None:
    assert not LEFT_OUT


@pytest.mark.parametrize("name", SHIPPED)
def test_a_card_claims_what_was_measured(name: str, found: dict[str, dict[str, Row]]) -> None:
    wrong = wrong_claims(SHIPPED[name].card, found.get(name, {}))
    assert not wrong, f"{SHIPPED[name].path.name}: " + "\n".join(wrong)


def test_a_card_that_drifts_is_found(found: dict[str, dict[str, Row]]) -> None:
    recipe = SHIPPED["text-to-image:scenes"]
    card, own = recipe.card, found[recipe.name]
    name = next(iter(card.scores))
    assert not wrong_claims(card, own)
    card.scores[name] = card.scores[name].replace("5", "6")
    card.scores["scenes: beauty"] = "100 %"
    first, second, said = wrong_claims(card, own)
    assert "in its record" in first and "No record says 'scenes: beauty'" in second
    assert repr(own[name].score) in said
