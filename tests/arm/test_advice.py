"""What is advised, and what it would win: the difference of what the cost table says of before and after."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from attendc.arm.check.advice import Advice, advise
from attendc.arm.check.partitions import Fallen
from attendc.arm.cost.cost import instructions
from attendc.arm.ops import SILU, Op

A72, A76 = "cortex-a72", "cortex-a76"


def column(channels: int, *, columns: int = 4, size: int = 56, name: str = "") -> Op:
    """Return a 3x3 convolution with so many channels in and out of each column."""
    both = channels * columns
    return Op("CONV_2D", "int8", both, both, columns, (3, 3), (1, 1), size, size, name)


def plain(kind: str, channels: int = 64, *, size: int = 56, dtype: str = "int8", index: tuple[int, ...] = ()) -> Op:
    """Return an operator that is no layer."""
    return Op(kind, dtype, channels, channels, height=size, width=size, name=kind.lower(), index=index)


def cost(ops: Sequence[Op], core: str = A76) -> float:
    return sum(instructions(op, core) for op in ops)


def advised(ops: Sequence[Op], *fallen: Fallen, cores: Sequence[str] = (A76,)) -> list[Advice]:
    return advise(ops, fallen, {core: cost(ops, core) for core in cores})


def test_columns_that_fill_no_tile_are_joined_by_stage_and_cost_what_16_cost() -> None:
    narrow = [column(10, name=f"conv_{i}") for i in range(6)]
    first = advised([*narrow, column(32, size=28)])[0]
    assert first.kind == "columns"
    assert first.layers == tuple(f"conv_{i}" for i in range(6))
    assert first.found.startswith("6 layers at 56x56 have 10 channels a column: 16 cost ")
    assert first.todo == "Widen to 16, or drop a block instead of channels"
    # 16 channels a column are 2.56 times the work: (16 * 16) / (10 * 10)
    assert first.won[A76] == pytest.approx(cost(narrow) - cost([column(16)] * 6) / 2.56)
    assert first.share[A76] == pytest.approx(first.won[A76] / cost([*narrow, column(32, size=28)]))
    assert first.share[A76] > 0.3


def test_both_neighbours_of_a_width_between_tiles_are_priced() -> None:
    (found,) = advised([column(40)])
    more, less = (cost([column(n)]) / cost([column(40)]) - 1 for n in (48, 32))
    assert more > 0.02  # else it would say `the same`
    assert found.found == f"1 layer at 56x56 has 40 channels a column: 48 cost {more:.0%} more, 32 {-less:.0%} less"
    assert found.todo == "Widen to 48, or prune to 32"


@pytest.mark.parametrize("channels", [16, 32, 48, 96])
def test_columns_that_fill_the_tile_are_left_alone(channels: int) -> None:
    assert advised([column(channels)]) == []


def test_the_tile_is_that_of_the_core() -> None:
    # SDOT kernels of the A76 are 16 wide, those of the A72, which has none, 8: 24 fill them.
    assert [a.kind for a in advised([column(24)], cores=[A76])] == ["columns"]
    assert advised([column(24)], cores=[A72]) == []


def test_a_stem_to_a_quarter_is_weighed_against_patches() -> None:
    image = Op("CONV_2D", "int8", 3, 32, 1, (3, 3), (2, 2), 112, 112, "first")
    second = Op("CONV_2D", "int8", 32, 32, 4, (3, 3), (1, 1), 112, 112, "second")
    pool = Op("DEPTHWISE_CONV_2D", "int8", 32, 32, 32, (3, 3), (2, 2), 56, 56, "pool")
    body = [column(16, name="body")] * 4
    found = next(a for a in advised([image, second, pool, *body]) if a.kind == "stem")
    assert found.layers == ("first", "second", "pool")
    patch = Op("CONV_2D", "int8", 12, 32, 1, (4, 1), (4, 1), 56, 56)
    silu = Op(SILU, "int8", 32, 32, height=56, width=56)
    assert found.won[A76] == pytest.approx(cost([image, second, pool]) - cost([patch, silu]))
    assert "from 3 channels, makes 56x56" in found.found


def test_a_stem_that_is_patches_already_is_left_alone() -> None:
    patch = Op("CONV_2D", "int8", 12, 32, 1, (4, 1), (4, 1), 56, 56, "stem")
    assert not [a for a in advised([patch, *[column(16)] * 4]) if a.kind == "stem"]


def test_a_network_that_keeps_its_resolution_has_no_stem_to_replace() -> None:
    image = Op("CONV_2D", "int8", 3, 32, 1, (3, 3), (1, 1), 32, 32, "first")
    assert not [a for a in advised([image, *[column(16, size=32)] * 8]) if a.kind == "stem"]


@pytest.mark.parametrize(("operator", "instead"), [("HARD_SWISH", SILU), ("SOFTMAX", "LOGISTIC")])
def test_what_falls_out_wins_what_its_replacement_spares(operator: str, instead: str) -> None:
    gone = plain(operator, index=(1,))
    why = Fallen(1, operator, "no kernel", "use another", "name")
    (found,) = advised([column(16), gone], why)
    assert (found.kind, found.found, found.todo) == ("fallen", f"1 {operator}: no kernel", "use another")
    assert found.won[A76] == pytest.approx(cost([gone]) - cost([plain(instead)]))


def test_a_softmax_at_the_end_can_be_left_out() -> None:
    gone = plain("SOFTMAX", 1000, size=1, index=(1,))
    small = column(16, size=2)
    (found,) = advised([small, gone], Fallen(1, "SOFTMAX", "no kernel", "leave it out", at_end=True))
    assert found.won[A76] == pytest.approx(cost([gone]))


def test_operators_that_compute_nothing_win_all_they_cost() -> None:
    (found,) = advised([column(16), plain("TRANSPOSE")])
    assert (found.kind, found.found) == ("layout", "1 TRANSPOSE")
    assert found.won[A76] == pytest.approx(cost([plain("TRANSPOSE")]))


def test_a_float_file_is_told_what_int8_costs() -> None:
    def net(dtype: str) -> list[Op]:
        return [Op("CONV_2D", dtype, 64, 64, 1, (3, 3), (1, 1), 28, 28, f"{i}") for i in range(3)]

    (found,) = advised(net("float32"))
    assert (found.kind, found.found) == ("float", "the network computes in float32")
    assert found.won[A76] == pytest.approx(cost(net("float32")) - cost(net("int8")))


def test_float_layers_among_int8_are_named() -> None:
    left = Op("CONV_2D", "float32", 64, 64, 1, (3, 3), (1, 1), 28, 28, "left")
    found = next(a for a in advised([column(16), left]) if a.kind == "float")
    assert found.found == "1 layer computes in float32 in a file of int8"
    assert found.layers == ("left",)


def test_depthwise_kernels_beyond_5x5_cost_many_times_theirs() -> None:
    def depthwise(size: int) -> Op:
        return Op("DEPTHWISE_CONV_2D", "int8", 64, 64, 64, (size, size), (1, 1), 28, 28, "dw")

    (found,) = advised([depthwise(7)])
    assert found.found == "1 layer of depthwise 7x7, for which XNNPACK has no kernel of its own"
    assert found.won[A76] == pytest.approx(cost([depthwise(7)]) - cost([depthwise(5)]))
    assert found.share[A76] > 0.9


def test_a_mean_over_the_image_is_cheaper_as_mean() -> None:
    mean = Op("DEPTHWISE_CONV_2D", "int8", 64, 64, 64, (28, 28), (28, 28), 1, 1, "pool", (3,))
    found = advise([mean], (), {A76: cost([mean])}, averages=[3])
    assert [a.found for a in found] == ["1 layer of depthwise 28x28 takes the mean of an image"]
    as_mean = Op("MEAN", "int8", 64, 64, kernel=(28, 28))
    assert found[0].won[A76] == pytest.approx(cost([mean]) - cost([as_mean]))
    # one with learned weights is no mean
    assert [a.kind for a in advise([mean], (), {A76: cost([mean])})] == ["kernel"]


def test_what_is_in_a_stem_to_replace_is_advised_on_once() -> None:
    image = Op("CONV_2D", "int8", 3, 24, 1, (3, 3), (2, 2), 112, 112, "first")  # 24 fill no tile
    second = Op("CONV_2D", "int8", 24, 24, 1, (3, 3), (2, 2), 56, 56, "second")
    assert [a.kind for a in advised([image, second, *[column(16)] * 4])] == ["stem"]


def test_what_wins_most_comes_first_and_what_wins_nothing_not_at_all() -> None:
    ops = [*[column(10)] * 3, plain("TRANSPOSE", 8, size=7), plain("TRANSPOSE", 64)]
    found = advised(ops)
    assert [a.won[A76] for a in found] == sorted((a.won[A76] for a in found), reverse=True)
    assert advised([column(16)] * 50 + [plain("TRANSPOSE", 8, size=7)]) == []


def test_of_what_the_table_does_not_know_nothing_is_promised() -> None:
    odd = plain("TRANSPOSE", dtype="int64")
    assert advised([column(16), odd]) == []


def test_advice_has_a_win_for_each_core() -> None:
    (found,) = advised([column(10)], cores=[A76, A72])
    assert found.won.keys() == found.share.keys() == {A76, A72}
    assert found.as_json()["won"] == {core: round(won) for core, won in found.won.items()}
