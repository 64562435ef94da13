"""The same work in Strata and in other libraries, in turn.

Every case is a network in a file of lines, read by all contenders, with the same random weights and input:

    precision float32|bfloat16
    input N H W C                                       or: input N FEATURES
    conv FILTERS SIZE STRIDE same|valid ACTIVATION      linear, relu, leaky_relu (slope 0.1), sigmoid (at the end)
    depthwise SIZE STRIDE same|valid ACTIVATION
    pool same|valid                                     the maximum of 2x2
    flatten
    dense UNITS ACTIVATION
    freeze                                              what stands above is not trained

Where the work is pictures from files, a folder of them lies beside the lines `precision uint8` and `work WORK`: decoding and resizing
as `pillow` or `tensorflow` has it, or an epoch of the book's augmentation, the `first` or a `later` one.

A contender is a program, `bench/race/TASK/NAME FOLDER OUTPUT THREADS`, in Python (network.py) or in C++ (case.hpp), compiled where
CMake finds its library. It does the work once, leaves the result in OUTPUT (float32; [n,h,w,c]; in training the losses of three steps;
of pictures the first 40, from 0 to 255 and without augmentation, which is random), prints `ready VERSION`, and for every line on its
standard input does the work again and prints the milliseconds. One that does not do a case at all prints `unsupported: REASON`. Results
are compared before anything is timed. Only the contender whose turn it is runs: the others are stopped, so that no idle thread of
theirs spins.
"""

import argparse
import array
import json
import math
import os
import platform
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import page

HERE = "bench/race"
BUILD = "build/bench/race"
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"  # PyPI's has CUDA within
# By name: the program, in C++ where it does not say otherwise, and what it needs of PyPI.
CONTENDERS = {"Strata": ("strata", []), "PyTorch": ("pytorch.py", ["torch"]),
              "Keras": ("keras_tf.py", ["tensorflow-cpu", "keras", "scipy"]), "ONNX Runtime": ("onnx_runtime.py", ["onnxruntime", "onnx"]),
              "OpenVINO": ("open_vino.py", ["openvino", "onnx"]), "ncnn": ("ncnn_.py", ["ncnn"]),
              "oneDNN": ("onednn", ["onednn-cpu-gomp", "onednn-devel-cpu-gomp"]), "Eigen": ("eigen", []), "OpenBLAS": ("openblas", []),
              "Pillow": ("pillow.py", [])}
SHARED = ["numpy", "pillow"]  # for weights, inputs and pictures
TOLERANCE = {"float32": 1e-3, "bfloat16": 3e-2, "uint8": 1.5e-2}  # relative L2 distance of results; JPEG decoders round in ways of their own
EPILOG = """A table goes to standard output, all figures to --out. FILTER is part of a case's name, as --list shows them: vgg16, "batch 1,",
training, ops, data, bfloat16. Pictures are those of $STRATA_DATA/cats_vs_dogs, or drawn. `--page FILE...` makes docs/performance.md,
its picture and its figures of such files."""

# ---- cases ----------------------------------------------------------------------------------------------------

VGG16 = [line for filters, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
         for line in [f"conv {filters} 3 1 same relu"] * count + ["pool valid"]]
TINY_DARKNET = ["pool same" if item == "pool" else "conv {} {} 1 same leaky_relu".format(*item) for item in (
    (16, 3), "pool", (32, 3), "pool", (16, 1), (128, 3), (16, 1), (128, 3), "pool", (32, 1), (256, 3), (32, 1), (256, 3), "pool",
    (64, 1), (512, 3), (64, 1), (512, 3), (128, 1))]
CONVNET = [line for filters in (32, 64, 128, 128) for line in (f"conv {filters} 3 1 valid relu", "pool valid")]
TOP = ["flatten", "dense 256 relu", "dense 1 sigmoid"]
# Sides are odd where the stride is 2, so that all libraries pad alike.
OPS = {"dense 1x8192x256": ("1 8192", "dense 256 relu"), "dense 128x2048x1000": ("128 2048", "dense 1000 relu"),
       "1x1, 64 to 256, 55x55": ("4 55 55 64", "conv 256 1 1 same relu"),
       "1x1, 512 to 128, 27x27": ("4 27 27 512", "conv 128 1 1 same relu"),
       "1x1, 1024 to 256, 13x13": ("4 13 13 1024", "conv 256 1 1 same relu"),
       "1x1 by 2, 256 to 512, 55x55": ("4 55 55 256", "conv 512 1 2 same relu"),
       "3x3, 64 to 64, 55x55": ("4 55 55 64", "conv 64 3 1 same relu"),
       "3x3, 256 to 256, 13x13": ("4 13 13 256", "conv 256 3 1 same relu"),
       "3x3 by 2, 128 to 128, 55x55": ("4 55 55 128", "conv 128 3 2 same relu"),
       "5x5, 64 to 128, 27x27": ("4 27 27 64", "conv 128 5 1 same relu"),
       "7x7 by 2, 3 to 64, 149x149": ("4 149 149 3", "conv 64 7 2 same relu"),
       "depthwise 3x3, 192, 55x55": ("4 55 55 192", "depthwise 3 1 same relu"),
       "depthwise 3x3 by 2, 96, 111x111": ("4 111 111 96", "depthwise 3 2 same relu")}


PICTURES = 200


def cases():
    """{name: (task, lines, images)}"""
    out = {}
    for precision in ("float32", "bfloat16"):
        for network, lines in (("VGG16 base", VGG16), ("Tiny Darknet", TINY_DARKNET)):
            for batch in (20, 1):
                out[f"{network}, batch {batch}, {precision}"] = (
                    "inference", [f"precision {precision}", f"input {batch} 150 150 3", *lines], batch)
    block5 = VGG16[:14] + ["freeze"] + VGG16[14:]
    for name, lines in (("small convnet", [*CONVNET, "flatten", "dense 512 relu", "dense 1 sigmoid"]),
                        ("VGG16, frozen base and head", [*VGG16, "freeze", *TOP]), ("VGG16, block 5 and head", [*block5, *TOP]),
                        ("VGG16, all layers", [*VGG16, *TOP])):
        out[f"training step of {name}, batch 20"] = ("training", ["precision float32", "input 20 150 150 3", *lines], 20)
    for name, (shape, line) in OPS.items():
        out[f"ops: {name}"] = ("inference", ["precision float32", f"input {shape}", line], int(shape.split()[0]))
    for name, work in (("decode and resize as Pillow", "pillow"), ("decode and resize as TensorFlow", "tensorflow"),
                       ("augmented epoch, first", "first"), ("augmented epoch, later", "later")):
        out[f"data: {name}"] = ("data", ["precision uint8", f"work {work}"], PICTURES)
    return out


# ---- one contender --------------------------------------------------------------------------------------------

class Left(Exception):
    """Why a contender is not in the race."""


class Contender:
    def __init__(self, name, command, folder, threads):
        self.name, self.rounds = name, []
        self.output, self.log = f"{folder}/{name}.out", f"{folder}/{name}.log"
        environment = {**os.environ, "PYTHONPATH": HERE, "OMP_NUM_THREADS": str(threads)}
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([*command, folder, self.output, str(threads)], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=log, env=environment)

    def said(self):
        """The last line it wrote to standard error."""
        with open(self.log, errors="replace") as log:
            lines = log.read().split("\n")
        return next((f": {line.strip()}" for line in reversed(lines) if line.strip()), "")

    def read(self, seconds):
        data, end = b"", time.monotonic() + seconds
        while not data.endswith(b"\n"):
            if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                raise Left(f"said nothing for {seconds} s")
            part = os.read(self.process.stdout.fileno(), 4096)
            if not part:
                raise Left(f"ended with status {self.process.wait()}{self.said()}")
            data += part
        return data.decode(errors="replace").strip()

    def await_ready(self, seconds=300):
        line = self.read(seconds)
        if line.startswith("unsupported: "):
            raise Left(line[13:])
        if not line.startswith("ready "):
            raise Left(f"expected `ready VERSION`, found `{line[:60]}`")
        self.version = line[6:]

    def run(self):
        """Milliseconds of one run."""
        try:
            self.process.stdin.write(b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # read says with which status it ended
        line = self.read(120)
        try:
            value = float(line)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise Left(f"expected milliseconds, found `{line[:60]}`")
        return value

    def turn(self, seconds=0.2):
        """A run for the caches, unless it is so long that they do not matter, then one or more that count."""
        self.process.send_signal(signal.SIGCONT)
        times = [self.run()]
        if times[0] < 500:
            times = [self.run()]
        while sum(times) < 1e3 * seconds and len(times) < 50:
            times.append(self.run())
        self.process.send_signal(signal.SIGSTOP)
        self.rounds.append(times)

    def peak_megabytes(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            return round(next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024)

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def read_floats(path):
    values = array.array("f")
    with open(path, "rb") as file:
        values.frombytes(file.read())
    return values


def distance(found, expected):
    """Relative L2; infinite for results of other lengths."""
    if len(found) != len(expected):
        return math.inf
    difference, norm = sum((a - b) * (a - b) for a, b in zip(found, expected)), sum(b * b for b in expected)
    return math.sqrt(difference / norm) if norm else math.inf


# ---- one case -------------------------------------------------------------------------------------------------

def race(commands, folder, threads=1, seconds=20.0, tolerance=1e-3, progress=lambda text: None):
    """Rows {name, version, ms: a list per round, error, peak_mb} or {name, why} of contenders {name: command}.

    The first contender whose result can be had is what the others are compared with. Rounds are raced for `seconds`, and three at
    least; one that fails is left out, whenever it is."""
    racing, rows = [], {name: {"name": name} for name in commands}

    def attempt(contender, action):
        try:
            return action()
        except (Left, OSError) as why:
            rows[contender.name]["why"] = str(why)
            contender.end()
            racing.remove(contender)

    try:
        for name, command in commands.items():
            try:
                racing.append(Contender(name, command, folder, threads))
            except OSError as error:
                rows[name]["why"] = f"could not be started: {error}"
        reference = None
        for contender in racing[:]:
            progress(f"{contender.name} gets ready")

            def prepare(contender=contender):
                nonlocal reference
                contender.await_ready()
                contender.process.send_signal(signal.SIGSTOP)
                output = read_floats(contender.output)
                reference = reference or (contender.name, output)
                error = distance(output, reference[1])
                if not error <= tolerance:
                    raise Left(f"its result differs from {reference[0]}'s by {error:.1e}, relatively; expected at most {tolerance}")
                rows[contender.name].update(version=contender.version, error=error)
            attempt(contender, prepare)
        start, number = time.monotonic(), 0
        while number < 3 or time.monotonic() - start < seconds:
            turn = number % max(1, len(racing))
            for contender in racing[turn:] + racing[:turn]:
                progress(f"round {number + 1}, {contender.name}")
                attempt(contender, contender.turn)
            number += 1
        for contender in racing[:]:
            attempt(contender, lambda: rows[contender.name].update(
                ms=[[float(f"{ms:.4g}") for ms in times] for times in contender.rounds], peak_mb=contender.peak_megabytes()))
    finally:
        for contender in racing:
            contender.end()
    return list(rows.values())


def print_table(name, images, rows):
    print(f"{name:<44}{'ms':>9}{'middle half':>22}{'images/s':>10}{'Strata is':>11}{'peak MB':>9}")
    for row in rows:
        if "why" in row:
            print(f"  {row['name']}: left out, {row['why']}")
            continue
        low, median, high = page.quartiles(row)
        ratio = page.ratio(rows, row["name"]) if row["name"] != "Strata" else None
        print(f"  {row['name'] + ' ' + row['version']:<42}{median:>9.4g}{f'{low:.4g} to {high:.4g}':>22}{1e3 * images / median:>10.4g}"
              f"{f'{ratio[1]:.2f}x' if ratio else '':>11}{row['peak_mb']:>9}")
    print(flush=True)


# ---- what is installed ----------------------------------------------------------------------------------------

def environment(names):
    """(the Python of an environment of its own, {name: why it is missing}): packages are brought as far as they can be."""
    home = os.path.join(os.environ.get("STRATA_HOME") or os.path.expanduser("~/.cache/strata"), "race-venv")
    python = f"{home}/bin/python"
    if not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
    with open(f"{HERE}/requirements.txt") as file:
        pins = dict(line.strip().split("==") for line in file if "==" in line)
    script = "import importlib.metadata as m; [print(d.metadata['Name'].lower().replace('_', '-'), d.version) for d in m.distributions()]"
    listed = subprocess.run([python, "-c", script], check=True, capture_output=True, text=True).stdout
    installed = dict(line.split() for line in listed.splitlines())
    missing = {}
    for name in [*SHARED, *names]:
        packages = CONTENDERS[name][1] if name in CONTENDERS else [name]
        wanted = [f"{package}=={pins[package]}" for package in packages if installed.get(package, "").split("+")[0] != pins[package]]
        if not wanted:
            continue
        print(f"installing {' '.join(wanted)} in {home}", file=sys.stderr)
        index = ["--extra-index-url", TORCH_INDEX] if name == "PyTorch" else []
        done = subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", *index,
                               *wanted, f"numpy=={pins['numpy']}"], capture_output=True, text=True)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            missing[name] = f"could not be installed: {lines[-1] if lines else 'pip says nothing'}"
    for name in SHARED:
        if name in missing:
            sys.exit(f"error: {name} {missing[name]}; the race needs it for weights, inputs and pictures")
    return python, missing


def source(task, name):
    program = CONTENDERS[name][0]
    return f"{HERE}/{task}/{program}" + ("" if program.endswith(".py") else ".cpp")


def takes_part(task, name):
    return os.path.exists(source(task, name))


def build(names, python, missing):
    """`missing` after contenders in C++ were compiled: with those that cannot be, without one that CMake finds elsewhere than PyPI."""
    names = [name for name in names if not CONTENDERS[name][0].endswith(".py")]
    config = os.path.join(os.path.dirname(os.path.dirname(python)), "lib/cmake/dnnl")
    commands = [["cmake", "--preset", "release", *([f"-Ddnnl_DIR={config}"] if os.path.exists(config) else [])]] if names else []
    commands += [["cmake", "--build", "build", "--target", f"bench_race_inference_{CONTENDERS[name][0]}"] for name in names]
    done = [subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for command in commands]
    left = {name: why for name, why in missing.items() if name not in names}
    for name, one in zip(names, done[1:]):
        failed = done[0] if done[0].returncode else one
        if failed.returncode:
            lines = [line.strip() for line in failed.stdout.splitlines() if "error" in line.lower()]
            why = "was not found by CMake" if "unknown target" in failed.stdout else f"could not be built: {lines[0] if lines else 'no error'}"
            left[name] = missing.get(name, why)
    return left


def peaks(threads, known):
    """The limits that the machine shows now, or `known` ones where those are higher: other programs can only take from them."""
    done = subprocess.run([f"{BUILD}/inference/strata", "--peaks"], capture_output=True, text=True,
                          env={**os.environ, "STRATA_BENCH_THREADS": str(threads)})
    found = json.loads(done.stdout) if done.returncode == 0 else {}
    return {key: max(found.get(key, 0), known.get(key, 0)) for key in {**found, **known}}


def machine(threads):
    with open("/proc/cpuinfo") as file:
        info = dict(line.split(":", 1) for line in file.read().split("\n\n")[0].splitlines() if ":" in line)
    info = {key.strip(): value.strip() for key, value in info.items()}
    flags = [flag for flag in info.get("flags", info.get("Features", "")).split()
             if flag.startswith(("avx", "fma", "amx", "f16c", "asimd", "sve"))]
    return {"cpu": info.get("model name", platform.machine()), "flags": flags, "cpus": len(os.sched_getaffinity(0)),
            "threads": threads, "system": f"{platform.system()} {platform.release().split('-')[0]}", "load": os.getloadavg()[0],
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2 ** 30),
            "peaks": {}}


# ---- the whole ------------------------------------------------------------------------------------------------

def main():
    parser = argparse.ArgumentParser(prog="bash bench/run --peers", description=__doc__, epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("filter", nargs="?", default="", metavar="FILTER")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of every contender (default: every CPU)")
    parser.add_argument("--seconds", type=float, default=20, help="that a case is raced for, once all are ready (default 20)")
    parser.add_argument("--quick", action="store_true", help="three rounds of each case")
    parser.add_argument("--only", default="", metavar="NAMES", help=f"some of {','.join(CONTENDERS)}")
    parser.add_argument("--out", default="runs/race.json", metavar="FILE", help="(default runs/race.json)")
    parser.add_argument("--list", action="store_true", help="name the cases and end")
    parser.add_argument("--page", nargs="+", metavar="FILE", help="write docs/performance.md, .svg and .json and end")
    options = parser.parse_args()
    if options.page:
        return page.write(options.page, "docs")
    chosen = {name: case for name, case in cases().items() if options.filter.lower() in f"{case[0]} {name}".lower()}
    if not chosen:
        parser.error(f"no case matches '{options.filter}'; --list names them")
    if options.list:
        return print("\n".join(chosen))
    tasks = sorted({case[0] for case in chosen.values()})
    names = [name for name in CONTENDERS if name == "Strata" or
             name in (options.only or name).split(",") and any(takes_part(task, name) for task in tasks)]
    unknown = set(filter(None, options.only.split(","))) - set(CONTENDERS)
    if unknown:
        parser.error(f"expected of --only some of {','.join(CONTENDERS)}, found {','.join(sorted(unknown))}")
    if options.threads < 1:
        parser.error(f"expected --threads of at least 1, found {options.threads}")

    for task in sorted({"inference", *tasks}):
        if not os.path.exists(f"{BUILD}/{task}/strata"):
            sys.exit(f"error: {BUILD}/{task}/strata is not built; `bash bench/run --peers` builds it")
    # A race that is ended ends its contenders, which are stopped processes.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit("error: the race was ended"))
    python, missing = environment(names[1:])
    missing = build(names[1:], python, missing)
    os.makedirs(os.path.dirname(options.out) or ".", exist_ok=True)
    result = {"date": time.strftime("%Y-%m-%d", time.gmtime()), "machine": machine(options.threads), "cases": []}

    def progress(text):
        if sys.stderr.isatty():
            print(f"\r\033[K{text[:100]}", end="", file=sys.stderr, flush=True)

    for name, (task, lines, images) in chosen.items():
        with tempfile.TemporaryDirectory() as folder:
            with open(f"{folder}/case.txt", "w") as file:
                file.write("\n".join(lines) + "\n")
            maker = [f"{HERE}/pictures.py", folder, str(images)] if task == "data" else [f"{HERE}/network.py", folder]
            made = subprocess.run([python, "-B", *maker], check=True, stdout=subprocess.PIPE, text=True)
            there = [peer for peer in names if takes_part(task, peer)]
            commands = {peer: [f"{BUILD}/{task}/{CONTENDERS[peer][0]}"] if source(task, peer).endswith(".cpp") else
                        [python, "-B", source(task, peer)] for peer in there if peer not in missing}
            precision = lines[0].split()[1]
            rows = race(commands, folder, options.threads, 0 if options.quick else options.seconds, TOLERANCE[precision],
                        lambda text, name=name: progress(f"{name}: {text}"))
        progress("")
        rows += [{"name": peer, "why": missing[peer]} for peer in there if peer in missing]
        result["cases"].append({"name": name, "task": task, "precision": precision, "images": images, **json.loads(made.stdout),
                                "rows": rows})
        result["machine"]["peaks"] = peaks(options.threads, result["machine"]["peaks"])
        print_table(name, images, rows)
        with open(options.out, "w") as file:  # after every case: a race that is broken off leaves what it has
            json.dump(result, file)
    print(f"all figures: {options.out}", file=sys.stderr)
    sys.exit(any("why" in row for case in result["cases"] for row in case["rows"] if row["name"] == "Strata"))


if __name__ == "__main__":
    main()
