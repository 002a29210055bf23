"""Whether the loader keeps up: images per second of the loader and of the training step, alone and together.

    python benchmarks/loader.py [--seconds 4] [--threads 1] [--device cpu] [--json FILE]

Two cases: attendnext_nano at 32x32 on Fashion-MNIST (28x28, as PNG where it lies in files) and attendnext at 224x224 on
colour JPEGs of 500x375, the usual size in ImageNet. Sources: memory, an image folder, shards here, and shards of a web
server in this process, which takes from the same cores. Shards of the web are fetched anew each time.

Images per second are those of one core's time, all threads counted (of a GPU's step: of the clock's), so that what else
the machine does changes little. `waits` is the part of a training run in which the step waited for its batch, with the
batches made ahead by threads as `attendc train` does and with a plain loop; the first batch does not count.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import itertools
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from attendc.context import Context
from attendc.data.augment import flip_and_shift
from attendc.data.images import Images, images_from_array
from attendc.data.order import shuffled
from attendc.data.prefetch import batches_ahead
from attendc.data.preprocess import fitted, normalise, pixel_statistics
from attendc.data.sources import load_dataset
from attendc.files import cache_folder
from attendc.jobs.data import ShardRequest, shard_data
from attendc.models.registry import build, resolve
from attendc.types import Fit, Preprocess

Batch = tuple[Tensor, Tensor]
Batches = Generator[Batch, None, None]


@dataclass(frozen=True)
class Case:
    """A network, its input, and the images that it is trained on."""

    preset: str
    size: int
    channels: int
    fit: Fit
    batch: int
    images: int
    shard: int


CASES = (
    Case("attendnext_nano", 32, 1, "pad", 64, 4000, 500),
    Case("attendnext", 224, 3, "crop", 8, 96, 16),
)


@dataclass(frozen=True)
class Row:
    """Images per second of step and loader, and the parts of a run that are waiting."""

    network: str
    source: str
    step: float
    loader: float
    waits: float
    waits_plain: float


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--threads", type=int, default=1, help="of the training step")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = [row for case in CASES for row in measured(case, options.seconds, options.device)]
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    sys.stdout.write(table(rows))


def measured(case: Case, seconds: float, device: str) -> Iterator[Row]:
    """Measure one case on each source."""
    with tempfile.TemporaryDirectory() as name:
        folder, shards = image_folder(case, Path(name) / "images"), Path(name) / "shards"
        shard_data(ShardRequest(str(folder), shards, shard_images=case.shard), Context())
        with served(shards) as url:
            for source, images in sources(folder, shards, url).items():
                how = preprocess(case, images)
                step = stepper(case, device)
                yield row(case, source, functools.partial(epochs, images, how, case.batch), step, seconds)


def image_folder(case: Case, folder: Path) -> Path:
    """Write the case's images as files; a tenth as many are for tests."""
    data = load_dataset("fashion-mnist-mini")
    rng = np.random.default_rng(0)
    for split, images, count in (("train", data.train, case.images), ("val", data.test, case.images // 10)):
        for i in range(count):
            path = folder / split / data.labels[images.targets[i]]
            path.mkdir(parents=True, exist_ok=True)
            if case.channels == 1:
                Image.fromarray(images.read([i])[0][..., 0]).save(path / f"{i}.png")
            else:
                coarse = Image.fromarray(rng.integers(0, 256, (38, 50, 3), np.uint8))
                coarse.resize((500, 375), Image.Resampling.BICUBIC).save(path / f"{i}.jpg", quality=95)
    return folder


def sources(folder: Path, shards: Path, url: str) -> dict[str, Images]:
    """Return the same training images from each source."""
    files = load_dataset(str(folder)).train
    pixels = np.stack(files.read(range(len(files))))
    return {
        "memory": images_from_array(pixels, files.targets),
        "folder": files,
        "shards": load_dataset(str(shards)).train,
        "shards over http": load_dataset(f"{url}/").train,
    }


def preprocess(case: Case, images: Images) -> Preprocess:
    """Return how the images become the network's input."""
    mean, std = pixel_statistics(images, channels=case.channels, sample=50)
    return Preprocess(case.size, case.size, case.channels, mean, std, case.fit)


def epochs(images: Images, how: Preprocess, batch_size: int, *, ahead: bool = True) -> Batches:
    """Yield the batches of epoch after epoch, made as `attendc train` makes them; not `ahead`: by a plain loop."""

    def made(number: int, chosen: list[int]) -> Batch:
        generator = torch.Generator().manual_seed(number)
        stack = flip_and_shift(fitted(images.read(chosen), how), flip=True, shift=2, generator=generator)
        return normalise(stack, how), torch.from_numpy(images.targets[chosen])

    for epoch in itertools.count():
        forget_shards()
        order = shuffled(images, np.random.default_rng(epoch))
        if ahead:
            yield from batches_ahead(images, order, batch_size, made)
        else:
            yield from (made(n, order[n * batch_size :][:batch_size].tolist()) for n in range(len(order) // batch_size))


def forget_shards() -> None:
    """Have the shards of the web fetched anew."""
    for path in (cache_folder() / "shards").glob("*.tar"):
        path.unlink()


def stepper(case: Case, device: str) -> Callable[[Batch], None]:
    """Return what does one training step."""
    torch.manual_seed(0)
    model: nn.Module = build(resolve(case.preset, {"in_channels": case.channels}, classes=10))
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def step(batch: Batch) -> None:
        x = batch[0].to(device, memory_format=torch.channels_last)
        loss = functional.cross_entropy(model(x), batch[1].to(device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        float(loss.detach())  # waits for a GPU

    return step


def row(case: Case, source: str, loader: Callable[..., Batches], step: Callable[[Batch], None], seconds: float) -> Row:
    """Measure the loader alone, the step alone, and both together."""
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    with closing(loader()) as batches:
        alone = rate(batches, lambda batch: None, time.process_time, seconds)
        batch = next(batches)
    stepped = rate(itertools.repeat(batch), step, clock, seconds)
    waits = []
    for ahead in (True, False):
        with closing(loader(ahead=ahead)) as batches:
            waits.append(waiting(batches, step, seconds))
    return Row(f"{case.preset} {case.size}x{case.size}", source, stepped * case.batch, alone * case.batch, *waits)


def rate(batches: Iterator[Batch], step: Callable[[Batch], None], clock: Callable[[], float], seconds: float) -> float:
    """Return steps per second of a clock, after the first one."""
    step(next(batches))
    begun, started, count = time.perf_counter(), clock(), 0
    while time.perf_counter() - begun < seconds:
        step(next(batches))
        count += 1
    return count / (clock() - started)


def waiting(batches: Iterator[Batch], step: Callable[[Batch], None], seconds: float) -> float:
    """Return the part of the time that went by in waiting for batches, after the first one."""
    step(next(batches))
    begun, waited = time.perf_counter(), 0.0
    while (now := time.perf_counter()) - begun < seconds:
        batch = next(batches)
        waited += time.perf_counter() - now
        step(batch)
    return waited / (now - begun)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder over http."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            return None

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def table(rows: list[Row]) -> str:
    """Return the rows as Markdown."""
    head = "| network | source | step, images/s | loader, images/s | loader / step | waits | waits, plain loop |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for r in rows:
        parts = f"{r.loader / r.step:.1f} | {r.waits:.1%} | {r.waits_plain:.1%}"
        lines.append(f"| {r.network} | {r.source} | {r.step:,.0f} | {r.loader:,.0f} | {parts} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
