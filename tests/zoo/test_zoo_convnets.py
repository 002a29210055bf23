"""Networks of convolutions that others wrote, to every target in float32 and int8."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn
from zoo.architectures import ATTENTION, CONVNETS, MIXERS, Member
from zoo.through import check, go_through

from attendc.data.images import Dataset


@pytest.mark.slow
@pytest.mark.parametrize("name", CONVNETS)
def test_it_goes_to_every_target(name: str, mini: Dataset, tmp_path: Path) -> None:
    check(CONVNETS[name], go_through(CONVNETS[name], mini, tmp_path))


def test_the_zoo_holds_at_least_fourteen_and_says_why_where_a_gate_is_lower() -> None:
    zoo = {**CONVNETS, **MIXERS, **ATTENTION}
    assert len(zoo) == len(CONVNETS) + len(MIXERS) + len(ATTENTION) >= 14
    usual = Member(nn.Identity)
    assert all(
        m.why for m in zoo.values() if (m.agreement, m.drop, m.sqnr_db) != (usual.agreement, usual.drop, usual.sqnr_db)
    )
