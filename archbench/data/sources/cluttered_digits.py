"""Built in: real handwritten digits on textured backgrounds with distractors.

The glyphs are the 1,797 handwritten digits that scikit-learn ships (8 x 8, from the UCI
repository); all else is drawn from a seed. On their own the digits are too easy to rank anything
(97 % for every network); in the clutter small networks spread over tens of points.

The arithmetic is in double precision, so that a processor's last bit cannot turn a byte.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

from archbench.data.dataset import stratified_share
from archbench.data.source import DataFacts, DataRequest, ImageSource, Share, Sink
from archbench.errors import UsageError, unknown_name

RECIPE = 1  # raise it with every change that changes a byte
SMALLEST_RESOLUTION = 16
LARGEST_RESOLUTION = 256
SIZES: Mapping[Share, int] = {"train": 2048, "validation": 1536, "test": 1536}
HELD_OUT_GLYPHS = 0.2  # of each digit, for validation and once more for the test share
CHUNK_PIXELS = 256 * 64 * 64
PURPOSES = ("parting", "choosing", "drawing")

# N images, G glyphs, R resolution. Positions are in halves of the image: -1 to 1.


@dataclass(frozen=True)
class Difficulty:
    """How the digits are hidden; every range is drawn from uniformly, per image.

    Sides are shares of the image's, turns the largest in radians, and ``texture`` and ``noise``
    standard deviations of the background and of every pixel. ``contrast`` is how much brighter than
    its background the ink is; 1 is black to white. Distractors are half digits strewn over the
    image. ``chroma`` is the share of the texture that differs between the colour channels.
    """

    side: tuple[float, float]
    rotation: float
    shear: float
    contrast: tuple[float, float]
    texture: float
    noise: float
    num_distractors: int
    chroma: float = 0.25
    distractor_side: tuple[float, float] = (0.25, 0.35)


DIFFICULTIES = {  # side, rotation, shear, contrast, texture, noise, distractors
    "easy": Difficulty((0.75, 0.9), 0.15, 0.1, (0.6, 0.9), 0.06, 0.02, 0),
    "medium": Difficulty((0.65, 0.85), 0.25, 0.15, (0.45, 0.8), 0.07, 0.04, 1),
    "hard": Difficulty((0.6, 0.8), 0.3, 0.2, (0.4, 0.7), 0.08, 0.05, 2),
}


def source(request: DataRequest) -> ImageSource:
    """The digits at a difficulty, which stands behind the colon; medium if nothing does.

    Raises:
        UsageError: The difficulty is not known, or the resolution cannot be drawn.
    """
    level = request.argument or "medium"
    if level not in DIFFICULTIES:
        raise unknown_name("difficulty", level, DIFFICULTIES, place=request.name)
    if not SMALLEST_RESOLUTION <= request.resolution <= LARGEST_RESOLUTION:
        raise UsageError(
            f"a resolution of {request.resolution} px; the digits are drawn at "
            f"{SMALLEST_RESOLUTION} to {LARGEST_RESOLUTION} px",
            place=request.name,
        )
    settings = {
        "recipe": RECIPE,
        "difficulty": asdict(DIFFICULTIES[level]),
        "sizes": SIZES,
        "chunk_pixels": CHUNK_PIXELS,
        "held_out_glyphs": HELD_OUT_GLYPHS,
    }
    return ImageSource(settings=settings, make=lambda sink: _make(sink, request, level))


def _make(sink: Sink, request: DataRequest, level: str) -> DataFacts:
    from sklearn.datasets import load_digits

    digits = load_digits()
    glyphs, labels = digits.images / 16.0, digits.target.astype(np.int64)  # (G, 8, 8), (G,)
    parts = glyph_parts(labels, seed=request.seed)
    step = max(1, CHUNK_PIXELS // request.resolution**2)
    done, total = 0, sum(SIZES.values())
    for number, (share, size) in enumerate(SIZES.items()):
        rng = _generator("choosing", request.seed, number)
        chosen = _balanced(parts[share], labels, size, rng)
        strewn = rng.choice(parts[share], (size, DIFFICULTIES[level].num_distractors))
        for start in range(0, size, step):
            request.progress("drawing digits", done, total)
            now = chosen[start : start + step]
            images = draw(
                glyphs[now],
                distractors=glyphs[strewn[start : start + step]],
                difficulty=DIFFICULTIES[level],
                resolution=request.resolution,
                rng=_generator("drawing", request.seed, number, start),
            )
            sink(share, images, labels[now])
            done += len(now)
    request.progress("drawing digits", total, total)
    return DataFacts(
        class_names=tuple(str(name) for name in digits.target_names),
        description=(
            "synthetic images: scikit-learn's real handwritten digits on textured backgrounds "
            f"with distractors, {level}; they rank designs and say nothing about accuracy on "
            "photographs"
        ),
        flip=False,
        notes=tuple(
            f"{share}: {size:,} images of {len(parts[share]):,} glyphs"
            for share, size in SIZES.items()
        ),
    )


def glyph_parts(labels: np.ndarray, *, seed: int) -> dict[Share, np.ndarray]:
    """Disjoint glyph numbers for each share."""
    rng = _generator("parting", seed)
    left = np.arange(len(labels))
    parts: dict[Share, np.ndarray] = {}
    shares: tuple[Share, ...] = ("test", "validation")
    for number, share in enumerate(shares):
        fraction = HELD_OUT_GLYPHS / (1 - number * HELD_OUT_GLYPHS)
        taken = stratified_share(labels[left], share=fraction, rng=rng)
        parts[share], left = left[taken], np.delete(left, taken)
    parts["train"] = left
    return parts


def _generator(purpose: str, *seed: int) -> np.random.Generator:
    # the purpose goes first: numpy takes (1, 0) and (1, 0, 0) for the same seed
    return np.random.default_rng((PURPOSES.index(purpose) + 1, *seed))


def _balanced(
    glyphs: np.ndarray, labels: np.ndarray, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Glyph numbers in random order: digits equally often, every glyph before any comes again."""
    chosen = []
    for digit in range(10):
        count = len(range(digit, size, 10))
        members = rng.permutation(glyphs[labels[glyphs] == digit])
        chosen.append(np.resize(members, count))
    return rng.permutation(np.concatenate(chosen))


def draw(
    glyphs: np.ndarray,
    *,
    distractors: np.ndarray,
    difficulty: Difficulty,
    resolution: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Images of glyphs in clutter: uint8, (N, 3, R, R).

    The ink of glyphs is 0 to 1, (N, 8, 8); halves of the distractors, (N, D, 8, 8), are strewn.
    """
    N, D = distractors.shape[:2]
    placed = partial(_placed, difficulty=difficulty, resolution=resolution, rng=rng)
    contrast = rng.uniform(*difficulty.contrast, (N, 1, 1, 1))
    base = rng.uniform(0.05, 1.0 - contrast)
    ink = contrast * placed(glyphs, side=difficulty.side)
    for number in range(D):
        half = distractors[:, number] * _half(N, rng)
        ink = np.maximum(ink, contrast * placed(half, side=difficulty.distractor_side))
    image = base + difficulty.texture * _texture(N, difficulty.chroma, resolution, rng) + ink
    image += difficulty.noise * rng.standard_normal(image.shape)
    return np.rint(255 * image.clip(0, 1)).astype(np.uint8)


def _half(N: int, rng: np.random.Generator) -> np.ndarray:
    """Masks that keep one half of a glyph: left, right, upper or lower, (N, 8, 8)."""
    left = np.arange(8) < 4
    masks = np.stack([np.broadcast_to(left, (8, 8)), np.broadcast_to(left[:, None], (8, 8))])
    masks = np.concatenate([masks, ~masks]).astype(np.float64)
    return masks[rng.integers(0, 4, N)]


def _placed(
    glyphs: np.ndarray,
    *,
    side: tuple[float, float],
    difficulty: Difficulty,
    resolution: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Glyphs turned, sheared, scaled and put anywhere wholly inside the image, (N, 1, R, R)."""
    N = len(glyphs)
    angle = rng.uniform(-difficulty.rotation, difficulty.rotation, N)
    shear = rng.uniform(-difficulty.shear, difficulty.shear, N)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, cos * shear - sin], [sin, sin * shear + cos]])  # (2, 2, N)
    matrix = turn * rng.uniform(*side, N)
    reach = np.abs(matrix).sum(axis=1)  # (2, N), from the glyph's centre to its box's corners
    shrink = np.maximum(reach.max(axis=0), 1.0)
    matrix, reach = matrix / shrink, reach / shrink
    centre = rng.uniform(-1, 1, (2, N)) * (1 - reach)

    (a, b), (c, d) = matrix
    inverse = np.array([[d, -b], [-c, a]]) / (a * d - b * c)  # (2, 2, N)
    line = (np.arange(resolution) + 0.5) / resolution * 2 - 1
    x = line[None, None, :] - centre[0, :, None, None]  # (N, 1, R)
    y = line[None, :, None] - centre[1, :, None, None]  # (N, R, 1)
    inverse = inverse[..., None, None]
    grid = np.stack(
        [inverse[0, 0] * x + inverse[0, 1] * y, inverse[1, 0] * x + inverse[1, 1] * y], axis=-1
    )  # (N, R, R, 2)
    ink = F.grid_sample(
        torch.from_numpy(glyphs[:, None].copy()), torch.from_numpy(grid), align_corners=False
    )
    return ink.numpy()  # (N, 1, R, R)


def _texture(N: int, chroma: float, resolution: int, rng: np.random.Generator) -> np.ndarray:
    """Value noise of three octaves and one grating, of mean 0 and variance 1, (N, 3, R, R)."""
    texture = np.zeros((N, 4, resolution, resolution))  # grey, then what the channels add
    for cells in (3, 6, 12):
        lattice = rng.uniform(-1, 1, (N, 4, cells + 1, cells + 1))
        stretch = _stretch(cells, resolution)
        texture += stretch @ lattice @ stretch.T
    texture[:, :1] += _grating(N, resolution, rng)
    texture -= texture.mean(axis=(2, 3), keepdims=True)
    texture /= texture.std(axis=(2, 3), keepdims=True)
    mixed: np.ndarray = math.sqrt(1 - chroma) * texture[:, :1] + math.sqrt(chroma) * texture[:, 1:]
    return mixed


def _stretch(cells: int, resolution: int) -> np.ndarray:
    """What interpolates a lattice linearly from its first point to its last, (R, cells + 1)."""
    position = np.linspace(0, cells, resolution)
    return np.maximum(0.0, 1.0 - np.abs(position[:, None] - np.arange(cells + 1)))


def _grating(N: int, resolution: int, rng: np.random.Generator) -> np.ndarray:
    """A plane wave of 2 to 6 periods across the image, in any direction, (N, 1, R, R)."""
    direction = rng.uniform(0, math.pi, (N, 1, 1, 1))
    wave = math.pi * rng.uniform(2, 6, (N, 1, 1, 1))
    phase = rng.uniform(0, 2 * math.pi, (N, 1, 1, 1))
    line = (np.arange(resolution) + 0.5) / resolution * 2 - 1
    along = np.cos(direction) * line[None, :] + np.sin(direction) * line[:, None]
    return np.asarray(np.cos(wave * along + phase))
