"""The drawing: well-formed, a box for each layer, a line for each edge, words that are only words."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import combinations

from attendc.network.card import card_lines
from attendc.network.draw import draw_network
from attendc.network.families import family
from attendc.network.merge import Group, merged
from attendc.network.types import Edge, Network, Node, Tensor

SVG = "{http://www.w3.org/2000/svg}"


def network(ops: list[str], edges: list[tuple[int, int]], dtype: str = "int8") -> Network:
    nodes = [Node(f"{n} {op}", op, (Tensor(f"t{n}", ("N", 4), dtype),)) for n, op in enumerate(ops)]
    return Network(tuple(nodes), tuple(Edge(nodes[a].name, nodes[b].name, f"t{a}") for a, b in edges))


RESIDUAL = network(
    ["input", "conv2d", "relu", "conv2d", "add", "output"], [(0, 1), (1, 2), (2, 3), (1, 4), (3, 4), (4, 5)]
)


def test_there_is_a_box_for_each_node_and_a_line_for_each_edge() -> None:
    root = ET.fromstring(draw_network(RESIDUAL, "net"))
    cards = [r for r in root.iter(f"{SVG}rect") if "card f" in str(r.get("class")) and r.get("width") != "13"]
    wires = [p for p in root.iter(f"{SVG}path") if str(p.get("class")).startswith("wire")]
    assert (len(cards), len(wires)) == (6, 6)
    sides = [tuple(float(str(r.get(k))) for k in ("x", "y", "width", "height")) for r in cards]
    for a, b in combinations(sides, 2):
        assert a[0] + a[2] <= b[0] or b[0] + b[2] <= a[0] or a[1] + a[3] <= b[1] or b[1] + b[3] <= a[1]


def test_integers_are_filled_and_floats_are_outlines() -> None:
    for dtype, kind in (("int8", "integer"), ("quint8", "integer"), ("float32", "float")):
        drawn = draw_network(network(["conv2d"], [], dtype), "net")
        assert f'class="card f1 {kind}"' in drawn


def test_words_are_only_words_and_the_bytes_are_the_same() -> None:
    odd = network(["<script>", "a&b"], [(0, 1)])
    drawn = draw_network(odd, "x<y")
    assert "<script>" not in drawn
    assert "x<y" in [t.text for t in ET.fromstring(drawn).iter(f"{SVG}text")]
    assert drawn == draw_network(odd, "x<y")


def test_a_name_with_what_xml_has_no_words_for_is_drawn() -> None:
    root = ET.fromstring(draw_network(network(["a\x00b\x1f\ud800"], []), "net"))
    assert "a\N{REPLACEMENT CHARACTER}b" + 2 * "\N{REPLACEMENT CHARACTER}" in [t.text for t in root.iter(f"{SVG}text")]


def test_what_moves_numbers_is_drawn_with_its_layer() -> None:
    groups, edges = merged(
        network(["input", "conv2d", "permute", "reshape", "add", "output"], [(i, i + 1) for i in range(5)])
    )
    assert [g.main.op for g in groups] == ["input", "conv2d", "add", "output"]
    assert [n.op for n in groups[1].after] == ["permute", "reshape"]
    assert [(e.source, e.target) for e in edges] == [
        ("0 input", "1 conv2d"),
        ("1 conv2d", "4 add"),
        ("4 add", "5 output"),
    ]


def test_a_relu_is_drawn_with_the_layer_that_it_alone_reads() -> None:
    ops = ["input", "Conv", "Clip", "reshape", "mul", "relu", "output"]  # the mul reads the input, too
    groups, edges = merged(network(ops, [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4), (4, 5), (5, 6)]))
    told = [(g.main.op, [n.op for n in g.after]) for g in groups]
    assert told == [("input", []), ("Conv", ["Clip", "reshape"]), ("mul", ["relu"]), ("output", [])]
    assert len(edges) == 4


def test_a_relu_of_what_others_read_too_is_drawn_by_itself() -> None:
    groups, _ = merged(network(["input", "Conv", "Relu", "Add"], [(0, 1), (1, 2), (1, 3), (2, 3)]))
    assert [g.main.op for g in groups] == ["input", "Conv", "Relu", "Add"]


def test_moves_between_two_branches_find_one_owner() -> None:
    ops = ["input", "conv2d", "slice", "reshape", "add", "output"]
    groups, _ = merged(network(ops, [(0, 1), (1, 2), (1, 4), (2, 3), (3, 4), (4, 5)]))
    assert [(g.main.op, [n.op for n in g.before]) for g in groups][2:] == [
        ("add", ["slice", "reshape"]),
        ("output", []),
    ]


def test_one_table_knows_the_names_of_all_formats() -> None:
    names = ("FULLY_CONNECTED", "Gemm", "quantized::linear_relu", "MatMul", "_convolution", "Conv2D", "nonsense")
    assert [family(n) for n in names] == [*["matrix product"] * 4, *["convolution"] * 2, "other"]


def test_a_box_tells_macs_and_bytes_or_that_the_macs_are_unknown() -> None:
    weight = Tensor("w", (10, 6), "int8", bytes=60)
    for macs, told in ((60, "60 MACs"), (None, "MACs unknown")):
        node = Node("n", "linear", (Tensor("y", ("N", 10), "int8"),), (weight,), macs)
        assert f"{told} \N{MIDDLE DOT} 60 bytes" in [text for text, _ in card_lines(Group(node))]
