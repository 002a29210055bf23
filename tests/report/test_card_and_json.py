"""MODEL_CARD.md and report.json: the facts of the page for hubs and for programs."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import yaml
from made_up_runs import HEX, a_gate, a_manifest, an_evidence

from attendc.report.card import model_card
from attendc.report.data import report_json

TOLD = {
    "params": 10,
    "macs": 1000,
    "architecture": {"factory": "attendnext_nano"},
    "labels": ["T-shirt/top", "a|b", "<script>"],
    "preprocess": {"channels": 3, "height": 32, "width": 48, "mean": [0.5, 0.25], "std": [0.125], "fit": "pad"},
}


def front(card: str) -> dict[str, Any]:
    """Return the front matter as a hub reads it."""
    found = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    assert found is not None
    read: dict[str, Any] = yaml.safe_load(found[1])
    return read


def section(card: str, title: str) -> str:
    return card.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_front_matter_tells_task_tags_and_results() -> None:
    read = front(model_card(a_manifest(), an_evidence()))
    assert read["pipeline_tag"] == "image-classification"
    assert read["tags"] == ["float32", "int8", "onnx", "pt2", "tflite"]
    (model,) = read["model-index"]
    values = {m["name"]: m["value"] for result in model["results"] for m in result["metrics"]}
    assert values == {
        "top-1, model.int8.tflite, 1000 images": 0.945,
        "top-1, model.int8.onnx, 1000 images": 0.944,
        "top-1, model.float32.tflite, 1000 images": 0.95,
    }
    assert {result["dataset"]["name"] for result in model["results"]} == {"fashion-mnist-mini"}


def test_without_results_there_is_no_index() -> None:
    assert "model-index" not in front(model_card(a_manifest(verification=None)))


def test_a_name_cannot_break_the_front_matter() -> None:
    read = front(model_card(a_manifest(name="a: b\n---\nlicense: mine")))
    assert read["license"] == "unknown"
    assert read["model-index"][0]["name"] == "a: b\n---\nlicense: mine"


def test_input_and_classes_are_told_where_they_are_known() -> None:
    said = section(model_card(a_manifest(model=TOLD)), "Input and output")
    assert "3 x 32 x 48" in said
    assert "divided by 255; mean 0.5, 0.25, standard deviation 0.125" in said
    assert "T-shirt/top, a&#124;b, &#60;script&#62;" in said
    assert "not known" not in said


def test_what_is_not_known_is_said_to_be_so() -> None:
    card = model_card({})
    assert section(card, "Input and output").count("not known") == 4
    assert "Architecture: not known." in card
    assert "The history of this model is not known." in card
    assert "Accuracy and agreement were not measured." in card


def test_what_a_core_takes_is_told_as_a_count() -> None:
    rows = [{"file": "model.int8.tflite", "core": "cortex-a76", "instructions": 5_000_000, "partitions": 1}]
    told = "Made for: cortex-a76. Counted under emulation: model.int8.tflite takes 5,000,000 instructions an inference"
    assert told in model_card(a_manifest(bench=rows))
    assert "Made for: cortex-a76; nothing was counted on it." in model_card(a_manifest())
    assert report_json(a_manifest(bench=rows))["bench"] == rows


def test_every_measurement_counts_its_images() -> None:
    rows = section(model_card(a_manifest()), "Measured")
    assert "| tflite_reference | 200 | 94.00 % |" in rows
    assert "| model.int8.tflite | 1,000 | 94.50 % | \N{MINUS SIGN}0.50 | 99.20 % | 99.90 % |" in rows
    assert "pt2" not in rows


def test_every_file_has_its_bytes_and_hash() -> None:
    assert f"| model.int8.onnx | onnx | int8 | 250,000 | {HEX} |" in section(model_card(a_manifest()), "Files")


def test_a_failed_run_says_so() -> None:
    card = model_card(a_manifest(gates=[a_gate(passed=False, message="onnx lost 3 points")]))
    assert "Failed: 1 check does not hold.\n- onnx lost 3 points" in section(card, "Measured")


def test_the_steps_stand_in_their_order() -> None:
    said = section(model_card(a_manifest()), "How it was made")
    assert said.strip() == "1. train: test_accuracy 0.95\n2. ptq: images 256"


def test_limits_name_random_calibration_float_operators_and_warnings() -> None:
    manifest = a_manifest(warnings=["sigmoid stays float"])
    manifest["inputs"]["calibration"] = "random"
    manifest["outputs"]["model.int8.tflite"]["float_ops"] = 2
    said = section(model_card(manifest, an_evidence()), "Limits")
    assert "random inputs" in said
    assert "model.int8.tflite holds 2 float operators." in said
    assert "sigmoid stays float" in said


def test_json_has_the_same_keys_for_a_full_and_an_empty_run() -> None:
    assert report_json(a_manifest(), an_evidence()).keys() == report_json({}, None).keys()


def test_json_tells_the_facts_of_the_page() -> None:
    found = report_json(a_manifest(), an_evidence())
    assert found["schema"] == 1
    assert found["verdict"]["state"] == "passed"
    assert found["images"] == 1000
    assert found["artefacts"][0] | {"drop": 0.5} == {
        "file": "model.int8.tflite",
        "name": "tflite",
        "format": "tflite",
        "dtype": "int8",
        "bytes": 260000,
        "sha256": HEX,
        "accuracy": 0.945,
        "images": 1000,
        "drop": 0.5,
        "agreement_float": 0.992,
        "agreement_source": 0.999,
        "source": "graph",
        "float_ops": 0,
        "transposes": None,
        "ops": {"CONV_2D": 22, "ADD": 3},
    }
    assert found["unmeasured"] == {}


def test_json_leaves_out_pictures_and_histograms() -> None:
    found = report_json(a_manifest(), an_evidence())
    assert found["disagreements"]["shown"][0] == {
        "index": 17,
        "label": "Shirt",
        "float": "Coat",
        "int8": "Shirt",
        "float_margin": 0.1,
    }
    assert found["ranges"][0]["weight"] == {"min": -1.0, "max": 1.0, "scale": [0.01, 0.02], "zero_point": 0}
    assert found["ranges"][1]["weight"] is None


def test_json_is_json_also_where_a_number_is_not() -> None:
    evidence = {"layers": [{"layer": "a", "op": "x", "sqnr_db": math.inf}]}
    text = json.dumps(report_json(a_manifest(), evidence), allow_nan=False)
    assert json.loads(text)["layers"] == [{"layer": "a", "op": "x", "sqnr_db": None}]


def test_json_without_evidence_says_what_was_not_measured() -> None:
    found = report_json(a_manifest(), None)
    assert found["unmeasured"].keys() == {"layers", "ranges", "disagreements"}
    assert found["disagreements"] is None
    assert found["agreement"]["names"][0] == "float"  # the verification's own pairs
