"""The protocol by which every design of a study is judged: the same images, seed, epochs and rungs for all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attendc.context import Context
from attendc.data.images import Dataset, Images, take
from attendc.data.preprocess import suited, to_input
from attendc.explore.candidate import Candidate
from attendc.explore.proxies import scores
from attendc.models.attendnext import AttendNeXt
from attendc.train import Task, TrainOptions, hold_out, train

__all__ = ["REDUCTION", "Protocol", "fingerprint", "protocol_of", "rungs"]

REDUCTION = 3
"""Of the designs that reach a rung, about so many are stopped there for each that goes on (ASHA, arXiv 1810.05934)."""

_RUNGS = 2
_TELLING_EPOCHS = 3
"""Epochs before which accuracy says little of what is reached later: of 12 designs trained on 8,000 images of
Fashion-MNIST, attendnext_nano was the last after one epoch (66.9 %) and the second after three (83.1 %)."""
_PROXY_IMAGES = 32
_FINGERPRINT_IMAGES = 64


@dataclass(frozen=True)
class Protocol:
    """Attributes:
    train: images to learn from.
    held_out: images of the training set that are kept to measure accuracy; test images are never looked at.
    classes: how many there are.
    channels: of an image.
    epochs: of a training that is not stopped.
    seed: of the first weights and of the order of the images.
    """

    train: Images
    held_out: Images
    classes: int
    channels: int
    epochs: int
    seed: int

    def build(self, candidate: Candidate) -> nn.Module:
        """Return the network with its first weights: the same whenever it is built."""
        torch.manual_seed(self.seed)
        return AttendNeXt(candidate.config)

    def proxies(self, candidate: Candidate) -> dict[str, float]:
        """Return the score of each proxy for the fresh network, on the same few training images for all."""
        how = suited(self.train, self.channels, candidate.height, candidate.width)
        few = take(self.train, range(min(_PROXY_IMAGES, len(self.train))))
        x: Tensor = to_input(few.read(range(len(few))), how)
        return scores(self.build(candidate), x, torch.from_numpy(few.targets))

    def train_candidate(self, candidate: Candidate, on_epoch: Callable[[int, float], None]) -> None:
        """Train on one thread; `on_epoch(epochs, accuracy)` is told of every epoch and may end it by raising.

        Raises:
            UsageError: if the loss stops being a number.
            DataError: if there are fewer images than a batch has.
        """
        how = suited(self.train, self.channels, candidate.height, candidate.width)
        task = Task(self.train, self.held_out, how, on_epoch=on_epoch)
        options = TrainOptions(epochs=self.epochs, batch_size=min(TrainOptions.batch_size, len(self.train)))
        train(self.build(candidate), task, options, Context(seed=self.seed))


def protocol_of(dataset: Dataset, *, epochs: int, part: float, seed: int) -> Protocol:
    """Return the protocol; `part` of the training images are held out, drawn by the seed."""
    chosen, held_out = hold_out(dataset.train, part, seed=seed)
    channels = int(dataset.train.read([0])[0].shape[2])
    return Protocol(chosen, held_out, len(dataset.labels), channels, epochs, seed)


def rungs(epochs: int) -> tuple[int, ...]:
    """Return after how many epochs a training may be stopped: at most `_RUNGS` times, `REDUCTION` times later each.

    A rung in the second half of the training is left out: there is little left to save. So is one before
    `_TELLING_EPOCHS`, if the first half is that long.
    """
    first = max(epochs // REDUCTION**_RUNGS, min(_TELLING_EPOCHS, epochs // 2), 1)
    found = []
    while 2 * first <= epochs:
        found.append(first)
        first *= REDUCTION
    return tuple(found)


def fingerprint(images: Images) -> str:
    """Return what tells these images from others: a digest of all labels and of some pixels.

    Processes on other machines may have the same images under another path.
    """
    digest = hashlib.sha256(images.targets.tobytes())
    step = max(1, len(images) // _FINGERPRINT_IMAGES)
    for pixels in images.read(range(0, len(images), step)):
        digest.update(repr(pixels.shape).encode() + pixels.tobytes())
    return f"{len(images)} images, {digest.hexdigest()[:16]}"
