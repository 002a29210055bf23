"""The versions that attendc is tested with: of Python, and of the packages that it asks for, as in constraints.txt."""

from collections.abc import Mapping

__all__ = ["TESTED_PACKAGES", "TESTED_PYTHON"]

TESTED_PYTHON = "3.11"
TESTED_PACKAGES: Mapping[str, str] = {
    "ai-edge-litert": "2.3.0",
    "ai-edge-quantizer": "0.10.0",
    "annotated-types": "0.8.0",
    "click": "8.5.1",
    "fsspec": "2026.9.0",
    "Jinja2": "3.1.6",
    "litert-torch": "0.10.0",
    "matplotlib": "3.11.2",
    "nncf": "3.4.0",
    "numpy": "2.4.6",
    "onnx": "1.23.2",
    "onnx-ir": "1.1.0",
    "onnxruntime": "1.32.0",
    "onnxscript": "0.7.2",
    "onnxsim": "0.8.1",
    "optuna": "5.0.0",
    "pillow": "13.0.0",
    "pydantic": "2.11.10",
    "PyYAML": "6.0.3",
    "rich": "15.0.0",
    "safetensors": "0.8.0",
    "tensorflow": "2.21.0",
    "torch": "2.13.0",
    "torch-pruning": "1.6.1",
    "torchao": "0.18.0",
    "webdataset": "1.0.2",
}
