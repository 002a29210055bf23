"""The table at the end of a command that made artefacts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attendc.cli.console import Console
from attendc.targets import REFERENCES, family_of

__all__ = ["print_artefacts", "print_report"]


def print_artefacts(console: Console, folder: Path | str, manifest: dict[str, Any]) -> None:
    """Print format, dtype, bytes, accuracy, agreement and float operators of everything in a folder."""
    report = manifest.get("verification")
    rows = [
        (
            name,
            entry["dtype"],
            f"{entry['bytes']:,}",
            _percent(report["accuracy"].get(entry["name"]) if report else None),
            _percent(_agreement(report, entry["name"]) if report else None),
            str(entry.get("float_ops", "-")) if entry["dtype"] in ("int8", "int16") else "all",
        )
        for name, entry in manifest["outputs"].items()
        if "name" in entry
    ]
    head = ("file", "dtype", "bytes", "accuracy", "agreement", "float ops")
    console.table(f"{folder}: {_proof(report)}", head, rows)
    if report:
        _print_cores(console, report)
        _print_verdict(console, report)
    if "caveat" in manifest:
        console.result(manifest["caveat"])


def print_report(console: Console, folder: Path, report: dict[str, Any]) -> None:
    """Print every pair that was compared, and the accuracies."""
    head = ("pair", "images", "agreement", "max steps", "mean steps", "SQNR dB")
    rows = [
        (
            f"{p['a']} - {p['b']}",
            str(p["images"]),
            _percent(p["top1_agreement"]),
            f"{p['max_lsb']:.1f}",
            f"{p['mean_lsb']:.3f}",
            f"{p['sqnr_db']:.1f}",
        )
        for p in report["pairs"]
    ]
    console.table(f"{folder}: {report['images']} images", head, rows)
    accuracies = [(name, _percent(value)) for name, value in report["accuracy"].items()]
    console.table("accuracy", ("runner", "top-1"), accuracies)
    _print_cores(console, report)
    _print_verdict(console, report)


def _print_cores(console: Console, report: dict[str, Any]) -> None:
    """Print how the bytes on emulated cores compare with those of this machine."""
    if not report.get("on"):
        return
    rows = [
        (
            one["runner"],
            str(one["images"]),
            "identical" if one["identical"] else f"differ on {one['differing_images']}",
            f"{one['max_steps']:g}",
        )
        for one in report["on"]
    ]
    head = ("file on an emulated core", "images", "bytes against this machine", "most steps")
    console.table("emulated ARM cores", head, rows)


def _proof(report: dict[str, Any] | None) -> str:
    return f"verified on {report['images']} images" if report else "not verified"


def _print_verdict(console: Console, report: dict[str, Any]) -> None:
    said = {True: "equal", False: "NOT equal", None: "not compared"}
    console.result(
        f"scales: {said[report['scales_equal']]}; integer weights: {said[report['weights_equal']]}; "
        f"{'passed' if report['passed'] else 'FAILED'}"
    )
    for note in (*report["notes"], *report["failures"], *report["accuracy_failures"]):
        console.result(note)


def _agreement(report: dict[str, Any], name: str) -> float | None:
    """Return the agreement of an artefact with the graph it was made from."""
    source = REFERENCES[family_of(name)]
    pairs = [p for p in report["pairs"] if {p["a"], p["b"]} == {source, name}]
    return pairs[0]["top1_agreement"] if pairs else None


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"
