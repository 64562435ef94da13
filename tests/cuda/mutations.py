#!/usr/bin/env python3
"""Plants bugs in the CUDA kernels, one at a time, and says whether the tests in this folder catch each.

    python3 -B tests/cuda/mutations.py [--only TEXT] [--list] [--build FOLDER]

Kernels run on the host, in tests/support/fake_cuda; no card is needed. FOLDER is a configured build (default: build). The
exit status is 1 where a bug survives."""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAMS = ["conformance_test", "runtime_test"]
TOGETHER = 2  # compilations and runs at a time
TIMEOUT = 100  # seconds of a run; the kernels as they are take 30 for all
LEFT_OUT = "/* left out */"

Mutation = namedtuple("Mutation", "name file before after sections")

NORMALIZATION, ELEMENTWISE, POOLING, PIXELS = ["normalization"], ["elementwise"], ["pooling"], ["pixels"]
LOSSES, OPTIMIZERS, CONVOLUTION, DENSE = ["losses"], ["optimizers"], ["convolution"], ["dense"]
NAN = ["NaN, packed weights, dropout"]
DIRECT = ["Where cuDNN has no engine*"]  # the test case of runtime_test; a comma would end the name

MUTATIONS = [Mutation(*mutation) for mutation in [
    # Every sum, and every loop over a grid
    ("grid-stride loop forgets blockIdx", "common.cuh",
     "return Int(blockIdx.x) * blockDim.x + threadIdx.x;", "return threadIdx.x;", ELEMENTWISE),
    ("grid-stride loop steps by a block", "common.cuh",
     "return Int(gridDim.x) * blockDim.x;", "return blockDim.x;", ELEMENTWISE),
    ("grid-stride loop leaves out element 0", "common.cuh",
     "blockDim.x + threadIdx.x;", "blockDim.x + threadIdx.x + 1;", ELEMENTWISE),
    ("maximum loses NaN on its left", "common.cuh",
     "return a != a || a > b ? a : b;", "return a > b ? a : b;", NAN + POOLING + ELEMENTWISE + CONVOLUTION),
    ("maximum loses NaN on its right", "common.cuh",
     "return a != a || a > b ? a : b;", "return a < b ? b : a;", NAN + POOLING + ELEMENTWISE + CONVOLUTION),
    ("sum over lanes: first shuffle left out", "common.cuh",
     "for (int offset = lanes / 2; offset;", "for (int offset = lanes / 4; offset;", ELEMENTWISE + LOSSES),
    ("sum over lanes: wrong shuffle", "common.cuh",
     "value += __shfl_xor_sync(0xffffffffu, value, offset)", "value += __shfl_down_sync(0xffffffffu, value, offset)",
     ELEMENTWISE + LOSSES),
    ("block_sum: no barrier before its shared memory is written again", "common.cuh",
     "__syncthreads();  // `warps` may still be read by an earlier call", LEFT_OUT, ELEMENTWISE + NORMALIZATION),
    ("block_sum: no barrier between writing and reading", "common.cuh",
     "= value;\n  __syncthreads();", "= value;", ELEMENTWISE),
    ("block_sum: adds shared memory of warps there are not", "common.cuh",
     "i < blockDim.x / 32", "i < 32", ELEMENTWISE),
    ("block_sum: forgets the last warp", "common.cuh",
     "i < blockDim.x / 32", "i + 1 < blockDim.x / 32", ELEMENTWISE),

    # Columns
    ("columns: blocks overlap by a channel", "columns.cuh",
     "Int(blockIdx.x) * p.width +", "Int(blockIdx.x) * (p.width - 1) +", NORMALIZATION),
    ("columns: last slice goes on beyond the last row", "columns.cuh",
     "return end < p.rows ? end : p.rows;", "return end;", NORMALIZATION),
    ("columns: last slice ends a row early", "columns.cuh",
     "return end < p.rows ? end : p.rows;", "return end < p.rows ? end : p.rows - 1;", NORMALIZATION),
    ("for_slice: a row too many", "columns.cuh",
     "if (row + k * lanes < end) store(", "if (row + k * lanes <= end) store(", NORMALIZATION),
    ("for_slice: no guard against channels beyond the last", "columns.cuh",
     "if (channel >= p.channels) return;", LEFT_OUT, NORMALIZATION + PIXELS),
    ("for_slice: steps over rows", "columns.cuh",
     "row += together * lanes", "row += together * blockDim.x", NORMALIZATION),
    ("sum_columns: no barrier before its shared memory is written again", "columns.cuh",
     "__syncthreads();  // `shared` may still be read by an earlier call", LEFT_OUT, NORMALIZATION + PIXELS),
    ("sum_columns: no barrier between two halvings", "columns.cuh",
     "half /= 2) {\n    __syncthreads();", "half /= 2) {", NORMALIZATION),
    ("sum_columns: no barrier before reading", "columns.cuh",
     "}\n  __syncthreads();\n", "}\n", NORMALIZATION + PIXELS),
    ("sum_columns: shared array too small", "columns.cuh",
     "shared[N][Columns::threads]", "shared[N][Columns::threads / 2]", NORMALIZATION),
    ("sum_columns: last halving left out", "columns.cuh", "half >= width", "half > width", NORMALIZATION),
    ("sum_columns: steps over rows", "columns.cuh",
     "row += blockDim.x / width", "row += blockDim.x", NORMALIZATION),
    ("sums of slices: wrong stride", "columns.cuh",
     "partial[(slice * N + k) * p.channels", "partial[(slice + k) * p.channels", NORMALIZATION),
    ("sums of slices: all threads write", "columns.cuh",
     "threadIdx.x < unsigned(p.width) && own_channel(p) < p.channels", "own_channel(p) < p.channels", NORMALIZATION),
    ("sums of slices: no guard against channels beyond the last", "columns.cuh",
     "threadIdx.x < unsigned(p.width) && own_channel(p) < p.channels", "threadIdx.x < unsigned(p.width)",
     NORMALIZATION),

    # Loops over elements and rows
    ("map: channel runs over", "elementwise.cuh", "if (c >= channels) c -=", "if (c > channels) c -=", DENSE),
    ("map: takes four elements where three are left", "elementwise.cuh",
     "while (i + 3 * step < count)", "while (i + 2 * step < count)", ELEMENTWISE),
    ("map: leaves out the last element", "elementwise.cuh",
     "for (; i < count; next())", "for (; i + 1 < count; next())", ELEMENTWISE),
    ("for_images: all blocks do the same images", "elementwise.cuh",
     "Int image = blockIdx.z;", "Int image = 0 * blockIdx.z + 1;", POOLING),
    ("rows: wrong distance between teams", "elementwise.cuh", "stride() / 32)", "stride() / 16)", ELEMENTWISE),
    ("rows: lanes of a whole block in a warp", "elementwise.cuh",
     "lanes(wide ? blockDim.x : 32)", "lanes(blockDim.x)", ELEMENTWISE),
    ("row sum: a warp's where the block is wanted", "elementwise.cuh",
     "wide ? block_sum(value) : lane_sum(value)", "lane_sum(value)", ELEMENTWISE),
    ("row maximum: first shuffle left out", "elementwise.cuh",
     "for (int offset = 16; offset; offset /= 2)\n", "for (int offset = 8; offset; offset /= 2)\n", ELEMENTWISE),
    ("row maximum: no barrier before its shared memory is written again", "elementwise.cuh",
     "__syncthreads();  // `warps` may still be read by an earlier call", LEFT_OUT, ELEMENTWISE),
    ("row maximum: no barrier between writing and reading", "elementwise.cuh",
     "= value;\n    __syncthreads();", "= value;", ELEMENTWISE),

    # Activations and what stands beside them
    ("relu loses NaN", "activation.cuh", "return x < 0 ? 0.0f : x;", "return x > 0 ? x : 0.0f;", NAN + ELEMENTWISE),
    ("sigmoid overflows", "activation.cuh", "expf(-fabsf(x))", "expf(fabsf(x))", ELEMENTWISE),
    ("elu cancels near 0", "activation.cuh", "expm1f(x)", "expf(x) - 1", ELEMENTWISE),
    ("relu's gradient at 0", "elementwise.cu",
     "return value > 0 ? gradient : 0.0f;", "return value >= 0 ? gradient : 0.0f;", ELEMENTWISE),
    ("softmax backward: sum not shared", "elementwise.cu", "dot = team.sum(dot);", LEFT_OUT, ELEMENTWISE),
    ("copy: wrong stride", "elementwise.cu",
     "p.y[(i - c) / p.columns * p.y_stride + c]", "p.y[(i - c) / p.columns * p.x_stride + c]", ELEMENTWISE),
    ("padding: a row too many", "elementwise.cu", "row < p.g.in_h &&", "row <= p.g.in_h &&", ELEMENTWISE),
    ("padding backward: forgets the top", "elementwise.cu", "* p.g.in_h + p.g.top;", "* p.g.in_h;", ELEMENTWISE),
    ("Philox: wrong constant", "elementwise.cu", "0xCD9E8D57", "0xCD9E8D59", NAN + ELEMENTWISE),
    ("Philox: a round too few", "elementwise.cu", "round < 10", "round < 9", NAN + ELEMENTWISE),
    ("Philox: product overflows", "elementwise.cu",
     "std::uint64_t{0xD2511F53} *", "std::uint32_t{0xD2511F53} *", NAN + ELEMENTWISE),
    ("dropout: step cut to 32 bits", "elementwise.cu", "p.step[0], p.step[1]}", "p.step[0], 0}", NAN),
    ("dropout: > for >=", "elementwise.cu", ">= p.threshold", "> p.threshold", NAN + ELEMENTWISE),
    ("dropout: no guard behind the last element", "elementwise.cu",
     "if (4 * block + k < p.count) y[k]", "y[k]", NAN + ELEMENTWISE),

    # Epilogues
    ("epilogue: bias before scale", "epilogue.cu",
     "if (p.scale) value *= p.scale[c];\n  if (p.bias) value += p.bias[c];",
     "if (p.bias) value += p.bias[c];\n  if (p.scale) value *= p.scale[c];", DENSE),
    ("softmax: maximum not shared", "epilogue.cu", "top = team.greatest(top);", LEFT_OUT, ELEMENTWISE),
    ("softmax: leaves out its first lane", "epilogue.cu",
     "c < p.channels; c += team.lanes) sum +=", "c + 1 < p.channels; c += team.lanes) sum +=", ELEMENTWISE),
    ("pooled epilogue: wrong row below", "epilogue.cu", "corner + p.w * channels;", "corner + (p.w - 1) * channels;",
     CONVOLUTION),
    ("pooled epilogue: odd rows shift the images", "epilogue.cu",
     "(image * p.h + 2 * row)", "(image * 2 * rows + 2 * row)", CONVOLUTION),
    ("transpose: no barrier", "epilogue.cu", "__syncthreads();", LEFT_OUT, DENSE + CONVOLUTION),
    ("transpose: wrong stride", "epilogue.cu", "* p.rows + row + x]", "* p.columns + row + x]", DENSE + CONVOLUTION),
    ("transpose: no guard of the last tile", "epilogue.cu",
     "if (column + i < p.columns && row + x < p.rows)", "if (column + i < p.columns)", DENSE + CONVOLUTION),
    ("transpose: always accumulates", "epilogue.cu", "p.accumulate ? to + tile[x][i] : tile[x][i]", "to + tile[x][i]",
     DENSE + CONVOLUTION),

    # Pooling
    ("pooling: window not cut at its begin", "pooling.cu", "begin < 0 ? 0 : begin,", "begin,", POOLING),
    ("pooling: window cut a pixel early", "pooling.cu", "end > size ? int(size) : end", "end >= size ? int(size) - 1 : end",
     POOLING),
    ("pooling: mean over pixels beyond the border", "pooling.cu",
     "double((rows.end - rows.begin) * (columns.end - columns.begin))", "double(g.pool_h * g.pool_w)", POOLING),
    ("pooling: a window too many", "pooling.cu", "early / int(stride) + 1,", "early / int(stride),", POOLING),
    ("pooling: a window too few", "pooling.cu", "last / int(stride) + 1;", "last / int(stride);", POOLING),
    ("pooling backward: the last of equals receives too", "pooling.cu", "receives && r <= row;", "receives && r < row;",
     POOLING),
    ("pooling: wrong stride between images", "pooling.cu",
     "p.y[(image * g.out_h + out_row) * g.out_w", "p.y[(image * g.out_w + out_row) * g.out_w", POOLING),

    # Sums
    ("sums: overwritten, not added to", "sums.cuh", "target.to[s] +=", "target.to[s] =", ELEMENTWISE),
    ("sums: parts of two sums overlap", "sums.cuh", "s * gridDim.x + blockIdx.x", "s + blockIdx.x", ELEMENTWISE),
    ("sums: a part too many", "sums.cu", "i < p.blocks;", "i <= p.blocks;", ELEMENTWISE),
    ("accuracy: the last of equals", "sums.cu", "if (row[c] > value)", "if (row[c] >= value)", ELEMENTWISE),
    ("accuracy: the last lane of equals", "sums.cu", "other_place < place", "other_place > place", ELEMENTWISE),
    ("accuracy: only the first warp counts", "sums.cu",
     "if (threadIdx.x % 32 != 0) continue;", "if (threadIdx.x != 0) continue;", ELEMENTWISE),
    ("accuracy: every thread counts", "sums.cu", "if (threadIdx.x % 32 != 0) continue;", LEFT_OUT, ELEMENTWISE),
    ("top-k: equals exceed", "sums.cu", "values[c] <= chosen ? 0.0", "values[c] < chosen ? 0.0", ELEMENTWISE),
    ("top-k: a label beyond the classes", "sums.cu", "label < float(p.of.classes)", "label < 1e9f", ELEMENTWISE),
    ("row error: not the mean", "sums.cu", "row_sum(classes, f) / double(classes)", "row_sum(classes, f)", ELEMENTWISE),
    ("confusion: thresholds rounded down", "sums.cu", "ceilf(", "floorf(", ELEMENTWISE),
    ("confusion: weight of the wrong row", "sums.cu", "sample_weight(p.of, i / p.of.classes)",
     "sample_weight(p.of, i % p.of.rows)", ELEMENTWISE),

    # Normalization
    ("batch norm: epsilon outside the root", "normalization.cu",
     "gamma / sqrt(double(p.variance[c]) + p.epsilon)", "gamma / (sqrt(double(p.variance[c])) + p.epsilon)",
     NORMALIZATION),
    ("batch norm: square of the mean not taken off", "normalization.cu", "/ rows - offset * offset,", "/ rows,",
     NORMALIZATION),
    ("batch norm: gradients always accumulate", "normalization.cu",
     "accumulate ? double(*to) + value : value", "double(*to) + value", NORMALIZATION),
    ("batch norm: momentum the wrong way round", "normalization.cu", "(1 - p.momentum) * variance", "p.momentum * variance",
     NORMALIZATION),
    ("batch norm backward: wrong stride", "normalization.cu", "p.sums[channels + c]", "p.sums[2 * c + 1]", NORMALIZATION),
    ("bias gradient: wrong stride", "normalization.cu",
     "p.dy[row * columns.channels + channel]); });", "p.dy[row * columns.width + channel]); });",
     ELEMENTWISE + DENSE + CONVOLUTION),

    # Pixels
    ("pixel range: no barrier between two halvings", "pixels.cu", "__syncthreads();\n      if", "if", PIXELS),
    ("pixel range: shared array too small", "pixels.cu",
     "least[Columns::threads], greatest", "least[Columns::threads / 2], greatest", PIXELS),
    ("pixel range: last halving left out", "pixels.cu", "half; half /= 2", "half > 1; half /= 2", PIXELS),
    ("warp: mirrored a pixel off", "pixels.cu", "g.width - 1 - j", "g.width - j", PIXELS),
    ("warp: last pixel counts as outside", "pixels.cu", "i <= last) ? -1", "i < last) ? -1", PIXELS),
    ("warp: reflection repeats no edge", "pixels.cu", "at < 0 ? -at - 1 : at", "at < 0 ? -at : at", PIXELS),
    ("warp: pictures start at a row's end", "pixels.cu",
     "p.y + (n * g.height * g.width + i)", "p.y + (n * g.height * g.height + i)", PIXELS),
    ("adjustment: mean of another picture", "pixels.cu",
     "partial + n * p.columns.slices * p.columns.channels", "partial + n * p.columns.channels", PIXELS),

    # Losses and optimizers
    ("loss: first shuffle of the maximum left out", "training.cu",
     "offset = lanes / 2; offset;", "offset = lanes / 4; offset;", LOSSES),
    ("loss: wrong stride", "training.cu", "return row * p.classes + c;", "return row * p.lanes + c;", LOSSES),
    ("loss: no guard against rows beyond the last", "training.cu", "if (row < p.rows)\n", "", LOSSES),
    ("loss: every lane writes", "training.cu", "inside && row.lane == 0", "row.lane == 0", LOSSES),
    ("loss: maximum not subtracted in the gradient", "training.cu",
     "(exp(logit(c) - top) / powers)", "(exp(logit(c)) / powers)", LOSSES),
    ("mean absolute error: a slope where there is no error", "training.cu", "d > 0 ? 1 : d < 0 ? -1 : d)", "d > 0 ? 1 : -1)",
     LOSSES),
    ("Huber: slope not cut", "training.cu", "(d < -delta ? -delta : d > delta ? delta : d)", "(d < -delta ? -delta : d)",
     LOSSES),
    ("penalty: slope of the wrong sign", "training.cu", "(w > 0) - (w < 0)", "(w < 0) - (w > 0)", ELEMENTWISE),
    ("optimizer: block of the wrong weight", "training.cu", "end_block <= blockIdx.x", "end_block < blockIdx.x", OPTIMIZERS),
    ("optimizer: an element too many", "training.cu",
     "if (offset >= count) continue;\n      float", "if (offset > count) continue;\n      float", OPTIMIZERS),
    ("optimizer: unfinished last block", "training.cu", "rest < OptimizerStep::block_size ? rest :",
     "rest < OptimizerStep::block_size ? rest / 4 * 4 :", OPTIMIZERS),
    ("Adam: epsilon in the root", "training.cu",
     "(sqrtf(p.amsgrad ? s[2] : s[1]) + rates.epsilon)", "sqrtf((p.amsgrad ? s[2] : s[1]) + rates.epsilon)", OPTIMIZERS),
    ("Adam: counts steps from 0", "training.cu",
     "step = p.state->iteration += 1,", "step = p.state->iteration++,", OPTIMIZERS),
    ("clipping loses NaN", "training.cu",
     "gradient < -bound ? -bound : gradient > bound ? bound : gradient", "fminf(fmaxf(gradient, -bound), bound)",
     OPTIMIZERS),

    # Convolutions without cuDNN
    ("convolution: a row too many", "convolution.cu", "iy >= g.in_h) continue;", "iy > g.in_h) continue;", DIRECT),
    ("convolution: all groups read the first", "convolution.cu",
     "const Int channel = at.c / g.group_out() * inputs;", "const Int channel = 0;", DIRECT),
    ("convolution: wrong stride", "convolution.cu", "kernel[ci * g.out_c]", "kernel[ci * inputs]", DIRECT),
    ("convolution backward: windows between the strides", "convolution.cu", "y % g.stride_h || ", "", DIRECT),
    ("convolution backward: never accumulates", "convolution.cu",
     "p.accumulate ? p.result[i] + sum : sum", "sum", DIRECT),
    ("convolution kernel: every thread writes", "convolution.cu", "if (threadIdx.x == 0) p.result", "p.result", DIRECT),
    ("convolution kernel: pixels left out", "convolution.cu", "pixel += blockDim.x", "pixel += blockDim.x + 1", DIRECT),

    # Gradients by the kernel of few channels
    ("window gradient: the last pixels twice", "convolution.cu",
     "begin + p.slice < count ? begin + p.slice : count", "begin + p.slice", CONVOLUTION),
    ("window gradient: without padding", "convolution.cu", " - int(g.pad_left);", ";", CONVOLUTION),
    ("window gradient: dilation forgotten", "convolution.cu", " * int(g.dilation_h) - int(g.pad_top)", " - int(g.pad_top)",
     CONVOLUTION),
    ("window gradient: stays in its image", "convolution.cu", "pixel.y = 0, pixel.image += g.in_h * g.in_w * g.in_c;",
     "pixel.y = 0;", CONVOLUTION),
    ("window gradient: reads before all have written", "convolution.cu", "    __syncthreads();\n    load(pixel + pixels);",
     "    load(pixel + pixels);", CONVOLUTION),
    ("window gradient: writes while others read", "convolution.cu",
     "    __syncthreads();\n  }\n  for (int i = 0; i < own; ++i)", "  }\n  for (int i = 0; i < own; ++i)", ["many pixels"]),
    ("window gradient: a tap too many", "convolution.cu", "to_tap < all_taps && to_output", "to_tap <= all_taps && to_output",
     CONVOLUTION),
    ("window gradient: an output too many", "convolution.cu", "to_output < g.out_c)", "to_output <= g.out_c)", CONVOLUTION),
]]


class Plant:
    """Builds the tests with other kernels: one object is compiled, the rest is taken from a build."""

    def __init__(self, build, folder):
        self.build, self.folder = build, folder
        self.kernels = os.path.join(folder, "kernels")
        shutil.copytree(os.path.join(ROOT, "kernels"), self.kernels)  # which may change while this runs
        commands = run(["ninja", "-C", build, "-t", "commands", *map(target, PROGRAMS)]).splitlines()
        compiler = [line for line in commands if line.endswith("fake_cuda/kernels.cpp")]
        linkers = [[line for line in commands if f"-o tests/cuda/{program} " in line] for program in PROGRAMS]
        if [len(found) for found in (compiler, *linkers)] != [1] * (1 + len(PROGRAMS)):
            sys.exit(f"{build}: expected one command that compiles kernels.cpp and one that links each of "
                     f"{', '.join(PROGRAMS)}, found {len(compiler)} and {', '.join(str(len(f)) for f in linkers)}")
        words = shlex.split(compiler[0])
        self.source = words[-1]
        self.compiler = next(word for word in words if re.search(r"(\+\+|clang)[-0-9.]*$", os.path.basename(word)))
        self.flags = [word for word in words if re.match(r"-(I|D|std|f|m)", word) and word not in ("-MD", "-MT", "-MF")]
        system = [i for i, word in enumerate(words) if word == "-isystem"]
        self.flags += [word for i in system for word in words[i:i + 2]]
        archive = next(word for word in linkers[0][0].split() if word.endswith("libstrata_fake_cuda.a"))
        without = os.path.join(folder, "rest.a")  # the archive's own kernels would be linked beside the changed ones
        shutil.copy(os.path.join(build, archive), without)
        run(["ar", "d", without, "kernels.cpp.o"])
        self.linkers = {program: [without if word == archive else word for word in shlex.split(found[0])
                                  if word not in (":", "&&")]
                        for program, found in zip(PROGRAMS, linkers)}

    def compile(self, folder, kernels):
        with open(os.path.join(folder, "kernel_list.inc"), "w", encoding="utf-8") as file:
            for name in sorted(os.listdir(kernels)):
                if name.endswith(".cu"):
                    file.write(f'#include "{os.path.join(kernels, name)}"\n')
        changed = os.path.join(folder, "kernels.o")
        run([self.compiler, f"-I{folder}", *self.flags, "-O1", "-w", "-o", changed, "-c", self.source])

    def link(self, folder, name):
        program = os.path.join(folder, name)
        if not os.path.exists(program):
            words = list(self.linkers[name])
            place = words.index("-o")
            words[place:place + 2] = [os.path.join(folder, "kernels.o"), "-o", program]
            run(words, cwd=self.build)
        return program

    def check(self, mutation):
        """How the mutation is caught, or None; without a mutation, how the test fails."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            kernels = self.kernels
            if mutation:
                kernels = os.path.join(folder, "kernels")
                shutil.copytree(self.kernels, kernels)
                path = os.path.join(kernels, mutation.file)
                with open(path, encoding="utf-8") as file:
                    text = file.read()
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text.replace(mutation.before, mutation.after))
            self.compile(folder, kernels)
            for section in mutation.sections if mutation else [None] + DIRECT:
                program = self.link(folder, "runtime_test" if section in DIRECT else "conformance_test")
                if how := test(program, section, folder):
                    return how
        return None


def target(program):
    return f"test_cuda_{program}"


def run(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", **options)
    if done.returncode != 0:
        raise RuntimeError(f"{shlex.join(command[:3])} ... ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return done.stdout


def test(program, section, cache):
    """What the program finds wrong first, or None."""
    command = [program, "--abort"] + ([section] if section in DIRECT else ["-c", section] if section else [])
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                              timeout=TIMEOUT, env={**os.environ, "STRATA_CUDA_CACHE": cache})
    except subprocess.TimeoutExpired:
        return "does not end"
    if done.returncode == 0:
        if "All tests passed" not in done.stdout:
            raise RuntimeError(f"section '{section}' ran no test")
        return None
    return how_found(done.stdout, done.returncode)


def how_found(output, status):
    """The kind of the first failure Catch reports, and the case it is in."""
    # Beneath "with messages:" stands the case, and beneath that an exception's text where there is one.
    messages = re.search(r"with messages?:\n((?: +.*\n)+)", output)
    messages = [line.strip() for line in messages[1].splitlines()] if messages else []
    where = f": {messages[0]}" if messages else ""
    if crash := re.search(r"SIG[A-Z]+", output):
        return f"crash, {crash[0]}" + where
    if status < 0:
        return f"crash, signal {-status}" + where
    if "unexpected exception" in output:
        error = re.sub(r"a barrier or an exchange.*|threads wait for.*", "barrier", " ".join(messages[1:] or messages))
        return ("barrier" if error.endswith("barrier") else f"error, {error}") + where
    if "margins_intact" in output:
        return "margin" + where
    return ("not the same bits" if "same_bits" in output else "wrong value") + where


def texts_of(mutations):
    """Ends where a text to replace does not occur exactly once."""
    wrong = []
    for mutation in mutations:
        with open(os.path.join(ROOT, "kernels", mutation.file), encoding="utf-8") as file:
            found = file.read().count(mutation.before)
        if found != 1:
            wrong.append(f"{mutation.file}, {mutation.name}: expected its text once, found it {found} times")
    if wrong:
        sys.exit("\n".join(wrong))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="TEXT", help="only mutations whose file or name contains this")
    parser.add_argument("--list", action="store_true", help="say which there are, and end")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), metavar="FOLDER")
    options = parser.parse_args()
    mutations = [m for m in MUTATIONS if options.only in f"{m.file} {m.name}"]
    texts_of(mutations)
    if options.list:
        for mutation in mutations:
            print(f"{mutation.file:<17} {mutation.name:<66} {', '.join(mutation.sections)}")
        return 0
    if not mutations:
        sys.exit(f"--only: no mutation's file or name contains '{options.only}'")

    start = time.monotonic()
    build = os.path.abspath(options.build)
    run(["cmake", "--build", build, "--target", *map(target, PROGRAMS)])
    survived = 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(TOGETHER) as pool:
        plant = Plant(build, folder)
        sound = pool.submit(plant.check, None)
        for mutation, how in zip(mutations, pool.map(plant.check, mutations)):
            survived += how is None
            print(f"{mutation.file:<17} {mutation.name:<66} {how or 'SURVIVED'}", flush=True)
        if how := sound.result():
            sys.exit(f"the kernels as they are fail the test: {how}")
    print(f"{len(mutations) - survived} caught, {survived} survived, {time.monotonic() - start:.0f} s")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
