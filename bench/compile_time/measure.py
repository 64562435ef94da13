"""Times the compiler on a file with one Eigen product and on a two-layer training program in all the ways it can be built, in turn."""

import argparse
import glob
import os
import statistics
import subprocess
import sys
import tempfile

HERE = "bench/compile_time"
YARDSTICK = "Eigen float product"


def compile_once(command):
    """(seconds of CPU time, peak megabytes of the largest process) of one run of the compiler."""
    child = subprocess.Popen(command)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"error: {' '.join(command)} failed")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def split(header):
    """Arguments for a file that only includes the header."""
    return ["-DSTRATA_SPLIT", "-include", header, "-xc++", "/dev/null"]


def main():
    parser = argparse.ArgumentParser(prog="bash bench/compile_time/run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="compilations of each file (default 5)")
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--flags", default="-O2", help="compiler flags (default -O2)")
    options = parser.parse_args()

    eigen = subprocess.check_output(["pkgconf", "--cflags", "eigen3"], text=True).split()
    contenders = {YARDSTICK: [f"{HERE}/eigen_product.cpp"],
                  "Strata, compiled": [f"{HERE}/two_layers.cpp", "-DSTRATA_COMPILED"],
                  "Strata, split": [f"{HERE}/two_layers.cpp", "-DSTRATA_SPLIT"],
                  "Strata, header-only": [f"{HERE}/two_layers.cpp"],
                  "implementation.hpp": split("strata/implementation.hpp")}
    for part in sorted(glob.glob("strata/implementation/*.hpp", root_dir="include")):
        contenders[f"  {os.path.basename(part)}"] = split(part)
    runs = {name: [] for name in contenders}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            for name, arguments in contenders.items():
                runs[name].append(compile_once(
                    [options.compiler, "-std=c++20", *options.flags.split(), "-Iinclude", *eigen, *arguments, "-c",
                     "-o", f"{folder}/out.o"]))

    yardstick = statistics.median(seconds for seconds, _ in runs[YARDSTICK])
    print(f"{options.compiler} {options.flags}, {options.rounds} rounds, interleaved; median seconds of CPU time\n"
          f"{'':22}{'seconds':>9}{'range':>16}{'ratio':>8}{'peak MB':>9}")
    for name, results in runs.items():
        times = [seconds for seconds, _ in results]
        median = statistics.median(times)
        span = f"{min(times):.2f}..{max(times):.2f}"
        print(f"{name:22}{median:9.2f}{span:>16}{median / yardstick:8.2f}{max(peak for _, peak in results):9.0f}")


if __name__ == "__main__":
    main()
