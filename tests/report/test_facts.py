"""What is told about a run: the verdict, the rows, and what was not measured."""

from __future__ import annotations

import pytest
from made_up_runs import a_gate, a_manifest, an_evidence

from attendc.report.facts import artefacts, references, run_name, unmeasured, verdict


def test_a_run_passed_if_its_verification_and_every_gate_did() -> None:
    found = verdict(a_manifest())
    assert found.state == "passed"
    assert found.sentence == "The gate holds, on 1,000 images of fashion-mnist-mini."
    assert found.failures == ()


def test_a_broken_gate_fails_the_run_whatever_the_verification_says() -> None:
    broken = a_gate(name="size", passed=False, message="270,000 bytes, 260,000 allowed")
    found = verdict(a_manifest(gates=[a_gate(), broken]))
    assert (found.state, found.failures) == ("failed", ("270,000 bytes, 260,000 allowed",))
    assert found.sentence == "1 check does not hold."


def test_a_gate_without_a_message_tells_its_value_and_limit() -> None:
    found = verdict(a_manifest(gates=[a_gate(value=0.5, passed=False, message="")]))
    assert found.failures == ("graph and tflite agree is 0.5, its limit is 0.99",)


def test_a_failure_that_a_gate_repeats_is_told_once() -> None:
    checked = {**a_manifest()["verification"], "failures": ["a", "b"], "passed": False}
    found = verdict(a_manifest(verification=checked, gates=[a_gate(passed=False, message="b")]))
    assert found.failures == ("a", "b")
    assert found.sentence == "2 checks do not hold."


def test_a_gate_that_does_not_say_that_it_passed_did_not() -> None:
    gate = {key: value for key, value in a_gate().items() if key != "passed"}
    assert verdict(a_manifest(gates=[gate])).state == "failed"


def test_without_verification_nothing_is_proven_whatever_else_holds() -> None:
    assert verdict({"outputs": {}}).state == "unproven"
    found = verdict({"gates": [a_gate()]})
    assert found.state == "unproven"
    assert found.sentence.startswith("The gate holds. Nothing was verified")
    assert verdict({"gates": [a_gate(passed=False)]}).state == "failed"


def test_every_file_is_a_row_with_the_graphs_last() -> None:
    rows = artefacts(a_manifest())
    assert [r.file for r in rows] == ["model.int8.tflite", "model.int8.onnx", "model.float32.tflite", "model.int8.pt2"]


def test_a_row_tells_bytes_accuracy_drop_and_both_agreements() -> None:
    tflite, _, float32, graph = artefacts(a_manifest())
    assert (tflite.bytes, tflite.accuracy, tflite.images, tflite.float_ops) == (260_000, 0.945, 1000, 0)
    assert tflite.drop == pytest.approx(95.0 - 94.5)
    assert (tflite.source, tflite.agreement_float, tflite.agreement_source) == ("graph", 0.992, 0.999)
    assert (float32.source, float32.agreement_float, float32.agreement_source) == ("float", 1.0, 1.0)
    assert (graph.accuracy, graph.images, graph.drop, graph.agreement_source) == (None, None, None, None)


def test_what_is_no_file_tells_how_many_images_it_saw() -> None:
    found = {r.name: (r.accuracy, r.images) for r in references(a_manifest())}
    assert found == {"float": (0.95, 1000), "graph": (0.945, 1000), "tflite_reference": (0.94, 200)}


def test_the_name_of_a_run_is_its_own_else_its_checkpoints_else_its_commands() -> None:
    assert run_name(a_manifest()) == "int8-qat"
    assert run_name(a_manifest(name="")) == "nano"
    assert run_name({"command": "convert"}) == "convert"


def test_a_full_run_measured_everything() -> None:
    assert unmeasured(a_manifest(), an_evidence()) == {}


@pytest.mark.parametrize(
    ("manifest", "evidence", "missing"),
    [
        (a_manifest(), None, {"layers", "ranges", "disagreements"}),
        (a_manifest(), {"disagreements": {"of": 9, "total": 0, "shown": []}}, {"layers", "ranges"}),
        (a_manifest(verification=None), an_evidence(), {"verification", "agreement"}),
        (a_manifest(curves=[], steps=[], stages=[]), an_evidence(), {"curves", "steps", "stages"}),
        (a_manifest(verification={**a_manifest()["verification"], "accuracy": {}}), an_evidence(), {"accuracy"}),
    ],
)
def test_what_was_not_measured_is_said(
    manifest: dict[str, object], evidence: dict[str, object] | None, missing: set[str]
) -> None:
    assert unmeasured(manifest, evidence).keys() == missing


def test_a_run_without_int8_has_no_error_by_layer_for_that_reason() -> None:
    outputs = {k: v for k, v in a_manifest()["outputs"].items() if v["dtype"] == "float32"}
    assert "no int8 graph" in unmeasured(a_manifest(outputs=outputs), None)["layers"]
