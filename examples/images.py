"""Images made with NumPy: noise is blurred, made smaller, and summed up; 8 MiB arrays go from process to process.

    python examples/images.py                      # 60 images of 2048 x 1024 pixels
    python examples/images.py --count 6 --check    # and the same in one plain loop: equal, and how much slower?
    conveyor run examples/images.py:pipeline -j 2

Arrays travel in shared memory: a stage looks at the pixels where the stage before has put them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from conveyor import Pipeline

HEIGHT, WIDTH = 1024, 2048
Image = NDArray[numpy.float32]


@dataclass(frozen=True)
class Summary:
    """What is left of an image."""

    mean: float
    contrast: float
    thumbnail: bytes
    """64 x 32 pixels of one byte."""


class Images:
    """So many images, each the same whenever it is made: stripes, with noise."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Image]:
        columns = numpy.arange(WIDTH, dtype=numpy.float32)
        for number in range(self.count):
            noise = numpy.random.default_rng(number).random((HEIGHT, WIDTH), dtype=numpy.float32)
            yield noise + numpy.sin(columns / (number + 1))


def blur(image: Image) -> Image:
    """Each pixel becomes the mean of nine by nine: sums of the rows up to each, then the same for columns."""
    for axis in (0, 1):
        sums = numpy.cumsum(
            numpy.pad(image, [(5, 4) if one == axis else (0, 0) for one in (0, 1)], "edge"), axis=axis
        )
        length = image.shape[axis]
        image = (sums.take(range(9, 9 + length), axis) - sums.take(range(length), axis)) / 9
    return image


def halve(image: Image) -> Image:
    """Half as high and as wide, by the means of two by two."""
    height, width = image.shape
    return image.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3), dtype=numpy.float32)


def summarise(image: Image) -> Summary:
    """Its mean and contrast, and a thumbnail."""
    small = image[:: image.shape[0] // 32, :: image.shape[1] // 64]
    low, high = float(small.min()), float(small.max())
    pixels = ((small - low) * (255 / (high - low))).astype(numpy.uint8)
    return Summary(float(image.mean()), high - low, pixels.tobytes())


def pipeline(count: int = 60) -> Pipeline[Summary]:
    """So many images through three stages."""
    images = Pipeline(Images(count), name="images", ordered=True)
    return images.map(blur, workers=2).map(halve, workers=1).map(summarise, workers=1).to(list)


def main() -> None:
    """Make the images, and print what is left of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=60, help="how many images")
    parser.add_argument("--check", action="store_true", help="do it in one plain loop, too, and compare")
    options = parser.parse_args()
    report = pipeline(options.count).run(progress=True)
    summaries: list[Summary] = report.result
    megabytes = options.count * HEIGHT * WIDTH * 4 / 1e6
    print(f"{len(summaries)} images, {megabytes:,.0f} MB of pixels in {report.seconds:.2f} s")
    print(f"brightest: image {max(range(len(summaries)), key=lambda number: summaries[number].mean)}")
    if options.check:
        start = time.perf_counter()
        plain = [summarise(halve(blur(image))) for image in Images(options.count)]
        seconds = time.perf_counter() - start
        assert plain == summaries
        print(
            f"one plain loop makes the same in {seconds:.2f} s, {seconds / report.seconds:.2f} times as long"
        )


if __name__ == "__main__":
    main()
