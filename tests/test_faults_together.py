"""DynamoDB, S3 and Kinesis fail at once for a few seconds: no law bends. `make faults` has the whole grid."""

from __future__ import annotations

import pytest

from tests.faults.aws_faults import EVERYTHING
from tests.faults.grid import play

pytestmark = pytest.mark.e2e

SEED = 51


def test_when_all_services_fail_at_once_every_law_holds(stage):
    print(f"seed {SEED}")
    (cell,) = play(stage, stage.application("faults"), [EVERYTHING], SEED)
    assert cell.error == ""
    assert cell.proof.count("×") == 6, "every fault hit"
    assert not any(cell.verdict.broken.values()), (f"seed {SEED}", cell.verdict.broken)
    assert cell.restarts == 0
