"""report.html as text: one file, the same every time, every number in it, nothing that is not known."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from made_up_runs import HEX, LAYERS, a_gate, a_manifest, an_evidence, png, spread

from attendc.manifest import read_manifest
from attendc.report.page import render_report
from attendc.report.words import MISSING


class Tree(HTMLParser):
    """Collects every element, and the words outside of script and style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._inside: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self._inside) and data.strip():
            self.words.append(" ".join(data.split()))

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def full() -> Tree:
    return Tree(render_report(a_manifest(), an_evidence()))


def words_of(manifest: dict[str, Any], evidence: dict[str, Any] | None = None) -> str:
    return " ".join(Tree(render_report(manifest, evidence)).words)


def test_the_same_facts_give_the_same_bytes() -> None:
    assert render_report(a_manifest(), an_evidence()) == render_report(a_manifest(), an_evidence())


def test_nothing_in_it_points_outside(full: Tree) -> None:
    links = [v for _, attributes in full.elements for k, v in attributes.items() if k in {"src", "href", "xlink:href"}]
    assert links
    assert all(str(link).startswith(("#", "data:")) for link in links)
    page = render_report(a_manifest(), an_evidence())
    assert not re.search(r"url\(|@import|https?://|fetch\(", page)


def test_the_policy_forbids_all_but_its_own_style_and_script(full: Tree) -> None:
    policy = next(m["content"] for m in full.attributes("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not any("style" in attributes for _, attributes in full.elements)


def test_every_picture_says_in_words_what_it_shows(full: Tree) -> None:
    pictures = full.attributes("svg")
    assert len(pictures) > 10
    assert all(p["role"] == "img" and len(str(p["aria-label"])) > 20 for p in pictures)
    assert all(len(str(image["alt"])) > 20 for image in full.attributes("img"))


def test_every_head_of_a_table_has_a_scope(full: Tree) -> None:
    assert {head.get("scope") for head in full.attributes("th")} == {"row", "col"}


def test_ids_are_unique_and_every_label_has_its_part(full: Tree) -> None:
    ids = [str(a["id"]) for _, a in full.elements if "id" in a]
    assert len(ids) == len(set(ids))
    named = {str(a["aria-labelledby"]) for _, a in full.elements if "aria-labelledby" in a}
    links = {str(a["href"]).removeprefix("#") for a in full.attributes("a")}
    assert named | links <= set(ids)


def test_it_tells_every_fact_of_the_run(full: Tree) -> None:
    said = " ".join(full.words)
    for words in (
        "int8-qat",
        "The gate holds, on 1,000 images of fashion-mnist-mini.",
        "graph and tflite agree",
        "260,000",  # bytes
        "94.50 %",  # accuracy of tflite
        "\N{MINUS SIGN}0.50",  # points against float
        "99.20 %",  # agreement of tflite with float
        "99.90 %",  # and with its graph
        "all 25",  # float operators of a float file
        "tflite_reference 94.00 % of 200 images",
        "equal to the graph's",
        "tflite_reference saw 200 of 1000 images",
        "* on fewer images: tflite_reference 200",
        "8 of 1,000 images; 3 of them are shown.",
        "int8 is right",
        "float is right",
        "neither is right",
        "CONV_2D",
        "0.250",  # parameters after pruning: 100 of 400
        HEX,
        "2 min 10 s",
        "found in the cache",
        "cortex-a76",
        "torch 2.13.0",
        "qat: true",  # the recipe
        "folded 23 batch norms into convolutions",
        *LAYERS,
    ):
        assert words in said, words


def test_failures_stand_on_top() -> None:
    manifest = a_manifest(gates=[a_gate(passed=False, message="onnx lost 3 points")])
    said = words_of(manifest, an_evidence())
    assert said.index("Failed") < said.index("onnx lost 3 points") < said.index("Gates")
    assert "\N{BALLOT X} broken" in said


@pytest.mark.parametrize(
    ("gates", "summary", "is_open"),
    [
        ([a_gate()], "1 gate, it holds", True),
        ([a_gate()] * 9, "9 gates, all hold", False),
        ([*[a_gate()] * 8, a_gate(passed=False)], "9 gates, 1 broken", True),
    ],
)
def test_many_gates_that_hold_are_folded_away(gates: list[dict[str, Any]], summary: str, is_open: bool) -> None:
    page = render_report(a_manifest(gates=gates), None)
    assert (f"<details open><summary>{summary}" if is_open else f"<details><summary>{summary}") in page


def test_warnings_stand_before_the_numbers() -> None:
    said = words_of(a_manifest(warnings=["calibrated on random inputs"]))
    assert said.index("calibrated on random inputs") < said.index("Gates")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"verification": None}, "this run did not verify its files"),
        ({"curves": []}, "There was no training in this run."),
        ({"steps": [], "pruning": None}, "Nothing was pruned in this run."),
        ({"stages": []}, "The times of the stages were not recorded."),
        ({"outputs": {}}, "This run made no files."),
    ],
)
def test_a_part_that_is_missing_is_said_to_be(changes: dict[str, Any], sentence: str) -> None:
    assert sentence in words_of(a_manifest(**changes), an_evidence())


@pytest.mark.parametrize("part", ["layers", "ranges", "disagreements"])
def test_evidence_that_is_missing_is_said_to_be(part: str) -> None:
    evidence = {name: value for name, value in an_evidence().items() if name != part}
    assert "this run kept no evidence of it" in words_of(a_manifest(), evidence)


def test_instructions_stand_beside_their_core_and_what_they_are_worth() -> None:
    rows = [
        {
            "file": "model.int8.tflite",
            "core": "cortex-a76",
            "instructions": 5_000_000,
            "partitions": 1,
            "macs": 12_000_000,
        },
        {"file": "model.int8.onnx", "core": "cortex-a76", "instructions": 20_000_000, "partitions": None, "macs": None},
    ]
    words = words_of(a_manifest(bench=rows))
    assert "model.int8.tflite cortex-a76 5,000,000 0.250 2.40 1 " in words  # 5 of 20 M; 12 M MACs by 5 M
    assert f"model.int8.onnx cortex-a76 20,000,000 1.000 {MISSING} {MISSING} " in words
    assert "a count, not a time" in words
    assert "a count, not a time" not in words_of(a_manifest())


def test_a_run_with_nothing_has_a_page_without_pictures() -> None:
    page = Tree(render_report({}, None))
    assert not page.attributes("svg")
    assert "Not proven" in " ".join(page.words)


def test_no_disagreement_at_all_is_a_finding() -> None:
    evidence = {"disagreements": {"of": 2000, "total": 0, "shown": []}}
    assert "0 of 2,000 images." in words_of(a_manifest(), evidence)


def test_a_layer_whose_error_is_no_number_is_a_dash() -> None:
    evidence = {"layers": [{"layer": "a", "op": "x", "sqnr_db": 12.0}, {"layer": "b", "op": "x", "sqnr_db": math.inf}]}
    assert "1 layers, lowest a 12.0 dB" in render_report(a_manifest(), evidence)


def test_evidence_of_only_broken_numbers_is_no_picture() -> None:
    evidence = {"layers": [{"layer": "a", "op": "x", "sqnr_db": math.nan}]}
    assert "The error by layer was not measured" in words_of(a_manifest(), evidence)


def test_the_agreement_of_the_evidence_goes_before_that_of_the_pairs() -> None:
    found = {"names": ["float", "edge"], "matrix": [[1.0, 0.75], [0.75, 1.0]], "images": [[40, 40], [40, 40]]}
    assert "float and edge: 75.00 %" in render_report(a_manifest(), {"agreement": found})


def test_an_image_that_is_no_png_in_base64_is_left_out() -> None:
    evidence = an_evidence()
    shown = evidence["disagreements"]["shown"]
    shown[0]["image"], shown[1]["image"] = "https://example.org/x.png", png(1) + '" onload="x'
    assert len(Tree(render_report(a_manifest(), evidence)).attributes("img")) == 1


def test_hundreds_of_channels_and_fine_histograms_stay_below_one_and_a_half_megabytes() -> None:
    edges = [k / 64 - 0.5 for k in range(65)]
    fine = {"edges": edges, "counts": [1000 - k for k in range(64)], "zero_point": 0}
    ranges = [
        {
            "layer": name,
            "weight": spread(**fine, scale=[0.01 + k / 1e6 for k in range(256)]),
            "activation": spread(**fine),
        }
        for name in LAYERS
    ]
    assert len(render_report(a_manifest(), {**an_evidence(), "ranges": ranges})) < 1_500_000


@pytest.mark.slow
def test_a_report_of_a_real_run(small_folder: Path) -> None:
    manifest = read_manifest(small_folder)
    said = words_of(manifest)
    for name, entry in manifest["outputs"].items():
        assert name in said
        assert f"{entry['bytes']:,}" in said
    assert f"{100 * manifest['verification']['accuracy']['tflite']:.2f} %" in said


def test_it_is_written_without_torch_and_matplotlib() -> None:
    code = (
        "import sys; from attendc.report import page, compare_page, card, data\n"
        "page.render_report({}, None); card.model_card({}); data.report_json({})\n"
        "print(sorted({'torch', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
