from pathlib import Path

import pytest

from mixcl_auto.errors import RunError
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.plan import Plan
from mixcl_auto.training.cases import open_cases


def test_missing_cases_are_counted_and_named(tmp_path: Path) -> None:
    names = [f"case_{number}" for number in range(7)]
    with pytest.raises(RunError) as caught:
        open_cases(Workspace(tmp_path), Plan(), "Liver", names)
    message = str(caught.value)
    assert message.startswith("Liver: 7 of 7 cases are not in the cache ")
    assert "(case_0, case_1, case_2, case_3, case_4, ...)" in message
    assert "run `mixcl_auto plan_and_preprocess` again as for this plan (fields" in message
