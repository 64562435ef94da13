"""A kernel of the CPU before and after a change, checked against double precision, then timed; started by bench/tune."""

import argparse
import collections
import difflib
import json
import math
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
CHECK = "tests/cpu/conformance_test"
CHECK_NAME = "The cases that STRATA_CASES*"
KEPT = 3  # commits whose programs stay in build/tune
EPILOG = """The working tree's program and that of the commit run in turn. A row's speed-up is the median over the
rounds of the commit's time over the working tree's; beside it are the least and the most, from 9 rounds on without one
of each. ~ marks rows whose rounds do not tell it from 1, which fewer than 5 never do. Exit status: 0, 1 where the
kernel is wrong or something could not be built or run, 2 for usage. STRATA_BENCH_THREADS sets the threads (default:
every CPU)."""

# program: of bench/; rows: a regular expression for its benchmarks; cases: one for `primitive description` of the
# conformance cases (tests/support/conformance); tests: further test cases of tests/cpu/conformance_test.
Kernel = collections.namedtuple("Kernel", "what program rows cases tests", defaults=[()])
PLAIN = r"(?!.* groups)"  # cases of one group
KERNELS = {
    "winograd": Kernel("3x3 convolutions: winograd.ipp, winograd_kernels.hpp, winograd_transform.hpp", "ops/convolution",
                       r"/vgg16/block(2_conv1|3_conv2|4_conv2|5_conv1)/batch 20",
                       rf"^conv2d{PLAIN}.* by 3x3, strides 1,1, dilation 1,1",
                       ("Convolutions keep to the accuracy*", "Images that share tiles*")),
    "direct": Kernel("other convolutions: implicit_product.*, micro_kernel.hpp, packing_kernels.hpp", "ops/convolution",
                     r"/direct/.*batch 20", rf"^conv2d{PLAIN}"),
    "few_channels": Kernel("convolutions of few channels: few_channels.ipp, few_channel_kernels.hpp", "ops/convolution",
                           r"/(few/.*|vgg16/block1_conv1/|convnet/conv1/)batch 20",
                           rf"^conv2d\S* \[\d+,\d+,\d+,[1-8]\]{PLAIN}"),
    "depthwise": Kernel("depthwise convolutions: grouped_convolution.ipp, depthwise_kernels.hpp", "ops/convolution",
                        r"/depthwise/", r"^conv2d\S* \[\d+,\d+,\d+,(\d+)\] to .* \1 groups"),
    "grouped": Kernel("convolutions in groups of several channels: grouped_convolution.ipp", "ops/convolution",
                      r"/grouped/", r"^conv2d\S* \[\d+,\d+,\d+,(\d+)\] to (?!.* \1 groups).* groups"),
    "product": Kernel("dense layers of many rows: micro_kernel.hpp, packing_kernels.hpp, implicit_product.*", "ops/dense",
                      r"/(81x512x512|128x512x512|1600x4608x512)", r"^dense"),
    "few_rows": Kernel("dense layers of few rows: few_rows.ipp, micro_kernel.hpp", "ops/dense",
                       r"^dense/(1x8192|1x4096|20x)", r"^dense "),
    "pooling": Kernel("pooling: pooling.ipp, pooling_kernels.hpp", "ops/memory_bound", r"_pool", r"^pool2d"),
    "elementwise": Kernel("activations, dropout: elementwise.ipp, elementwise_kernels.hpp", "ops/memory_bound",
                          r"^(activation|relu_backward|dropout)", r"^(activation|affine|axpy|dropout)"),
    "reductions": Kernel("sums over rows, batch normalization: normalization.ipp, reduction_kernels.hpp", "ops/memory_bound",
                         r"^(bias_gradient|batch_norm)", r"^(bias_gradient|batch_norm|add_sum|l1_l2)"),
    "optimizers": Kernel("optimizer steps: optimizer_kernels.hpp", "ops/memory_bound",
                         r"^optimizer/", r"^optimizer_step"),
}


def say(text):
    print(text, file=sys.stderr, flush=True)


def fail(text):
    sys.exit(f"error: {text}")


def tail(text, lines=20):
    return "\n".join(text.splitlines()[-lines:])


def target_of(program):
    """"ops/dense" -> "bench_ops_dense"; "tests/cpu/conformance_test" -> "test_cpu_conformance_test"."""
    return ("test_" + program[6:] if program.startswith("tests/") else "bench_" + program).replace("/", "_")


# ---- building -------------------------------------------------------------------------------------------------

def make(root, targets, options=()):
    """Configures and builds targets of the checkout `root` in its folder build."""
    script = 'root=$1 n=$3; . "$2/cmake/bootstrap.sh"; shift 3; configure release "${@:1:n}"; build "${@:n+1}"'
    command = ["bash", "-ec", script, "-", str(root), str(ROOT), str(len(options)), *options, *targets]
    if subprocess.run(command, stdout=sys.stderr, stdin=subprocess.DEVNULL).returncode:
        sys.exit(1)


def git(*arguments):
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    if done.returncode:
        fail(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def changed_files(commit):
    """What of the library and its compilation the working tree has otherwise than the commit."""
    parts = ["--", "include", "cmake/compiled", "cmake/library.cmake"]
    names = git("diff", "--name-only", "--no-renames", commit, *parts)
    return (names + "\n" + git("ls-files", "--others", "--exclude-standard", *parts)).split()


def compiler_options():
    """What the working tree's build is configured with, so that the other one is as well."""
    with open(ROOT / "build/CMakeCache.txt") as cache:
        found = re.findall(r"^(CMAKE_CXX_(?:COMPILER|FLAGS|FLAGS_RELEASE)):\w+=(.*)$", cache.read(), re.M)
    return [f"-D{name}={value}" for name, value in found]


def earlier_program(commit, program):
    """Path of the commit's program, from a copy of its files in build/tune, which stays."""
    folder = ROOT / "build/tune" / commit[:12]
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        archive = folder / "files.tar"
        git("archive", "--output", str(archive), commit)
        subprocess.run(["tar", "-xf", str(archive), "-C", str(folder)], check=True)
        archive.unlink()
    (folder / "complete").touch()
    used = lambda other: (other / "complete").stat().st_mtime if (other / "complete").exists() else 0
    for old in sorted(folder.parent.iterdir(), key=used, reverse=True)[KEPT:]:
        shutil.rmtree(old)
    if not (folder / "bench" / f"{program}.cpp").exists():
        fail(f"{commit[:12]} has no bench/{program}.cpp to compare with")
    make(folder, [target_of(program)], ["-DSTRATA_BUILD_TESTS=OFF", "-DSTRATA_BUILD_EXAMPLES=OFF", *compiler_options()])
    return folder / "build/bench" / program


# ---- right or wrong -------------------------------------------------------------------------------------------

MEANING = {"worst <= options.tolerance": "relative error against double precision",
           "(aligned.margins_intact && shifted.margins_intact)": "wrote beside its outputs",
           "same_bits(run<T>(c, device), aligned)": "other bits when run again",
           "same_bits(run<T>(c, variant), aligned)": "other bits with another number of threads"}


def failures_of(output):
    """Failed assertions of Catch's compact reporter, a line each that names the case first."""
    found = []
    for expression, rest in re.findall(r"^\S+:\d+: failed: (.*?)(?: for: (.*))?$", output, re.M):
        messages = re.findall(r"'((?:[^']|'(?! and |$))*)'(?= and |$)", rest)
        values = re.sub(r" with \d+ messages?:.*", "", rest)
        meaning = MEANING.get(expression)
        number = re.match(r"(\S+) <= ", values)
        detail = f"{meaning} {number[1]}" if meaning and number else meaning or f"{expression}: {values}"
        found.append(": ".join([*messages, detail]))
    return found


def check(program, kernel):
    """Runs the conformance cases; what they say in a line. Ends the program where one fails."""
    names = ",".join([CHECK_NAME, *kernel.tests])
    done = subprocess.run([str(program), names, "-r", "compact"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", stdin=subprocess.DEVNULL, env={**os.environ, "STRATA_CASES": kernel.cases})
    if done.returncode:
        failures = failures_of(done.stdout)
        for line in failures[:5]:
            print(line)
        if done.returncode < 0 or not failures:
            print(tail(done.stdout))
            print(f"{program.name} ended with {describe_status(done.returncode)}")
        if len(failures) > 5:
            print(f"... and {len(failures) - 5:,} more")
        sys.exit("error: the kernel is wrong; it was not timed")
    figures = re.findall(r"^(\S+) +(\d+) cases, relative error at most (\S+) \((.*)\)$", done.stdout, re.M)
    if not figures:
        fail(f"expected `primitive N cases, relative error at most E` from {program.name}, found\n{tail(done.stdout)}")
    primitive, _, error, worst = max(figures, key=lambda figure: float(figure[2]))
    cases = sum(int(count) for _, count, _, _ in figures)
    return f"right: {cases:,} cases, relative error at most {error} ({primitive} {worst})"


def describe_status(status):
    return signal.Signals(-status).name if status < 0 else f"status {status}"


# ---- fast or slow ---------------------------------------------------------------------------------------------

UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
Row = collections.namedtuple("Row", "seconds share error")  # share: ("peak" or "bandwidth", part) or None; error or None


def read_rows(text):
    """{name: Row} from Google Benchmark's JSON."""
    rows = {}
    for entry in json.loads(text)["benchmarks"]:
        name = entry["name"].removesuffix("/real_time")
        if entry.get("error_occurred"):
            raise ValueError(f"{name}: {entry['error_message']}")
        shares = [(kind, entry[f"of_{kind}"]) for kind in ("peak", "bandwidth") if f"of_{kind}" in entry]
        share = max(shares, key=lambda share: share[1], default=None)
        rows[name] = Row(entry["real_time"] * UNITS[entry["time_unit"]], share, entry.get("error"))
    return rows


def run_round(command, rows, seconds):
    """{name: Row} of one run; {} where nothing matches."""
    with tempfile.NamedTemporaryFile("r", suffix=".json") as file:
        done = subprocess.run([*command, f"--benchmark_filter={rows}", f"--benchmark_min_time={seconds}",
                               f"--benchmark_out={file.name}", "--benchmark_out_format=json"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        if done.returncode:
            fail(f"{command[0]} ended with {describe_status(done.returncode)}:\n{tail(done.stdout)}")
        text = file.read()
    if not text.strip() and "match" in done.stdout:  # nothing matched
        return {}
    try:
        return read_rows(text)
    except (ValueError, KeyError) as error:
        fail(f"expected Google Benchmark's JSON from {command[0]}, found {error!r}:\n{tail(done.stdout)}")


def race(commands, rows, rounds, seconds):
    """The rounds of each command, [{name: Row}], which take turns and change who is first."""
    found = [[] for _ in commands]
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for side in sorted(range(len(commands)), reverse=number % 2):
            found[side].append(run_round(commands[side], rows, seconds))
    return found


def time_of(seconds):
    for unit in ("s", "ms", "us"):
        if seconds >= UNITS[unit]:
            break
    return f"{seconds / UNITS[unit]:#.3g}".rstrip(".") + f" {unit}"


def spread_of(ratios):
    """(least, median, most); of 9 and more without one of each, as a round may go wrong on a busy machine. By chance alone
    4 of 100 rows lie on one side of 1 then, 6 with 5 rounds."""
    inner = sorted(ratios)[1:-1] if len(ratios) >= 9 else sorted(ratios)
    return inner[0], statistics.median(ratios), inner[-1]


def table(before, after):
    """Lines of text from the rounds of both; rows that one of them lacks are named as such."""
    names = list(dict.fromkeys(name for rounds in (after, before) for rows in rounds for name in rows))
    lines, ratios = [("row", "before", "after", "speed-up", "least to most", "share", "error")], []
    for name in names:
        sides = [[rows[name] for rows in rounds if name in rows] for rounds in (before, after)]
        times = [time_of(statistics.median(row.seconds for row in side)) if side else "missing" for side in sides]
        last = sides[1] or sides[0]
        ratio = spread = ""
        if all(sides):
            least, median, most = spread_of([b[name].seconds / a[name].seconds for b, a in zip(before, after)])
            ratios.append(median)
            ratio = f"{'~' if least <= 1 <= most or len(before) < 5 else ''}{median:.2f}"
            spread = f"{least:.2f} to {most:.2f}"
        shares = [row.share for row in last if row.share]
        share = f"{statistics.median(part for _, part in shares):.0%} of {shares[0][0]}" if shares else ""
        errors = [f"{statistics.median(row.error for row in side):.1e}" if side and side[0].error is not None else ""
                  for side in sides]
        error = errors[1] or errors[0]
        if all(errors) and errors[0] != errors[1]:
            error += f" (was {errors[0]})"
        lines.append((name, *times, ratio, spread, share, error))
    widths = [max(map(len, column)) for column in zip(*lines)]
    out = []
    for first, *middle, error in lines:
        cells = [cell.rjust(width) for cell, width in zip(middle, widths[1:])]
        out.append("  ".join([first.ljust(widths[0]), *cells, error]).rstrip())
    if len(ratios) > 1:
        out.append(f"geometric mean of {len(ratios)} speed-ups: {math.exp(statistics.mean(map(math.log, ratios))):.2f}")
    return out


# ---- the command ----------------------------------------------------------------------------------------------

def unknown(name):
    """The message for a name that the table lacks: all there are, the nearest first."""
    near = difflib.get_close_matches(name, KERNELS, len(KERNELS), 0)
    names = near + [other for other in KERNELS if other not in near]
    return f"there is no kernel '{name}'; there are {', '.join(names)}"


def whole(text):
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, found '{text}'")
    return int(text)


def parse(arguments):
    what = """Builds the working tree and a commit, checks the working tree's kernel against double precision with every
    instruction set of this machine, and prints its benchmark rows before and after."""
    parser = argparse.ArgumentParser(prog="bash bench/tune", description=what, epilog=EPILOG)
    parser.add_argument("kernel", metavar="KERNEL", nargs="?", help="a name of --list")
    parser.add_argument("--list", action="store_true", help="names the kernels and the files they lie in")
    parser.add_argument("--against", metavar="COMMIT", default="HEAD", help="what is compared with (default: HEAD)")
    parser.add_argument("--rows", metavar="REGEX", help="other benchmarks of the kernel's program than its own")
    parser.add_argument("--rounds", type=whole, default=9, help="runs of each program (default: 9)")
    parser.add_argument("--seconds", type=float, default=0.05, help="least time per row and round (default: 0.05)")
    options = parser.parse_args(arguments)
    if not options.list and options.kernel is None:
        parser.error("which kernel? `bash bench/tune --list` names them")
    if not options.list and options.kernel not in KERNELS:
        parser.error(unknown(options.kernel))
    return options


def main(arguments):
    options = parse(arguments)
    if options.list:
        for name, kernel in KERNELS.items():
            print(f"{name:<14}{kernel.what}")
        return
    kernel = KERNELS[options.kernel]
    commit = git("rev-parse", "--verify", "--end-of-options", f"{options.against}^{{commit}}")
    changed = changed_files(commit)
    say("building the working tree")
    make(ROOT, [target_of(CHECK), target_of(kernel.program)])
    say("checking it against double precision")
    print(check(ROOT / "build" / CHECK, kernel), flush=True)
    say(f"building {commit[:12]}")
    programs = [earlier_program(commit, kernel.program), ROOT / "build/bench" / kernel.program]
    rows = options.rows or kernel.rows
    before, after = race([[str(program)] for program in programs], rows, options.rounds, options.seconds)
    if not any(before + after):
        fail(f"no benchmark of bench/{kernel.program} matches {rows}")
    print(f"before: {git('log', '-1', '--format=%h %s', commit)[:100]}")
    if changed:
        more = f" and {len(changed) - 4} more files" if len(changed) > 4 else ""
        print(f"after: {', '.join(changed[:4])}{more} changed")
    else:
        print("after: the same headers; speed-ups other than 1 are this machine's noise")
    print("\n" + "\n".join(table(before, after)))


if __name__ == "__main__":
    main(sys.argv[1:])
