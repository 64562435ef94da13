"""What the contenders in Python share where the work is pictures in files.

`python pictures.py FOLDER COUNT` puts JPEGs of two classes into FOLDER/pictures and prints which: the first of
$STRATA_DATA/cats_vs_dogs/train, or drawn ones of the size of Kaggle's cats and dogs.
"""

import json
import os
import shutil
import sys

import numpy as np

SIDE = 150
BATCH = 20
COMPARED = 40  # pictures of a result: the first, in the order of their paths


def arguments():
    """The work, the folder of class folders, where the result goes, threads."""
    folder, output, threads = sys.argv[1:]
    with open(f"{folder}/case.txt") as file:
        work = dict(line.split() for line in file)["work"]
    return work, f"{folder}/pictures", output, int(threads)


def files_of(folder):
    return [entry.path for name in sorted(os.listdir(folder))
            for entry in sorted(os.scandir(f"{folder}/{name}"), key=lambda entry: entry.name)]


def draw(random, height, width):
    """Shapes in front of noise of all wavelengths, each as strong as it is long: much like a photograph to a JPEG."""
    from PIL import Image
    pixels = np.full((height, width, 3), random.uniform(60, 190, 3))
    for side in (2, 4, 8, 16, 32, 64, 128, 256):
        noise = random.normal(0, 100 * side ** -0.7, (side * height // width + 1, side, 3)).astype("float32")
        for c in range(3):
            pixels[..., c] += np.asarray(Image.fromarray((noise[..., c] + noise[..., 0]) / 2).resize((width, height), Image.BICUBIC))
    y, x = np.mgrid[:height, :width]
    for _ in range(6):
        across, down = ((axis - random.uniform(0, size)) / random.uniform(20, 120) for axis, size in ((x, width), (y, height)))
        inside = across ** 2 + down ** 2 < 1
        pixels[inside] = pixels[inside] * 0.3 + random.uniform(0, 180, 3)
    return Image.fromarray(pixels.clip(0, 255).astype("uint8"))


def make(folder, count):
    """What the pictures are, in words."""
    from PIL import Image
    data = os.environ.get("STRATA_DATA")
    source = f"{data}/cats_vs_dogs/train"
    real = bool(data) and os.path.isdir(source)
    random = np.random.default_rng(1)
    for name in ("cats", "dogs"):
        os.makedirs(f"{folder}/{name}")
        found = sorted(os.listdir(f"{source}/{name}"))[:count // 2] if real else []
        for file in found:
            shutil.copy(f"{source}/{name}/{file}", f"{folder}/{name}")
        for number in range(len(found), count // 2):
            height, width = random.integers((300, 400), (450, 600)).tolist()
            draw(random, height, width).save(f"{folder}/{name}/{number:04}.jpg", quality=90)
    sizes, files = [], files_of(folder)
    for path in files:
        with Image.open(path) as picture:
            sizes.append(picture.size)
    width, height = (round(mean) for mean in np.mean(sizes, axis=0))
    return (f"{len(files)} {'photographs of cats and dogs' if real else 'drawn pictures'}, {width}x{height} pixels and "
            f"{sum(map(os.path.getsize, files)) / len(files) / 1e3:.0f} kB on average")


if __name__ == "__main__":
    print(json.dumps({"pictures": make(f"{sys.argv[1]}/pictures", int(sys.argv[2]))}))
