"""MACs of one operator, each by its formula."""

from __future__ import annotations

import pytest

from attendc.network.macs import macs_of
from attendc.network.shapes import bytes_of, elements, join, written
from attendc.network.types import Operation, Product, Shape, Tensor


def count(product: Product | None, out: Shape | None, *inputs: Shape | None) -> int | None:
    names = [f"in{i}" for i in range(len(inputs))]
    tensors = {n: Tensor(n, s, "float32") for n, s in zip([*names, "out"], [*inputs, out], strict=True)}
    return macs_of(Operation("o", "op", tuple(names), ("out",), product=product), tensors)


@pytest.mark.parametrize(
    ("product", "out", "inputs", "expected"),
    [
        # 3x3 from 4 to 8 channels, for 6x6 outputs: 6*6*8 outputs of 3*3*4 products
        (Product("conv", axis=1), ("N", 8, 6, 6), [("N", 4, 8, 8), (8, 4, 3, 3)], 6 * 6 * 8 * 3 * 3 * 4),
        (Product("conv", axis=1), ("N", 8, 6, 6), [("N", 4, 8, 8), (8, 2, 3, 3)], 6 * 6 * 8 * 3 * 3 * 2),  # 2 groups
        (Product("conv"), (1, 6, 6, 8), [(1, 8, 8, 8), (1, 3, 3, 8)], 6 * 6 * 8 * 3 * 3),  # depthwise, NHWC
        # transposed 2x2 with stride 2 from 4 to 3 channels: each of 5*5*4 inputs is spread over 2*2*3 outputs
        (Product("transposed", axis=1), ("N", 3, 10, 10), [("N", 4, 5, 5), (4, 3, 2, 2)], 5 * 5 * 4 * 2 * 2 * 3),
        (Product("matmul"), ("N", 7, 10), [("N", 7, 256), (10, 256)], 7 * 10 * 256),
        (Product("matmul"), ("N", 2, 5, 6), [("N", 2, 5, 3), ("N", 2, 3, 6)], 2 * 5 * 6 * 3),
        (Product("matmul"), ("4*N", 5, 6), [("4*N", 5, 3), ("4*N", 3, 6)], 4 * 5 * 6 * 3),  # 4 windows an image
        # 2 heads, 5 queries, 7 keys of 3 numbers, values of 4: 5*7*3 for the products, 5*7*4 for the sums, twice
        (Product("attention"), ("N", 2, 5, 4), [("N", 2, 5, 3), ("N", 2, 7, 3), ("N", 2, 7, 4)], 2 * 5 * 7 * (3 + 4)),
        (None, ("N", 8), [("N", 8)], 0),
        (Product("matmul"), None, [("N", 7), (10, 7)], None),
        (Product("matmul"), ("?", 10), [("N", 7), (10, 7)], None),
    ],
)
def test_macs_are_for_one_image(
    product: Product | None, out: Shape | None, inputs: list[Shape | None], expected: int | None
) -> None:
    assert count(product, out, *inputs) == expected


@pytest.mark.parametrize(
    ("one", "two", "shape"),
    [([1, 3, 8], [2, 3, 8], ("N", 3, 8)), ([4, 3], [8, 3], ("4*N", 3)), ([1, 5], [2, 7], ("N", "?")), ([], [], ())],
)
def test_what_grows_with_the_images_is_seen_from_two_of_them(one: list[int], two: list[int], shape: Shape) -> None:
    assert join(one, two) == shape


def test_shapes_are_written_and_counted_for_one_image() -> None:
    assert written(("4*N", 3, 8)) == "4*N\N{MULTIPLICATION SIGN}3\N{MULTIPLICATION SIGN}8"
    assert (written(()), written(None)) == ("()", "?")
    assert (elements(("4*N", 3)), elements(("?", 3))) == (12, None)
    assert (bytes_of((3, 3), "int4"), bytes_of((3, 3), "int32"), bytes_of((3,), "object")) == (5, 36, None)
