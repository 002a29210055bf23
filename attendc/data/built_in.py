"""The data sets that ship with attendc, by name."""

from pathlib import Path

__all__ = ["BUILT_IN"]

BUILT_IN = {"fashion-mnist-mini": Path(__file__).parent / "fashion_mnist_mini"}
"""10,000 training and 2,000 test images of Fashion-MNIST (MIT, Zalando SE); see the folder's README."""
