"""MLflow, where it is installed and MLFLOW_TRACKING_URI says where to log: params, metrics, curves, artefacts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from attendc.context import Context
from attendc.locations import redacted
from attendc.locations.uri import scrubbed

__all__ = ["VARIABLE", "log_run", "run_metrics", "run_params"]

VARIABLE = "MLFLOW_TRACKING_URI"
_LONGEST = 500
"""Characters that MLflow's stores take for a parameter."""
_DEFAULTS = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3"}
"""Of MLflow's variables, unless they are set: no usage reports; seconds, not minutes, for a server that is away."""


def log_run(manifest: Mapping[str, Any], folder: Path, context: Context) -> None:
    """Log a run; without the variable nothing happens. A failure, or no MLflow, is said, and ends nothing."""
    uri = os.environ.get(VARIABLE)
    if not uri:
        return
    if find_spec("mlflow") is None:
        context.warn(f"{VARIABLE} is set, but mlflow is not installed: nothing is logged (pip install mlflow-skinny)")
        return
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    try:
        _log(manifest, folder)
    except Exception as e:  # noqa: BLE001 - a server that is away must not lose a run that is done
        reason = scrubbed(" ".join(str(e).split()), uri)[:_LONGEST]
        context.warn(f"MLflow at {redacted(uri)} did not take the run: {type(e).__name__}: {reason}")
        return
    context.say(f"logged to MLflow at {redacted(uri)}")


def _log(manifest: Mapping[str, Any], folder: Path) -> None:
    import mlflow

    with mlflow.start_run(run_name=manifest["name"], nested=True):  # inside a run of the caller's, if there is one
        mlflow.log_params(run_params(manifest))
        mlflow.log_metrics(run_metrics(manifest))
        for title, rows in _curves(manifest):
            for row in rows:
                values = {f"{title}/{name}": value for name, value in row.items() if name != "epoch"}
                mlflow.log_metrics(values, step=int(row["epoch"]))
        mlflow.set_tags({"attendc": manifest["attendc"], "attendc.command": manifest["command"]})
        mlflow.log_artifacts(str(folder))


def run_params(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the recipe as flat parameters: `stages.1.quantize.epochs` -> `3`."""
    found = {name: str(value)[:_LONGEST] for name, value in _flat(manifest["recipe"], "")}
    checkpoint = manifest["inputs"].get("checkpoint", {})
    return found | {"checkpoint.sha256": checkpoint.get("sha256", ""), "data": str(manifest["inputs"]["data"])}


def run_metrics(manifest: Mapping[str, Any]) -> dict[str, float]:
    """Return accuracies, agreements, bytes and the size of the network as flat numbers."""
    metrics: dict[str, float] = {f"bytes/{name}": entry["bytes"] for name, entry in manifest["outputs"].items()}
    model = manifest.get("model", {})
    metrics |= {f"model/{name}": model[name] for name in ("params", "macs") if name in model}
    verification = manifest.get("verification") or {"accuracy": {}, "pairs": []}
    metrics |= {f"accuracy/{name}": value for name, value in verification["accuracy"].items()}
    for pair in verification["pairs"]:
        metrics[f"agreement/{pair['a']}_{pair['b']}"] = pair["top1_agreement"]
    return metrics


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield path, value
        return
    for name, inner in items:
        yield from _flat(inner, f"{path}.{name}" if path else str(name))


def _curves(manifest: Mapping[str, Any]) -> list[tuple[str, list[Mapping[str, float]]]]:
    return [(curve["title"].replace(",", "").replace(" ", "_"), curve["rows"]) for curve in manifest["curves"]]
