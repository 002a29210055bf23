"""Torch's quantized engines, set for a while."""

from __future__ import annotations

import pytest
import torch

from attendc.engines import default_engine, engines, quantized_engine
from attendc.errors import UsageError


def test_the_default_is_one_of_those_here() -> None:
    assert default_engine() in engines()
    with quantized_engine():
        assert torch.backends.quantized.engine == default_engine()


@pytest.mark.parametrize("name", engines())
def test_what_was_set_before_is_set_again_also_after_an_error(name: str) -> None:
    before = torch.backends.quantized.engine
    with quantized_engine(name):
        assert torch.backends.quantized.engine == name
    assert torch.backends.quantized.engine == before
    with pytest.raises(ZeroDivisionError), quantized_engine(name):
        raise ZeroDivisionError
    assert torch.backends.quantized.engine == before


def test_an_engine_that_is_not_here_is_named() -> None:
    with (
        pytest.raises(UsageError, match=r"torch has no engine 'cudnn' here. It has .*qnnpack"),
        quantized_engine("cudnn"),
    ):
        pass
