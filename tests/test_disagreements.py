"""The images that float and int8 call differently, as the page shows them."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from two_pixels import LABELS, TWO_PIXELS, evidence, four_images, logits, two_pixels

from attendc.context import Context
from attendc.data.images import Dataset, Images, evenly, images_from_array
from attendc.evidence import LARGEST_PICTURE, MOST_SHOWN, gather_evidence


@pytest.fixture(scope="module")
def four() -> Images:
    """Return the four images."""
    return four_images()


def test_disagreements_are_told_with_the_surest_first(four: Images) -> None:
    """The margins are of softmax: log 3 against 0 is 3/4 against 1/4, log 9 against 0 is 9/10 against 1/10."""
    said = torch.tensor([[math.log(3), 0.0], [1.0, 0.0], [0.0, math.log(9)], [1.0, 0.0]])
    shown = evidence(two_pixels(), None, four, float=said, tflite=logits(1, 0, 0, 0)[:, :2])["disagreements"]
    assert (shown["of"], shown["total"]) == (4, 2)
    told = [{k: v for k, v in row.items() if k != "image"} for row in shown["shown"]]
    assert told == [
        {"index": 2, "label": "right", "float": "right", "int8": "left", "float_margin": pytest.approx(0.8)},
        {"index": 0, "label": "left", "float": "left", "int8": "right", "float_margin": pytest.approx(0.5)},
    ]


def picture(row: dict[str, Any]) -> np.ndarray:
    kind, _, content = row["image"].partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def test_a_disagreement_has_its_raw_image(four: Images) -> None:
    shown = evidence(two_pixels(), None, four, float=logits(0, 0, 0, 0), onnx=logits(0, 1, 0, 0))["disagreements"]
    assert picture(shown["shown"][0]).tolist() == [[255, 0]]


def test_colours_stay_and_large_images_are_scaled_down(four: Images) -> None:
    pixels = np.full((2, 10, 1000, 3), (200, 100, 50), np.uint8)
    images = images_from_array(pixels, np.zeros(2, np.int64))
    shown = evidence(two_pixels(), None, images, float=logits(0, 0), onnx=logits(1, 0))["disagreements"]
    found = picture(shown["shown"][0])
    assert found.shape[1:] == (LARGEST_PICTURE, 3)
    assert found[0, 0].tolist() == [200, 100, 50]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["float", "graph", "onnx", "tflite"], 4),
        (["float", "graph", "onnx"], 3),
        (["float", "graph", "onnx_float32"], 2),
        (["float", "tflite_float32"], 0),
    ],
)
def test_the_first_int8_artefact_stands_for_int8(four: Images, names: list[str], expected: int) -> None:
    """Of the runners the last differs most from float: graph on 2 images, onnx on 3, tflite on 4."""
    said = {
        "float": logits(0, 0, 0, 0),
        "graph": logits(1, 1, 0, 0),
        "onnx": logits(1, 1, 1, 0),
        "tflite": logits(1, 1, 1, 1),
        "onnx_float32": logits(1, 0, 0, 0),
        "tflite_float32": logits(1, 0, 0, 0),
    }
    shown = evidence(two_pixels(), None, four, **{n: said[n] for n in names})["disagreements"]
    assert shown["total"] == expected


def test_no_more_are_shown_than_fit(mini: Dataset) -> None:
    images = evenly(mini.test, 40)
    float_, other = logits(*[0] * 40), logits(*[1] * 40)
    shown = evidence(two_pixels(), None, images, float=float_, graph=other)["disagreements"]
    assert (shown["of"], shown["total"]) == (40, 40)
    assert [row["index"] for row in shown["shown"]] == list(range(MOST_SHOWN))  # as sure as each other


def test_classes_without_a_name_are_told_by_number_and_random_images_have_no_class(four: Images) -> None:
    shown = gather_evidence(
        network=two_pixels(),
        graph=None,
        outputs={"float": logits(2, 0), "graph": logits(0, 0)},
        images=evenly(four, 2),
        preprocess=TWO_PIXELS,
        labels=LABELS,
        context=Context(),
        has_labels=False,
    )["disagreements"]["shown"]
    assert [(row["label"], row["float"], row["int8"]) for row in shown] == [(None, "2", "left")]
