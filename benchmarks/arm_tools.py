"""One network to int8 by attendc and by three other tools, each as its own documentation shows it.

All see the same calibration images. None of the others' files is changed afterwards.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import attendc
from attendc.opening import Opened

__all__ = ["TOOLS", "attendc_files", "images_for"]


def attendc_files(source: Opened, folder: Path, *, allow_float: bool = False) -> tuple[Path, Path]:
    """Return the int8 and the float32 TFLite file of `attendc quantize --calib random`."""
    context = attendc.Context()
    quantized = attendc.quantize(source, attendc.QuantizeConfig(calib="random", allow_float=allow_float), context)
    attendc.convert(quantized, folder, attendc.ConvertConfig(to=("tflite",), allow_float=allow_float), context)
    return folder / "model.int8.tflite", folder / "model.float32.tflite"


class _Nhwc(nn.Module):
    """The network as TFLite takes it: (N, H, W, C)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits."""
        y: Tensor = self.network(image.permute(0, 3, 1, 2))
        return y


def by_attendc(source: Opened, images: Tensor, folder: Path) -> Path:
    """Return what attendc makes; it draws images of its own like those that the others get."""
    return attendc_files(source, folder)[0]


def by_nncf(source: Opened, images: Tensor, folder: Path) -> Path:
    """Return what litert-torch makes of `nncf.quantize` of the exported program.

    Weights stay behind their quantizers (`compress_weights`), and the converter is told that there are some: without
    either it ends in "Invalid TFLite MLIR module".

    https://github.com/openvinotoolkit/nncf, post-training quantization of torch.fx graphs.
    """
    import litert_torch
    import nncf
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters

    exported = torch.export.export(source.model, (images[:1],)).module()
    parameters = AdvancedQuantizationParameters(backend_params={"compress_weights": False})
    quantized = nncf.quantize(exported, nncf.Dataset(list(images.split(1))), advanced_parameters=parameters)
    path = folder / "nncf.tflite"
    nhwc = images[:1].permute(0, 2, 3, 1)
    litert_torch.convert(_Nhwc(quantized).eval(), (nhwc,), quant_config=_per_channel()[1]).export(str(path))
    return path


def _per_channel() -> tuple[Any, Any]:
    """Return litert-torch's quantizer, static with a scale a channel, and the config that names it."""
    from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
    from litert_torch.quantize.quant_config import QuantConfig

    quantizer = PT2EQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True, is_dynamic=False))
    return quantizer, QuantConfig(pt2e_quantizer=quantizer)


def by_pt2e(source: Opened, images: Tensor, folder: Path) -> Path:
    """Return what litert-torch makes by its own PT2E quantizer, static, a scale a channel.

    https://github.com/google-ai-edge/litert-torch, docs on PT2E quantization.
    """
    import litert_torch
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantizer, config = _per_channel()
    nhwc = images.permute(0, 2, 3, 1)
    prepared = prepare_pt2e(torch.export.export(_Nhwc(source.model).eval(), (nhwc[:1],)).module(), quantizer)
    for image in nhwc.split(1):
        prepared(image)
    converted = convert_pt2e(prepared, fold_quantize=False)
    path = folder / "pt2e.tflite"
    litert_torch.convert(converted, (nhwc[:1],), quant_config=config).export(str(path))
    return path


def by_onnxruntime(source: Opened, images: Tensor, folder: Path) -> Path:
    """Return what onnxruntime's `quantize_static` makes of the float32 ONNX file: QDQ, int8, a scale a channel.

    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(images.split(1))

        def get_next(self) -> dict[str, Any] | None:
            image = next(self.left, None)
            return None if image is None else {"image": image.numpy()}

    path = folder / "onnxruntime.onnx"
    with tempfile.TemporaryDirectory() as name:
        whole, ready = Path(name) / "float.onnx", Path(name) / "ready.onnx"
        torch.onnx.export(
            source.model, (images[:1],), str(whole), input_names=["image"], dynamo=True, external_data=False
        )
        quant_pre_process(str(whole), str(ready))
        quantize_static(
            str(ready),
            str(path),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
        )
    return path


TOOLS: Mapping[str, Callable[[Opened, Tensor, Path], Path]] = {
    "attendc": by_attendc,
    "nncf.quantize + litert-torch": by_nncf,
    "litert-torch PT2E static": by_pt2e,
    "onnxruntime quantize_static": by_onnxruntime,
}
"""Tool -> what makes its int8 file of a network and calibration images (N, C, H, W)."""


def images_for(source: Opened, count: int = 16) -> Tensor:
    """Return images (N, C, H, W) of noise, the same for every tool."""
    generator = np.random.default_rng(0)
    return torch.from_numpy(generator.normal(size=(count, *source.spec.preprocess.input_shape)).astype(np.float32))
