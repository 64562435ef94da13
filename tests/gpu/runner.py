"""The CUDA device on a machine with an NVIDIA card: build, tests, compute-sanitizer, workflows, speed, one report."""

import argparse
import csv
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor

import report

BUILD, DEPS, LOGS = "build-gpu", "build-deps", "build-gpu/log"
CPUS = len(os.sched_getaffinity(0))
STEPS = ("tests", "sanitizer", "workflows", "bench", "peers")
CONFORMS = "The CUDA device conforms on every card"
GROUPS = ("convolution", "pooling", "dense", "elementwise", "pixels", "normalization", "losses", "optimizers")
MODEL_SECTIONS = ("layer by layer", "inference", "training", "fit", "gradients", "several outputs", "frozen prefix", "saving")
EXAMPLES = ("mnist_convnet", "feature_extraction", "augmented_training", "fine_tuning")


class Runner:
    """Runs commands, each with a limit of its own and that of the whole, and keeps what became of them."""

    def __init__(self, minutes):
        self.end = time.monotonic() + 60 * minutes
        self.steps = []

    def add(self, step, name, status, seconds=0.0, **more):
        self.steps.append({"step": step, "name": name, "status": status, "seconds": round(seconds, 2), **more})
        print(f"{step:<10} {name:<52} {status:<8} {seconds:6.1f} s  {more.get('why', '')}".rstrip(), flush=True)

    def skip(self, step, name, why):
        self.add(step, name, "skipped", why=why)

    def call(self, command, limit, log, environment=None):
        """(exit status, output, seconds); 124 where it took longer than `limit`, None where no time was left."""
        limit = min(limit, self.end - time.monotonic())
        if limit < 5:
            return None, "", 0.0
        start = time.monotonic()
        path = f"{LOGS}/{re.sub('[^A-Za-z0-9_.-]+', '_', log)}.txt"
        with open(path, "w") as file:
            process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                       env={**os.environ, **(environment or {})})
            try:
                status = process.wait(limit)
            except subprocess.TimeoutExpired:
                process.terminate()
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                status = 124
        with open(path, errors="replace") as file:
            return status, file.read(), time.monotonic() - start

    def step(self, step, name, command, limit):
        """Runs and notes a command; its output where it succeeded, else None."""
        status, output, seconds = self.call(command, limit, f"{step} {name}")
        if status is None:
            self.skip(step, name, "no time was left")
        elif status:
            why = f"stopped after {seconds:.0f} s" if status == 124 else f"exit status {status}"
            self.add(step, name, "failed", seconds, why=why, output=report.tail(output))
        else:
            self.add(step, name, "passed", seconds)
        return output if status == 0 else None


def build(run, options):
    targets = ["bench_gpu_steps"] if {"bench", "peers"} & options.steps else []
    if {"tests", "sanitizer"} & options.steps:
        targets += [f"test_gpu_{os.path.basename(path)[:-4]}" for path in sorted(glob.glob("tests/gpu/*_test.cpp"))]
    if "workflows" in options.steps:
        targets += [f"example_{name}" for name in EXAMPLES]
    configure = ["cmake", "-S", ".", "-B", BUILD, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DSTRATA_CUDA=ON",
                 "-DSTRATA_WITH_EIGEN=OFF", "-DSTRATA_WERROR=OFF", "-DSTRATA_INSTALL=OFF", "-DSTRATA_BUILD_EXAMPLES=ON"]
    if os.path.isdir(DEPS):
        configure.append(f"-DCMAKE_PREFIX_PATH={os.path.abspath(DEPS)}")
        # Not every system's CMake looks into Debian's lib/x86_64-linux-gnu.
        configure += [f"-D{os.path.basename(path)[:-12]}_DIR={os.path.abspath(os.path.dirname(path))}"
                      for path in glob.glob(f"{DEPS}/**/*Config.cmake", recursive=True)]
    if run.step("build", "configure", [*configure, *options.cmake], 60) is None:
        return False
    # One target that does not build hides no other.
    return run.step("build", "build", ["cmake", "--build", BUILD, "-j", str(CPUS), "--target", *targets, "--", "-k", "0"],
                    300) is not None


def cache(name):
    with open(f"{BUILD}/CMakeCache.txt") as file:
        found = re.search(rf"^{name}:\w+=(.*)$", file.read(), re.M)
    return found[1] if found else ""


def defined(path, *names):
    """Numbers that a header defines."""
    try:
        with open(path, errors="replace") as file:
            text = file.read()
        return [int(re.search(rf"#define +{name} +(\d+)", text)[1]) for name in names]
    except (OSError, TypeError):
        return []


def cards():
    try:
        query = "name,driver_version,memory.total,compute_cap"
        done = subprocess.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], capture_output=True,
                              text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    keys = ("name", "driver", "memory", "compute_capability")
    rows = [dict(zip(keys, map(str.strip, line.split(",")))) for line in done.stdout.splitlines() if "," in line]
    return rows if done.returncode == 0 else []


def machine(found):
    cudnn = defined(cache("CUDNN_INCLUDE_DIR") + "/cudnn_version.h", "CUDNN_MAJOR", "CUDNN_MINOR", "CUDNN_PATCHLEVEL")
    toolkit = cache("CUDAToolkit_ROOT") or os.path.dirname(cache("CUDAToolkit_BIN_DIR")) or os.environ.get("CUDA_HOME", "/usr/local/cuda")
    cuda = defined(f"{toolkit}/include/cuda.h", "CUDA_VERSION") or defined("/usr/local/cuda/include/cuda.h", "CUDA_VERSION")
    return {"cards": found, "cuda": f"{cuda[0] // 1000}.{cuda[0] % 1000 // 10}" if cuda else "unknown",
            "cudnn": ".".join(map(str, cudnn)) or "unknown", "cpus": CPUS, "date": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())}


# ---- tests ----------------------------------------------------------------------------------------------------

def test_jobs(count):
    """(name, program, arguments): long test cases section by section, since those can run beside each other."""
    jobs = [(f"conformance, card {card} {section}", "conformance_test", [CONFORMS, "-c", f"card {card} {section}"])
            for card in range(count) for section in (*GROUPS, "NaN, packed weights, dropout")]
    jobs += [("conformance, the rest", "conformance_test", [f"~{CONFORMS}"])] if count else [("conformance_test", "conformance_test", [])]
    whole = "Models do on a card what they do on the CPU"
    jobs += [(f"models, {section}", "device_test", [whole, "-c", section])
             for section in MODEL_SECTIONS] if count else []
    jobs += [("device, the rest", "device_test", [f"~{whole}"])] if count else [("device_test", "device_test", [])]
    known = {"conformance_test", "device_test"}
    names = [os.path.basename(path)[:-4] for path in sorted(glob.glob("tests/gpu/*_test.cpp"))]
    return jobs + [(name, name, []) for name in names if name not in known]


def run_test(run, job, result):
    name, program, arguments = job
    path = f"{BUILD}/tests/gpu/{program}"
    if not os.path.exists(path):
        return run.add("tests", name, "failed", why="was not built")
    record = os.path.abspath(f"{LOGS}/{re.sub('[^a-z0-9]+', '_', name)}.cases")
    status, output, seconds = run.call([path, *arguments], 240, f"tests {name}", {"STRATA_TEST_REPORT": record})
    if status is None:
        return run.skip("tests", name, "no time was left")
    cases = []
    if os.path.exists(record):
        with open(record) as file:
            cases = [line.rstrip("\n").split("\t") for line in file]
    ended = ["end"] in cases
    cases = [case for case in cases if case != ["end"]]
    failed = [case[1] for case in cases if case[0] == "failed"]
    reasons = sorted({case[2] for case in cases if case[0] == "skipped"})
    result["conformance"] += [{"part": name, **row} for row in report.conformance_rows(output)]
    if status or failed or not ended:
        why = f"stopped after {seconds:.0f} s" if status == 124 else f"exit status {status}" + "".join(f"; {case}" for case in failed)
        run.add("tests", name, "failed", seconds, why=why, output=report.tail(output))
    elif reasons and len(reasons) and all(case[0] == "skipped" for case in cases):
        run.add("tests", name, "skipped", seconds, why="; ".join(reasons))
    else:
        run.add("tests", name, "passed", seconds, cases=len(cases), why="; ".join(f"a case skipped: {r}" for r in reasons))


def sanitizer_jobs():
    """(tool, section): kernels that share memory among threads under racecheck, the quick groups under memcheck."""
    jobs = [("memcheck", group) for group in ("pooling", "elementwise", "losses", "optimizers", "normalization")]
    return jobs + [("racecheck", group) for group in ("normalization", "losses", "optimizers")]


def run_sanitizer(run, sanitizer, job, limit):
    tool, group = job
    name = f"{tool} {group}"
    command = [sanitizer, "--tool", tool, "--error-exitcode", "9", f"{BUILD}/tests/gpu/conformance_test", CONFORMS,
               "-c", f"card 0 {group}"]
    status, output, seconds = run.call(command, limit, f"sanitizer {name}")
    if status is None:
        return run.skip("sanitizer", name, "no time was left")
    found = report.sanitizer_errors(output)
    if status not in (0, 124) or found:
        run.add("sanitizer", name, "failed", seconds, why=f"{found} errors, exit status {status}", output=report.tail(output))
    else:
        run.add("sanitizer", name, "passed", seconds,
                why=f"no error in {seconds:.0f} s, then stopped" if status == 124 else "no error")


def correctness(run, options, result):
    count = len(result["machine"]["cards"])
    sanitizer = shutil.which("compute-sanitizer") or shutil.which("/usr/local/cuda/bin/compute-sanitizer")
    with ThreadPoolExecutor(max(2, min(12, CPUS))) as pool:
        jobs = []
        if "tests" in options.steps:
            jobs += [pool.submit(run_test, run, job, result) for job in test_jobs(count)]
        if "sanitizer" in options.steps:
            if not count or not sanitizer:
                run.skip("sanitizer", "compute-sanitizer", "is not installed" if count else "no NVIDIA card")
            else:
                jobs += [pool.submit(run_sanitizer, run, sanitizer, job, options.sanitizer_seconds) for job in sanitizer_jobs()]
        for job in jobs:
            job.result()


# ---- workflows ------------------------------------------------------------------------------------------------

def workflows(run, options, result):
    """The examples on both devices; a third run without TF32."""
    if not result["machine"]["cards"]:
        return run.skip("workflows", "the examples on cpu and cuda", "no NVIDIA card")
    data = f"{DEPS}/data"
    pictures = ["--data", f"{data}/cats_vs_dogs", "--input-size", "150"]
    weights = f"{data}/tiny_darknet.safetensors"
    if not os.path.isdir(f"{data}/cats_vs_dogs"):
        pictures = []
    weights = ["--base", "tiny_darknet", "--weights", weights if os.path.isfile(weights) else "random"]
    shared = [flag for flag in pictures if flag not in ("--input-size", "150")]
    plans = {"mnist_convnet": ["--data", f"{data}/mnist", "--epochs", "2"],
             "feature_extraction": [*pictures, *weights, "--epochs", "5"],
             "augmented_training": [*pictures, *weights, "--epochs", "2"], "fine_tuning": [*shared, "--epochs", "2"]}
    for example, flags in plans.items():
        if example == "mnist_convnet" and not os.path.isdir(f"{data}/mnist"):
            run.skip("workflows", example, f"{data}/mnist is missing")
            continue
        runs = {}
        for variant, device in (("cpu", ["cpu"]), ("cuda", ["cuda"]), ("cuda without TF32", ["cuda", "--tf32=no"])):
            folder = f"{BUILD}/runs/{example}-{variant.replace(' ', '-')}"
            shutil.rmtree(folder, ignore_errors=True)
            start = []
            if example == "fine_tuning":  # all go on from the same weights
                start = ["--from", f"{BUILD}/runs/augmented_training-cpu/model.safetensors"]
            command = [f"{BUILD}/examples/{example}", *start, *flags, "--device", *device, "--run-dir", folder]
            if run.step("workflows", f"{example}, {variant}", command, 120) is None:
                continue
            with open(f"{folder}/history.csv") as history, open(f"{folder}/metrics.json") as metrics:
                runs[variant] = {"history": [{k: float(v) for k, v in row.items()} for row in csv.DictReader(history)],
                                 "metrics": json.load(metrics)}
        if {"cpu", "cuda"} <= set(runs):
            entry = report.compare_workflow(example, runs)
            result["workflows"].append(entry)
            good = entry["first_loss"] <= options.tolerance and entry["test_accuracy"] <= 0.05
            run.add("workflows", f"{example}, comparison", "passed" if good else "failed",
                    why=f"first epoch's loss differs by {entry['first_loss']:.1e} (without TF32 {entry['first_loss_fp32']:.1e}), "
                        f"test accuracy by {entry['test_accuracy']:.4f}")


# ---- speed ----------------------------------------------------------------------------------------------------

def benchmarks(run, options, result):
    if not result["machine"]["cards"] and "bench" in options.steps:
        return run.skip("bench", "bench/gpu/steps and its peer", "no NVIDIA card")
    ours = f"{LOGS}/bench.json"
    torch = subprocess.run([sys.executable, "-c", "import torch; assert torch.cuda.is_available()"], capture_output=True)
    for turn in range(options.rounds):
        if "bench" in options.steps:
            # Written to standard output line by line, so that one stopped early leaves what it measured.
            command = [f"{BUILD}/bench/gpu/steps", f"--benchmark_min_time={options.seconds}", "--benchmark_format=json"]
            if options.filter:
                command.append(f"--benchmark_filter={options.filter}")
            status, output, seconds = run.call(command, 240, f"bench {turn}")
            rows = report.benchmark_rows(output)
            report.merge(result["benchmarks"], rows, "strata")
            errors = [row for row in rows if "error" in row]
            why = f"{len(rows)} measured" + "".join(f"; {row['name']}: {row['error']}" for row in errors)
            good = status == 0 and rows and not errors
            run.add("bench", f"Strata, round {turn + 1}", "passed" if good else "skipped" if status is None else "failed",
                    seconds, why=why + f"; exit status {status}" * (not good), **({} if good else {"output": report.tail(output)}))
        if "peers" not in options.steps:
            continue
        if torch.returncode:
            run.skip("peers", "PyTorch", "torch with a card cannot be imported")
            continue
        command = [sys.executable, "-B", "bench/peers/torch_gpu.py", "--seconds", str(options.seconds), "--budget", "110"]
        if options.filter:
            command += ["--filter", options.filter]
        output = run.step("peers", f"PyTorch, round {turn + 1}", command, 150)
        if output:
            found = report.last_json(output)
            result["machine"]["torch"] = found.get("torch")
            report.merge(result["benchmarks"], found.get("benchmarks", []), "torch")


# ---- the whole ------------------------------------------------------------------------------------------------

def main():
    parser = argparse.ArgumentParser(prog="bash tests/gpu/run", description=__doc__,
                                     epilog="`bash tests/gpu/run --bring` fills build-deps/ for a machine without a network.")
    parser.add_argument("--out", default="runs/gpu", metavar="DIR", help="where report.json, report.md and logs.tar.gz go")
    parser.add_argument("--only", default=",".join(STEPS), metavar="STEPS", help=f"some of {','.join(STEPS)}")
    parser.add_argument("--minutes", type=float, default=9.5, help="what has not begun by then is skipped")
    parser.add_argument("--rounds", type=int, default=1, help="of Strata and PyTorch in turn; the best counts")
    parser.add_argument("--seconds", type=float, default=0.2, help="that one benchmark is measured for")
    parser.add_argument("--filter", default="", help="only the benchmarks whose name matches")
    parser.add_argument("--sanitizer-seconds", type=float, default=60)
    parser.add_argument("--tolerance", type=float, default=0.05,
                        help="how far the first epoch's loss on both devices may be apart, relatively")
    parser.add_argument("--cmake", action="append", default=[], metavar="-DNAME=VALUE", help="for CMake too")
    options = parser.parse_args()
    options.steps = set(options.only.split(","))
    if options.steps - set(STEPS):
        parser.error(f"expected of --only some of {','.join(STEPS)}, found {options.only}")

    os.makedirs(LOGS, exist_ok=True)
    os.makedirs(options.out, exist_ok=True)
    run = Runner(options.minutes)
    start = time.monotonic()
    result = {"machine": {"cards": []}, "conformance": [], "workflows": [], "benchmarks": []}
    found = cards()
    try:
        build(run, options)
        result["machine"] = machine(found) if os.path.exists(f"{BUILD}/CMakeCache.txt") else {"cards": found}
        for name, part in (("tests", correctness), ("workflows", workflows), ("bench", benchmarks)):
            if {name, *(("sanitizer",) if name == "tests" else ("peers",) if name == "bench" else ())} & options.steps:
                try:
                    part(run, options, result)
                except Exception as error:  # one part that breaks hides no other
                    run.add(name, "this script", "failed", why=f"{type(error).__name__}: {error}")
    finally:
        result.update(steps=run.steps, seconds=round(time.monotonic() - start, 1))
        with open(f"{options.out}/report.json", "w") as file:
            json.dump(result, file, indent=1)
        with open(f"{options.out}/report.md", "w") as file:
            file.write(report.markdown(result))
        with tarfile.open(f"{options.out}/logs.tar.gz", "w:gz") as archive:
            archive.add(LOGS, "log")
    print(report.closing(result))
    print(f"{options.out}/report.md and report.json, {result['seconds']:.0f} s")
    sys.exit(any(step["status"] == "failed" for step in run.steps))


if __name__ == "__main__":
    main()
