r"""What networks cost on ARM, and what tools make of one network: instructions per inference, emulated, in one run.

    attendc arm setup
    OMP_NUM_THREADS=1 python benchmarks/arm_peers.py -o docs/arm-peers --keep /tmp/arm-peers

writes docs/arm-peers.md and docs/arm-peers.svg. Every network goes the same way (`attendc quantize --calib random`,
TFLite in int8 and float32), and every file is counted in the same processes, one a core. `--keep` is a folder for the
files that were made and what was counted, so that a run that was stopped goes on; about a minute a network without it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from arm_files import CORES, Counts, M, counted, network_files
from arm_networks import NETWORKS, Network, opened
from arm_tools import TOOLS, images_for

from attendc.arm.emulation.emulator import Answer
from attendc.errors import AttendcError, ConversionError
from attendc.metrics import count_macs

OURS = "attendnext_arm"
"""The network that the tools are compared on."""
COMMAND = "OMP_NUM_THREADS=1 python benchmarks/arm_peers.py -o docs/arm-peers"


def say(text: str) -> None:
    """Tell how far it is."""
    sys.stderr.write(f"{text}\n")


def tool_files(network: Network, keep: Path) -> dict[str, Path | str]:
    """Return the int8 file of each tool, or what it said where it could not."""
    source = opened(network)
    images = images_for(source)
    found: dict[str, Path | str] = {}
    for tool, make in TOOLS.items():
        folder = keep / "tools" / tool.replace(" ", "_")
        folder.mkdir(parents=True, exist_ok=True)
        there = sorted(folder.glob("*.int8.tflite")) or sorted(folder.glob("*.tflite")) + sorted(folder.glob("*.onnx"))
        try:
            found[tool] = there[0] if there else make(source, images, folder)
        except (AttendcError, RuntimeError, ValueError, TypeError, LookupError) as e:
            found[tool] = f"{type(e).__name__}: {str(e).strip().splitlines()[0][:100]}"
        say(f"made: {tool}")
    return found


def running(files: dict[str, Path | str]) -> dict[str, Path | str]:
    """Return the files of those tools that the runtime survives, and what happened instead of the others."""
    found = dict(files)
    for tool, file in files.items():
        if isinstance(file, Path):
            try:
                counted([file])
            except ConversionError as e:
                found[tool] = f"brings the runtime down: {e.message.split('down ')[-1].split(':')[0].strip('()')}"
    return found


def millions(answer: Answer | None) -> str:
    """Return instructions in millions, three digits."""
    if answer is None or answer.instructions is None:
        return "-"
    return f"{answer.instructions / M:.1f}"


def network_table(files: dict[Network, tuple[Path, Path]], counts: Counts) -> list[str]:
    """Return the rows of all networks."""
    lines = [
        "| network | size | M MACs | M params | f32 A76 | int8 A76 | int8 A72 | MACs by A76 | f32 by int8 | parts |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for network, (small, whole) in files.items():
        a76, a72 = counts["cortex-a76"], counts["cortex-a72"]
        model = network.make()
        macs = count_macs(model, (3, network.size, network.size))
        params = sum(p.numel() for p in model.parameters())
        instructions, floating = a76[small].instructions, a76[whole].instructions
        each = f"{macs / instructions:.1f}" if instructions else "-"
        ratio = f"{floating / instructions:.2f}" if instructions and floating else "-"
        name = f"{network.name} (mixed)" if network.allow_float else network.name
        lines.append(
            f"| {name} | {network.size} | {macs / M:.0f} | {params / M:.2f} | {millions(a76[whole])} | "
            f"{millions(a76[small])} | {millions(a72[small])} | {each} | {ratio} | {a76[small].partitions} |"
        )
    return lines


def tool_table(files: dict[str, Path | str], counts: Counts) -> list[str]:
    """Return the rows of all tools, with how many times attendc's instructions each takes."""
    lines = [
        "| tool | A76 | times attendc's | A72 | times attendc's | operators | XNNPACK partitions |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    ours = files["attendc"]
    assert isinstance(ours, Path)
    for tool, file in files.items():
        if isinstance(file, str):
            lines.append(f"| {tool} | {file} | | | | | |")
            continue
        cells = []
        for core in CORES:
            answer = counts[core][file]
            own = counts[core][ours].instructions
            cells += [millions(answer), f"{answer.instructions / own:.2f}" if answer.instructions and own else "-"]
        answer = counts[CORES[0]][file]
        partitions = "" if answer.partitions is None else str(answer.partitions)
        lines.append(f"| {tool} | {' | '.join(cells)} | {answer.operators or ''} | {partitions} |")
    return lines


def draw(path: Path, files: dict[Network, tuple[Path, Path]], counts: Counts) -> None:
    """Draw the int8 instructions of every network on both cores, as bars."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "attendc"
    from matplotlib import pyplot as plt

    order = sorted(files, key=lambda n: counts["cortex-a72"][files[n][0]].instructions or 0)
    figure, axes = plt.subplots(figsize=(8, 0.5 * len(order) + 1.2), layout="constrained")
    for shift, core in ((0.2, "cortex-a76"), (-0.2, "cortex-a72")):
        values = [(counts[core][files[n][0]].instructions or 0) / M for n in order]
        bars = axes.barh([y + shift for y in range(len(order))], values, 0.38, label=core)
        axes.bar_label(bars, fmt="%.0f", padding=2, fontsize=8)
    axes.set_yticks(range(len(order)), [n.name for n in order])
    axes.set_xlabel("M instructions an inference, int8, one thread (a count, not a time)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Make, count, and write the page and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("arm-peers"), help="without suffix")
    parser.add_argument("--keep", type=Path, help="folder for the files that were made")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        keep = given.keep or Path(name)
        files = {}
        for network in NETWORKS:
            files[network] = network_files(network, keep)
            say(f"made: {network.name}")
        ours = next(network for network in NETWORKS if network.name == OURS)
        tools = running(tool_files(ours, keep))
        every = [file for pair in files.values() for file in pair]
        counts = counted([*every, *(file for file in tools.values() if isinstance(file, Path))], given.keep)
    page = [
        "# What networks cost on ARM, and what tools make of one",
        "",
        "M instructions of one inference, one thread, on emulated cores, all counted in one run by",
        "",
        f"    {COMMAND}",
        "",
        "Weights are random (a count does not depend on them); int8 with random calibration, both types by attendc.",
        "`MACs by A76`: MACs an instruction, int8. `f32 by int8`: instructions of float32 by those of int8, A76.",
        "A count is not a time: see [arm.md](arm.md).",
        "",
        *network_table(files, counts),
        "",
        f"![M instructions of each network in int8]({given.output.name}.svg)",
        "",
        f"## Four tools, one network: {OURS}, int8",
        "",
        *tool_table(tools, counts),
        "",
    ]
    draw(given.output.with_suffix(".svg"), files, counts)
    given.output.with_suffix(".md").write_text("\n".join(page), encoding="utf-8")
    sys.stdout.write("\n".join(page))


if __name__ == "__main__":
    main()
