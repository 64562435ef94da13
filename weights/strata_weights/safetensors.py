"""A small strict safetensors reader and writer (https://github.com/huggingface/safetensors, "Format").

Written here because the reader must name the file in its errors, must widen BF16, which NumPy lacks, and because it
leaves one dependency less to install.
"""

import json
import math
import os

import numpy as np

from .common import WeightError

TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
         "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?"}
MAX_HEADER = 100_000_000


def _no_duplicates(pairs):
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key appears twice")
    return table


def _is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def read(path):
    """Returns ({name: array}, metadata). Arrays are views of the mapped file, BF16 widened to float32."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, MAX_HEADER):
            raise WeightError(f"{path}: the header claims {length} bytes, the file has {size}")
        text = file.read(length)
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise WeightError(f"{path}: the header is not valid JSON: {error}") from None
    if not isinstance(header, dict):
        raise WeightError(f"{path}: the header is not a JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise WeightError(f"{path}: __metadata__ must map strings to strings")

    data = np.memmap(path, np.uint8, "r", offset=8 + length) if size > 8 + length else np.zeros(0, np.uint8)
    tensors, spans = {}, []
    for name, entry in header.items():
        where = f"{path}: tensor '{name}'"
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise WeightError(f"{where}: expected dtype, shape and data_offsets")
        kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(kind, str) or kind not in TYPES:
            raise WeightError(f"{where}: unknown dtype {kind!r}")
        if not isinstance(shape, list) or not all(map(_is_count, shape)):
            raise WeightError(f"{where}: bad shape {shape!r}")
        if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)):
            raise WeightError(f"{where}: bad data_offsets {offsets!r}")
        begin, end = offsets
        needed = math.prod(shape) * np.dtype(TYPES[kind]).itemsize
        if not begin <= end <= len(data) or end - begin != needed:
            raise WeightError(f"{where}: shape {shape} of {kind} needs {needed} bytes, data_offsets are {offsets} "
                              f"in {len(data)} bytes of data")
        array = data[begin:end].view(TYPES[kind]).reshape(shape)
        tensors[name] = (array.astype(np.uint32) << 16).view(np.float32) if kind == "BF16" else array
        spans.append((begin, end, name))
    position = 0
    for begin, end, name in sorted(spans):
        if begin != position:
            raise WeightError(f"{path}: tensor '{name}' begins at byte {begin} of the data, expected {position}")
        position = end
    if position != len(data):
        raise WeightError(f"{path}: {len(data) - position} bytes of data belong to no tensor")
    return tensors, metadata


def write(file, tensors, metadata):
    """Writes float32 tensors to an open file, in name order, without gaps, the header padded to 8 bytes."""
    header, position = {"__metadata__": metadata}, 0
    for name in sorted(tensors):
        header[name] = {"dtype": "F32", "shape": list(tensors[name].shape),
                        "data_offsets": [position, position + tensors[name].nbytes]}
        position += tensors[name].nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little"))
    file.write(text)
    for name in sorted(tensors):
        file.write(np.ascontiguousarray(tensors[name], "<f4").data.cast("B") if tensors[name].size else b"")
