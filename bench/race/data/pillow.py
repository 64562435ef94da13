"""On one thread, as load_img uses it."""

import numpy as np
import PIL
from PIL import Image

from network import serve, unsupported
from pictures import COMPARED, SIDE, arguments, files_of

work, folder, path, threads = arguments()
if work != "pillow":
    unsupported("does neither TensorFlow's resizing nor the book's augmentation")
files = files_of(folder)


def load(file):
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.BILINEAR))


serve(PIL.__version__, np.stack([load(file) for file in files[:COMPARED]]), path, lambda: [load(file) for file in files])
