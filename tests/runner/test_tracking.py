"""What MLflow is told of a run: everything where it is wanted, nothing otherwise, and never at the cost of the run."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from made_up_runs import HEX, a_manifest

import attendc
from attendc.context import Context
from attendc.runner.tracking import VARIABLE, log_run, run_metrics, run_params

NO_MLFLOW = "is set, but mlflow is not installed: nothing is logged (pip install mlflow-skinny)"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def context(said: list[str]) -> Context:
    return Context(say=said.append)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a run with two files."""
    (tmp_path / "run" / "stages").mkdir(parents=True)
    (tmp_path / "run" / "manifest.json").write_text("{}")
    (tmp_path / "run" / "stages" / "01-quantize.json").write_text("{}")
    return tmp_path / "run"


@pytest.fixture
def mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return MLflow with a store of its own below the test's folder."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a database needs the full package
    monkeypatch.setenv(VARIABLE, f"file://{tmp_path}/store")
    return pytest.importorskip("mlflow")


def only_run(mlflow: Any) -> Any:
    (run,) = mlflow.search_runs(experiment_ids=["0"], output_format="list")
    return run


def files_of(mlflow: Any, run: Any, path: str | None = None) -> set[str]:
    found: set[str] = set()
    for entry in mlflow.MlflowClient().list_artifacts(run.info.run_id, path):
        found |= files_of(mlflow, run, entry.path) if entry.is_dir else {entry.path}
    return found


# What is told


def test_a_recipe_becomes_flat_parameters() -> None:
    recipe = {"name": "x", "stages": [{"quantize": {"mode": "qat"}}, {"convert": {"to": ["tflite"]}}]}
    params = run_params(a_manifest(recipe=recipe))
    assert params == {
        "name": "x",
        "stages.0.quantize.mode": "qat",
        "stages.1.convert.to.0": "tflite",
        "checkpoint.sha256": HEX,
        "data": "fashion-mnist-mini",
    }


def test_a_parameter_has_at_most_the_characters_that_a_store_takes() -> None:
    assert run_params(a_manifest(recipe={"name": "x" * 501}))["name"] == "x" * 500


def test_accuracies_agreements_and_sizes_become_metrics() -> None:
    architecture = {"factory": "attendnext_nano", "args": {}}
    metrics = run_metrics(a_manifest(model={"params": 7, "macs": 9, "architecture": architecture, "labels": ["a"]}))
    assert {k: v for k, v in metrics.items() if k.startswith("model/")} == {"model/params": 7, "model/macs": 9}
    assert metrics["accuracy/tflite"] == 0.945
    assert metrics["agreement/graph_tflite"] == 0.999
    assert metrics["bytes/model.int8.tflite"] == 260000
    assert all(isinstance(value, int | float) for value in metrics.values())


def test_a_run_without_verification_has_no_accuracy() -> None:
    told = {k: v for k, v in a_manifest(outputs={}, model={}).items() if k != "verification"}
    assert run_metrics(told) == {}


# With MLflow


def test_params_metrics_curves_and_files_are_logged(
    mlflow: Any, folder: Path, context: Context, said: list[str]
) -> None:
    manifest = a_manifest()
    log_run(manifest, folder, context)
    run = only_run(mlflow)
    assert (run.info.run_name, run.info.status) == ("int8-qat", "FINISHED")
    assert run.data.params == run_params(manifest)
    assert run_metrics(manifest).items() <= run.data.metrics.items()
    assert (run.data.tags["attendc"], run.data.tags["attendc.command"]) == ("0.1.0", "run")
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "quantize:_QAT/val_accuracy")
    assert [(row.step, row.value) for row in history] == [(1, 0.9), (2, 0.93)]
    assert files_of(mlflow, run) == {"manifest.json", "stages/01-quantize.json"}
    assert said == [f"logged to MLflow at {os.environ[VARIABLE]}"]
    assert context.warnings == []


def test_inside_a_run_of_the_caller_s_it_is_a_run_of_its_own(mlflow: Any, folder: Path, context: Context) -> None:
    with mlflow.start_run(run_name="sweep") as outer:
        log_run(a_manifest(), folder, context)
    assert context.warnings == []
    runs = {r.info.run_name: r for r in mlflow.search_runs(experiment_ids=["0"], output_format="list")}
    assert runs["int8-qat"].data.tags["mlflow.parentRunId"] == outer.info.run_id
    assert runs["sweep"].data.metrics == {}


def test_a_store_that_cannot_be_written_is_a_warning(
    mlflow: Any, folder: Path, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(VARIABLE, f"file://{tmp_path}/file/store")
    log_run(a_manifest(), folder, context)
    (warning,) = context.warnings
    assert warning.startswith(f"MLflow at file://{tmp_path}/file/store did not take the run: NotADirectoryError: ")
    assert mlflow.active_run() is None


@pytest.mark.usefixtures("mlflow")
def test_a_password_is_not_shown(folder: Path, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv(VARIABLE, "http://me:secret@127.0.0.1:1/mlflow")
    log_run(a_manifest(), folder, context)
    (warning,) = context.warnings
    assert warning.startswith("MLflow at http://***@127.0.0.1:1/mlflow did not take the run: ")
    assert "secret" not in warning


@pytest.mark.slow
def test_a_run_is_logged_as_it_lies_in_its_folder(
    mlflow: Any, tmp_path: Path, small_checkpoint: Path, small_npz: Path, context: Context
) -> None:
    run = attendc.run_recipe(tiny_recipe(small_checkpoint, small_npz), context, in_folder(tmp_path / "out"))
    logged = only_run(mlflow)
    assert logged.data.params["stages.0.quantize.calib"] == "8"
    assert logged.data.metrics["accuracy/onnx"] == run.manifest["verification"]["accuracy"]["onnx"]
    assert files_of(mlflow, logged) == {
        p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()
    }


# Without


def test_without_the_variable_nothing_happens(
    mlflow: Any, folder: Path, context: Context, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in (None, ""):
        monkeypatch.setenv(VARIABLE, value) if value is not None else monkeypatch.delenv(VARIABLE)
        monkeypatch.chdir(tmp_path)
        log_run(a_manifest(), folder, context)
    assert said == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run"]


def test_without_mlflow_it_is_said_what_to_install(
    folder: Path, context: Context, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)  # as Python marks what cannot be imported
    monkeypatch.setenv(VARIABLE, "http://127.0.0.1:1")
    log_run(a_manifest(), folder, context)
    assert context.warnings == [f"{VARIABLE} {NO_MLFLOW}"]
    assert said == [f"warning: {VARIABLE} {NO_MLFLOW}"]


@pytest.mark.slow
def test_a_run_is_kept_though_it_could_not_be_logged(
    tmp_path: Path, small_checkpoint: Path, small_npz: Path, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setenv(VARIABLE, "http://127.0.0.1:1")
    run = attendc.run_recipe(tiny_recipe(small_checkpoint, small_npz), context, in_folder(tmp_path / "out"))
    assert (tmp_path / "out" / "manifest.json").exists()
    assert run.manifest["verification"]["passed"]
    assert context.warnings == [f"{VARIABLE} {NO_MLFLOW}"]


def in_folder(path: Path) -> attendc.RunOptions:
    return attendc.RunOptions(output=path)


def tiny_recipe(checkpoint: Path, data: Path) -> attendc.Recipe:
    """Return a recipe of seconds: one file, few images, loose gates, since the weights are random."""
    return attendc.Recipe(
        name="tiny",
        model=attendc.ModelSection(checkpoint=str(checkpoint), factory="nets:small"),
        data=attendc.DataSection(source=str(data)),
        stages=(
            attendc.StageEntry("quantize", attendc.QuantizeConfig(calib=8)),
            attendc.StageEntry("convert", attendc.ConvertConfig(to=("onnx",), dtypes=("int8",))),
            attendc.StageEntry("verify", attendc.VerifyConfig(images=20, min_agreement=0, max_drop=100)),
        ),
    )
