"""Columns narrower than a core's tile become fewer and wider ones, and the network says what it said."""

from __future__ import annotations

import pytest
import torch
from nets import tiny
from torch import nn

from attendc.arm.cost.cost import instructions
from attendc.arm.ops import Op
from attendc.compress.pruning.operators import Operator
from attendc.compress.pruning.wider_columns import cheapest_columns, surgery_of_columns, with_columns
from attendc.errors import UsageError
from attendc.models.surgery import operate


def operator(channels: int, *, columns: int = 4, kind: str = "CONV_2D") -> Operator:
    """Return a 3x3 convolution of so many channels a column on 32x32 pixels."""
    whole = channels * columns
    return Operator(Op(kind, "int8", whole, whole, columns, (3, 3), (1, 1), 32, 32), "layer")


def test_four_columns_of_4_fill_a_quarter_of_four_tiles_and_one_of_16_fills_one() -> None:
    assert cheapest_columns([operator(4)], "cortex-a76") == {"layer": 1}
    apart = instructions(operator(4).op, "cortex-a76")
    one = instructions(operator(16, columns=1).op, "cortex-a76")
    assert one < 0.5 * apart  # 4 tiles of 4 x 9 inputs against one of 16 x 9: measured 0.46


def test_two_columns_of_8_fill_a_tile_of_16_and_an_a72_has_tiles_of_8() -> None:
    assert cheapest_columns([operator(8)], "cortex-a76") == {"layer": 2}
    assert cheapest_columns([operator(8)], "cortex-a72") == {}


@pytest.mark.parametrize("channels", [16, 32, 48])
@pytest.mark.parametrize("core", ["cortex-a76", "cortex-a72"])
def test_columns_of_whole_tiles_stay(channels: int, core: str) -> None:
    assert cheapest_columns([operator(channels)], core) == {}


def test_what_is_no_layer_of_columns_stays() -> None:
    one, depthwise = operator(4, columns=1), operator(1, columns=16, kind="DEPTHWISE_CONV_2D")
    assert cheapest_columns([one, depthwise, Operator(operator(4).op)], "cortex-a76") == {}


@pytest.mark.parametrize("left", [1, 2])
def test_the_function_stays(left: int) -> None:
    net = tiny(columns=4, widths=[8, 8, 8, 8], stem_width=8).eval()
    image = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    wider = with_columns(net, {"stages.0.0.attention.1.0": left, "stages.1.1.stack.0.0": left})
    assert wider.get_submodule("stages.1.1.stack.0.0").groups == left
    assert net.get_submodule("stages.1.1.stack.0.0").groups == 4
    with torch.no_grad():
        assert torch.allclose(wider(image), net(image), atol=1e-6)


def test_bias_and_spec_go_along() -> None:
    net = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4)).eval()
    wider = with_columns(net, {"0": 2})
    surgery = surgery_of_columns(wider, ["0"])
    assert surgery.layers == {"0": (4, 4, 2)}
    fresh = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4)).eval()
    operate(fresh, surgery)
    fresh.load_state_dict(wider.state_dict())
    image = torch.randn(1, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(fresh(image), net(image), atol=1e-6)


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"head": 1}, "the plan joins columns of head, which is no convolution"),
        ({"stages.1.1.stack.0.0": 3}, "to 3, but it has 2"),
        ({"stages.1.1.stack.0.0": 0}, "to 0, but it has 2"),
    ],
)
def test_what_a_plan_cannot_mean_is_told(columns: dict[str, int], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        with_columns(tiny(), columns)
