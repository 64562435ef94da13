"""Fills build-deps/ with what a machine without a network lacks to run tests/gpu/run: `bash tests/gpu/run --bring`."""

import argparse
import glob
import os
import shutil
import subprocess
import sys

PACKAGES = {"libstb-dev": "include/stb/", "catch2": "", "libeigen3-dev": "", "libbenchmark-dev": "",
            "libbenchmark1debian": ""}  # and the part of it that is needed
LIMIT_MIB = 64  # of the working tree with build-deps/, as some machines take no more


def copy_package(package, part, to):
    listed = subprocess.run(["dpkg", "-L", package], capture_output=True, text=True)
    if listed.returncode:
        sys.exit(f"error: {package} is missing: sudo apt-get install {' '.join(PACKAGES)}")
    for path in listed.stdout.split("\n"):
        name = path.removeprefix("/usr/")
        kept = name.startswith(("include/", "lib/", "share/eigen3/")) and name.startswith(part)
        if kept and os.path.isfile(path) and "/unsupported/" not in name:
            os.makedirs(os.path.dirname(f"{to}/{name}"), exist_ok=True)
            shutil.copy2(path, f"{to}/{name}")  # links become files


def copy_pictures(source, to, limit):
    """The first `limit` training pictures of each class, half as many to validate and to test."""
    for subset, count in (("train", limit), ("validation", limit // 2), ("test", limit // 2)):
        for folder in sorted(glob.glob(f"{source}/{subset}/*/")):
            target = f"{to}/{subset}/{os.path.basename(folder.rstrip('/'))}"
            os.makedirs(target)
            for name in sorted(os.listdir(folder))[:count]:
                shutil.copy2(folder + name, target)


def copy_data(source, to, limit):
    os.makedirs(to)
    if os.path.isdir(f"{source}/mnist"):
        shutil.copytree(f"{source}/mnist", f"{to}/mnist")
    if os.path.isdir(f"{source}/cats_vs_dogs"):
        copy_pictures(f"{source}/cats_vs_dogs", f"{to}/cats_vs_dogs", limit)
    weights = os.path.expanduser(os.environ.get("STRATA_HOME") or "~/.cache/strata") + "/tiny_darknet.safetensors"
    if os.path.isfile(weights):
        shutil.copy2(weights, to)
    elif os.path.isfile(f"{source}/tiny_darknet/tiny.weights"):
        subprocess.run(["bash", "weights/convert", f"{source}/tiny_darknet/tiny.weights", f"{to}/tiny_darknet.safetensors"],
                       check=True, stdout=subprocess.DEVNULL)


def megabytes(paths):
    return sum(os.path.getsize(path) for path in paths if os.path.isfile(path)) / 2**20


def main():
    parser = argparse.ArgumentParser(prog="bash tests/gpu/run --bring", description=__doc__)
    parser.add_argument("--to", default="build-deps", metavar="DIR")
    parser.add_argument("--limit", type=int, default=500, metavar="N",
                        help="training pictures per class; half as many to validate and to test (default 500)")
    options = parser.parse_args()
    shutil.rmtree(options.to, ignore_errors=True)
    for package, part in PACKAGES.items():
        copy_package(package, part, options.to)
    data = os.environ.get("STRATA_DATA")
    if data:
        copy_data(data, f"{options.to}/data", options.limit)
    else:
        print("without data: STRATA_DATA names no folder with mnist/, cats_vs_dogs/ and tiny_darknet/")
    brought = megabytes(glob.glob(f"{options.to}/**", recursive=True))
    tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True).stdout
    tree = megabytes(tracked.split("\n"))
    print(f"{options.to}: {brought:.1f} MiB, with the working tree {brought + tree:.1f} MiB")
    if brought + tree > LIMIT_MIB:
        sys.exit(f"error: expected at most {LIMIT_MIB} MiB; a smaller --limit takes fewer pictures")


if __name__ == "__main__":
    main()
