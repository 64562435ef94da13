"""Builds and runs the tests; started by tests/run, which brings in what this needs."""

import argparse
import difflib
import glob
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

JOBS = len(os.sched_getaffinity(0))
EIGEN = "/usr/include/eigen3"
THREADED = re.compile(r"parallel|pool|loader|prefetch|dataset|generator|threads|profile|phase")
# What these do with memory, the programs on the parts they are made of do under AddressSanitizer as well.
WHOLE = re.compile(r"^(applications|eigen|examples|conformance|gpu)/|gradient_check")
NO_CUDA = "the CUDA toolkit 12.8 with cuDNN 9.8 was not found (--cuda brings them)"
EPILOG = """FILTER runs only what contains this text: a test program (core/, parallel_test), a step (format, structure,
headers, docs, examples, bench, packaging, weights, tensorboard, runner, fuzz, asan, tsan) or, where neither fits, the name or
[tag] of a test case. Tests on real data look for its folder in the variable STRATA_DATA and are skipped without it. The
last line is `N passed, N failed, N skipped`; before it comes one line `skip: reason` per skip."""


class Totals:
    def __init__(self):
        self.passed, self.failed, self.skips = 0, 0, []

    def check(self, name, result):
        """Counts one test: None is a pass, text the output of a failure."""
        if result is None:
            self.passed += 1
        else:
            self.failed += 1
            say(f"{result.rstrip()}\nFAILED: {name}".lstrip())


totals = Totals()


def say(text):
    print(text, flush=True)


def line(name, text, start):
    say(f"{name:<44} {text:<28} {time.monotonic() - start:6.1f} s")


def run(command, timeout=900, **options):
    """(exit status, output) of a command; one that hangs counts as failed."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                              timeout=timeout, errors="replace", text=True, **options)
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
        return 124, (output if isinstance(output, str) else output.decode(errors="replace")) + "\n(timed out)"


def tail(text, lines=60):
    return "\n".join(text.splitlines()[-lines:])


def command_error(command, **options):
    """None where the command succeeds, else the end of its output."""
    status, output = run(command, **options)
    return None if status == 0 else tail(output) + f"\n(status {status}: {' '.join(map(str, command))})"


# ---- building -------------------------------------------------------------------------------------------------

cuda_options = []  # where the toolkit is that --cuda brought


def configure(folder, preset, *options):
    status, output = run(["cmake", "--preset", preset, *cuda_options, *options])
    if status:
        sys.exit(f"{tail(output)}\nerror: cmake --preset {preset} failed")
    with open(f"{folder}/tests/tests.txt") as names:
        return names.read().split()


def bring_cuda():
    """NVIDIA's toolkit and cuDNN from PyPI, in an environment that stays, for all folders configured from now on."""
    script = "set -e; . weights/environment.sh; prepare_python tests/cuda/requirements.txt cuda-venv; $python -c \"$1\""
    status, output = run(["bash", "-c", script, "-", "import nvidia; print(*nvidia.__path__)"], timeout=3600)
    if status:
        sys.exit(f"{tail(output)}\nerror: the CUDA toolkit could not be brought")
    toolkit = output.splitlines()[-1] + "/cu13"
    say(f"the CUDA toolkit is taken from {toolkit}")
    # What was found before may be too old.
    cuda_options.extend(["-UCUDAToolkit_*", "-UCUDA_*", "-UCUDNN_*", f"-DCUDAToolkit_ROOT={toolkit}"])


def build(label, folder, targets):
    """Builds the targets and returns those that failed, each counted as a failed test."""
    if not targets:
        return set()
    start = time.monotonic()
    command = ["cmake", "--build", folder, "-j", str(JOBS), "--target", *targets, "--", "-k", "0"]
    failed = set()
    if sys.stdout.isatty():
        status = subprocess.run(command).returncode
    else:
        status, output = run(command, timeout=3600)
        if status:
            say(tail(output, 200))
    if status:
        # What would still have work to do is what failed.
        for target in targets:
            if "no work to do" not in run(["ninja", "-C", folder, "-n", target])[1]:
                failed.add(target)
                totals.check(f"{label}: {target}", "")
    line(label, f"{len(targets) - len(failed)} of {len(targets)} programs", start)
    return failed


def target_of(program):
    return "test_" + program.replace("/", "_")


# ---- test programs --------------------------------------------------------------------------------------------

def run_program(binary, arguments=(), environment=None):
    """Runs one Catch program: its status, its output, the report that tests/support/main.cpp writes, its seconds."""
    start = time.monotonic()
    with tempfile.NamedTemporaryFile("r", errors="replace") as report:
        status, output = run([binary, *arguments],
                             env={**os.environ, **(environment or {}), "STRATA_TEST_REPORT": report.name})
        return status, output, report.read().splitlines(), time.monotonic() - start


def count_cases(label, status, output, lines, seconds):
    """Counts the cases of a program that run."""
    states = [entry.split("\t", 2) for entry in lines if entry != "end"]
    passed = sum(state == "passed" for state, _, _ in states)
    failures = [name for state, name, _ in states if state == "failed"]
    skips = [f"{label}: {name}: {reason}" for state, name, reason in states if state == "skipped"]
    if lines[-1:] != ["end"] or (status and not failures):
        failures.append(f"ended with status {status} after {len(states)} cases")
    totals.passed += passed
    totals.failed += len(failures)
    totals.skips += skips
    if failures:
        say(tail(output, 80))
        for name in failures:
            say(f"FAILED: {label}: {name}")
    if states or failures:
        parts = [f"{passed} passed", f"{len(failures)} failed" * bool(failures), f"{len(skips)} skipped" * bool(skips)]
        line(label, ", ".join(filter(None, parts)), time.monotonic() - seconds)


def run_programs(folder, programs, label="", arguments=(), environment=None):
    failed = build(f"{label}build", folder, [target_of(program) for program in programs])
    built = [program for program in programs if target_of(program) not in failed]
    # As many at a time as there are cores: most of them use one.
    with ThreadPoolExecutor(JOBS) as pool:
        runs = pool.map(lambda program: run_program(f"{folder}/tests/{program}", arguments, environment), built)
        for program, result in zip(built, runs):
            count_cases(label + program, *result)


# ---- steps ----------------------------------------------------------------------------------------------------

def has(command):
    return run(["sh", "-c", f"command -v {command}"])[0] == 0


def compile_all(label, sources, compilers, mode=("-fsyntax-only",)):
    """Compiles each (name, path) with each compiler, {name: command}; every compilation is a test."""
    start = time.monotonic()
    jobs = [(f"{name} ({compiler})", path, command) for name, path in sources for compiler, command in compilers.items()]

    def one(job):
        name, path, command = job
        return name, command_error([*command, "-std=c++20", *mode, "-Iinclude", "-Iexamples", path])

    before = totals.failed
    with ThreadPoolExecutor(JOBS) as pool:
        for name, error in pool.map(one, jobs):
            totals.check(f"{label}: {name}", error)
    failed = totals.failed - before
    line(label, f"{len(jobs) - failed} passed" + f", {failed} failed" * bool(failed), start)


def write_changed(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if not os.path.exists(path) or open(path).read() != text:
        with open(path, "w") as file:
            file.write(text)


def step_format():
    """Every source stands as clang-format 14 would write it; later versions differ in small things."""
    start = time.monotonic()
    if "version 14." not in run(["clang-format", "--version"])[1]:
        totals.skips.append("format: clang-format 14 is not installed")
        return
    sources = [path for folder in ("include", "kernels", "examples", "tests", "bench", "cmake")
               for kind in ("hpp", "ipp", "cpp", "cu", "cuh") for path in glob.glob(f"{folder}/**/*.{kind}", recursive=True)]
    totals.check("format", command_error(["clang-format", "--dry-run", "-Werror", *sources]))
    line("format", f"{len(sources)} sources", start)


def step_structure():
    """Includes point down only, as docs/architecture.md draws it, and no template is instantiated twice."""
    start = time.monotonic()
    below = {"core": "", "tensor": "core", "ops": "core tensor", "cpu": "core tensor io", "eigen": "core tensor",
             "cuda": "core tensor io", "io": "core tensor", "data": "core tensor io", "layers": "core tensor io ops",
             "model": "core tensor io ops layers", "training": "core tensor io ops layers data model",
             "applications": "core tensor io ops layers data model training"}
    instances = {}
    for path in sorted(glob.glob("include/strata/*/*.?pp")):
        folder = path.split("/")[2]
        if folder == "implementation":
            continue
        with open(path) as file:
            text = file.read()
        wrong = set(re.findall(r"#include <strata/(\w+)/", text)) - {folder, *below.get(folder, "").split()}
        totals.check(f"structure: {path}", None if not wrong else f"{path} includes {', '.join(sorted(wrong))}")
        for instance in re.findall(r"^template class ([^;]+);", text, re.M):
            instances.setdefault(instance, []).append(path)
    for instance, paths in instances.items():
        if len(paths) > 1:
            totals.check(f"structure: {instance}", f"{instance} is instantiated in {' and '.join(paths)}")
    def includes(*headers):
        # Behind this definition a file only declares.
        return sorted(include for header in headers for include in
                      re.findall(r"(?<!#define STRATA_INSTANCE extern template class\n)#include <(strata/.*)>",
                                 open(f"include/{header}").read()))

    parts = sorted(glob.glob("strata/implementation/*.hpp", root_dir="include"))
    definitions = [path for path in sorted(glob.glob("strata/*/*.ipp", root_dir="include"))
                   if not path.startswith(("strata/eigen/", "strata/cuda/"))]
    for name, listed, there in (("the parts in implementation.hpp", includes("strata/implementation.hpp"), parts),
                                ("definitions in strata/implementation/", includes(*parts), definitions)):
        differ = sorted(set(listed) ^ set(there)) or sorted({path for path in listed if listed.count(path) > 1})
        totals.check(f"structure: {name}", f"missing, unknown or twice: {', '.join(differ)}" if differ else None)
    part_of = {definition: part for part in parts for definition in includes(part)}
    torn = [f"{path} includes {other}" for path in definitions for other in includes(path)
            if other in part_of and part_of[other] != part_of.get(path)]
    totals.check("structure: parts", f"of two parts, which both define it then: {', '.join(torn)}" if torn else None)
    embedded = "include/strata/cuda/kernel_sources.hpp"
    totals.check("structure: kernels", command_error(["cmake", "-DOUTPUT=build/kernel_sources.hpp", "-P", "cmake/embed_kernels.cmake"])
                 or command_error(["cmp", embedded, "build/kernel_sources.hpp"]) and
                 f"{embedded} is stale: cmake -P cmake/embed_kernels.cmake")
    large = [path for folder in ("docs", "examples", "tests", "weights")
             for path in glob.glob(f"{folder}/**/*", recursive=True)
             if os.path.isfile(path) and os.path.getsize(path) > 1_000_000]
    totals.check("structure: no file over 1 MB", f"too large: {', '.join(large)}" if large else None)
    line("structure", f"{len(instances)} instances", start)


def step_headers():
    """Every header compiles alone, its definitions with it; all of them header-only with every compiler at hand."""
    strict = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror"]
    compiled = {"g++": ["g++", *strict, "-DSTRATA_COMPILED"]}
    whole = {"g++": ["g++", *strict, "-Wsign-conversion"], "clang++": ["clang++", *strict],
             "clang++, AVX2": ["clang++", *strict, "-mavx2", "-mfma"],
             "clang++, AVX-512": ["clang++", *strict, "-march=skylake-avx512"]}
    whole = {name: command for name, command in whole.items() if has(command[0])}
    sources, eigen_sources, cuda_sources = [], [], []
    implementation = "strata/implementation.hpp"
    for header in sorted(glob.glob("**/*.hpp", root_dir="include", recursive=True)):
        path, definitions = f"build/headers/{header}.cpp", header.replace(".hpp", ".ipp")
        if header == implementation:
            continue
        with_eigen = header.startswith("strata/eigen")
        # Twice, so that a missing include guard shows. Definitions meet only declarations: what they use, they include.
        # Eigen's device takes a minute: as a whole, it is compiled below.
        write_changed(path, f"#include <{header}>\n#include <{header}>\n" +
                      f"#include <{definitions}>\n" * (not with_eigen and os.path.exists(f"include/{definitions}")))
        kind = eigen_sources if with_eigen else cuda_sources if header.startswith("strata/cuda") else sources
        kind.append((header, path))
    compile_all("headers", sources, compiled)
    write_changed("build/headers/whole.cpp", "#include <strata/strata.hpp>\n")
    compile_all("headers as a whole", [("strata/strata.hpp", "build/headers/whole.cpp")], whole)
    write_changed("build/headers/split.cpp", f"#include <{implementation}>\n")
    compile_all("headers split", [(implementation, "build/headers/split.cpp")],
                {name: [*command, "-DSTRATA_SPLIT"] for name, command in whole.items() if "AVX" not in name})
    for compiler in filter(has, ("g++", "clang++")):
        output = run([compiler, "-std=c++17", "-fsyntax-only", "-Iinclude", "build/headers/whole.cpp"])[1]
        totals.check(f"headers before C++20 ({compiler})",
                     None if "-std=c++20" in output and output.count("error:") == 1 else output)
    # Only these get Eigen's folder: nothing else may need it.
    if os.path.isdir(EIGEN):
        eigen = ["-isystem", EIGEN]
        compile_all("headers with Eigen", eigen_sources, {"g++": [*compiled["g++"], *eigen]})
        compile_all("headers with Eigen as a whole",
                    [source for source in eigen_sources if source[0] == "strata/eigen.hpp"],
                    {name: [*command, *eigen] for name, command in whole.items() if "AVX" not in name})
    else:
        totals.skips.append(f"headers with Eigen: {EIGEN} is missing")
    with open("build/tests/cuda_includes.txt") as folders:
        cuda = [flag for folder in folders.read().split() for flag in ("-isystem", folder)]
    if cuda and has("nvcc"):
        compile_all("kernels with nvcc", [(path, path) for path in sorted(glob.glob("kernels/*.cu"))],
                    {"nvcc": ["nvcc", "--expt-relaxed-constexpr", "-Werror=all-warnings"]}, ["-ptx", "-odir", "build/headers"])
    if cuda:
        compile_all("headers with CUDA", cuda_sources, {"g++": [*compiled["g++"], *cuda]})
        compile_all("headers with CUDA as a whole",
                    [source for source in cuda_sources if source[0] == "strata/cuda.hpp"],
                    {name: [*command, *cuda] for name, command in whole.items() if "AVX" not in name})
    else:
        totals.skips.append(f"headers with CUDA: {NO_CUDA}")


def step_docs():
    """Every ```cpp block of the documentation compiles.

    A block with an #include stands alone. The others of a page are statements: together they make one function, each
    in a scope inside the one before, so that a block may use what an earlier one declared. What readers need not see
    (declarations; or the #includes of the page, by themselves) may stand in a comment: `<!-- cpp`, the lines, `-->`.
    """
    sources = []
    for page in sorted(["README.md", *glob.glob("docs/**/*.md", recursive=True)]):
        if not os.path.exists(page):
            continue
        with open(page) as file:
            text = file.read()
        includes, function = "#include <strata/strata.hpp>\n", []
        for match in re.finditer(r"^(```|<!-- )cpp\n(.*?)^(?:```|-->)$", text, re.M | re.S):
            number = text.count("\n", 0, match.start(2)) + 1
            code = f'#line {number} "{page}"\n{match[2]}'
            if match[1] == "```" and "#include" in code:
                path = f"build/docs/{page}.{number}.cpp"
                write_changed(path, code)
                sources.append((f"{page}:{number}", path))
            elif "#include" in code:
                includes += code
            else:
                function.append(code)
        if function:
            path = f"build/docs/{page}.cpp"
            write_changed(path, includes + "using namespace strata;\nvoid page() {\n" + "{\n".join(function) +
                          "}\n" * len(function))
            sources.append((page, path))
    compile_all("docs", sources, {"g++": ["g++", "-DSTRATA_COMPILED"]})


def step_examples():
    """Every example builds and explains itself."""
    names = [os.path.basename(path)[:-4] for path in sorted(glob.glob("examples/*.cpp"))]
    failed = build("examples", "build", [f"example_{name}" for name in names])
    for name in names:
        if f"example_{name}" not in failed:
            status, output = run([f"build/examples/{name}", "--help"])
            totals.check(f"examples: {name} --help",
                         None if status == 0 and output.strip() else f"{output}\n(status {status})")


def step_bench():
    """Every benchmark builds, and bench/tune's table names benchmarks and conformance cases that are there."""
    start = time.monotonic()
    totals.check("bench", command_error(["cmake", "--build", "build", "-j", str(JOBS), "--target", "strata_bench",
                                         "test_cpu_conformance_test"]))
    line("bench", "built", start)
    suite("bench", [sys.executable, "-B", "tests/support/unittests.py", "tests/bench/built"])


def suite(name, command):
    """A script that closes with `N passed, N failed, N skipped` itself."""
    start = time.monotonic()
    status, output = run(command, timeout=1800)
    last = (output.splitlines() or [""])[-1]
    match = re.fullmatch(r"(\d+) passed, (\d+) failed, (\d+) skipped", last)
    if match:
        totals.passed += int(match[1])
        totals.failed += int(match[2])
        totals.skips += [f"{name}: {reason[6:]}" for reason in output.splitlines() if reason.startswith("skip: ")]
    if not match or (status and match[2] == "0"):
        totals.check(name, f"{tail(output)}\n(status {status})")
    elif match[2] != "0":
        say(tail(output))
    line(name, last, start)


def step_packaging():
    suite("packaging", ["bash", "tests/packaging/run"])


def step_runner():
    """tests/run chooses right; tests/gpu/run judges right, which no machine without a card would show; so does the race."""
    for folder in ("tests/support", "tests/gpu", "tests/bench"):
        suite("runner", [sys.executable, "-B", "tests/support/unittests.py", folder])


def step_weights():
    suite("weights", ["bash", "tests/weights/run"])


def step_tensorboard():
    """The real TensorBoard reads what the callback writes."""
    if not build("tensorboard", "build", ["test_training_tensorboard_test"]):
        suite("tensorboard", ["bash", "tests/tensorboard/run"])


def compiles(flags):
    """Whether clang++ makes programs with these flags: some systems have it without the run-time."""
    source = "extern \"C\" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }"
    source += "" if "=fuzzer" in flags else " int main() {}"
    return subprocess.run(["sh", "-c", f"clang++ {flags} -x c++ -o /dev/null -"], input=source, text=True,
                          stderr=subprocess.DEVNULL).returncode == 0


def configure_asan():
    """Configures build/asan, with clang++ where it works, which compiles sanitized code in half the time, checks more
    and has libFuzzer."""
    options = []
    if compiles("-fsanitize=address,undefined"):
        options = ["-DCMAKE_CXX_COMPILER=clang++"]
        if compiles("-fsanitize=fuzzer,address,undefined"):
            options.append("-DSTRATA_SANITIZE=address,undefined,fuzzer-no-link")
    return configure("build/asan", "asan", *options), "fuzzer" in "".join(options)


def step_fuzz():
    """Every reader keeps to strata::Error for ten seconds of mutated files."""
    names = [os.path.basename(path)[:-4] for path in sorted(glob.glob("tests/fuzz/*.cpp"))]
    names = [name for name in names if name not in ("main", "libfuzzer")]
    folder, arguments = "build", ["10"]
    if configure_asan()[1]:
        folder = "build/asan"
        arguments = ["-max_total_time=10", "-seed=1", "-timeout=10", f"-artifact_prefix={folder}/tests/fuzz/"]
    failed = build("fuzz", folder, [f"fuzz_{name}" for name in names])
    start = time.monotonic()
    built = [name for name in names if f"fuzz_{name}" not in failed]
    environment = {**os.environ, "ASAN_OPTIONS": "allocator_may_return_null=1"}
    with ThreadPoolExecutor(JOBS) as pool:
        errors = pool.map(lambda name: command_error([f"{folder}/tests/fuzz/{name}", *arguments], timeout=120,
                                                     env=environment), built)
        for name, error in zip(built, errors):
            totals.check(f"fuzz: {name}", error)
    line("fuzz", f"{len(built)} readers" + ", libFuzzer" * (folder != "build"), start)


def step_asan():
    programs = [program for program in configure_asan()[0] if not WHOLE.search(program)]
    run_programs("build/asan", programs, "asan: ", ["~[slow]~[.]"],
                 {"ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:allocator_may_return_null=1", "UBSAN_OPTIONS": "print_stacktrace=1"})


def step_tsan():
    options = ["-DCMAKE_CXX_COMPILER=clang++"] if compiles("-fsanitize=thread") else []
    programs = [program for program in configure("build/tsan", "tsan", *options) if THREADED.search(program)]
    run_programs("build/tsan", programs, "tsan: ", ["~[slow]~[.]"], {"TSAN_OPTIONS": "halt_on_error=1:allocator_may_return_null=1"})


# ---- what a filter means --------------------------------------------------------------------------------------

LITERALS = r'((?:"(?:[^"\\]|\\.)*"\s*)+)'
CASE = re.compile(r"TEST_CASE(?:_METHOD)?\(\s*" + LITERALS + r"(?:,\s*" + LITERALS + ")?")


def cases(program):
    """[(name, tags)] of the test cases that a program's source has."""
    def joined(literals):
        return "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', literals))

    with open(f"tests/{program}.cpp") as source:
        return [(joined(name), joined(tags)) for name, tags in CASE.findall(source.read())]


def choose(text, programs, steps, cases_of):
    """(programs, steps, arguments for the programs): those whose names have the text, else programs with such cases."""
    chosen, chosen_steps = [name for name in programs if text in name], [name for name in steps if text in name]
    if chosen or chosen_steps:
        return chosen, chosen_steps, []
    tag, lower = text.startswith("["), text.lower()
    chosen = [program for program in programs
              if any(lower in (tags if tag else name).lower() for name, tags in cases_of(program))]
    return chosen, [], [text if tag else f"*{text}*"]


def near(text, programs, steps, cases_of):
    """Names and tags that a user may have meant, the nearest first."""
    tags = {tag for program in programs for _, all_tags in cases_of(program) for tag in re.findall(r"\[[^]]+\]", all_tags)}
    parts = {part: program for program in programs for part in (program, program.split("/")[-1].removesuffix("_test"))}
    known = {**{tag: tag for tag in sorted(tags)}, **{tag[1:-1]: tag for tag in sorted(tags)}, **parts, **{step: step for step in steps}}
    found = difflib.get_close_matches(text, known, n=5, cutoff=0.5) or sorted({program.split("/")[0] + "/" for program in programs})
    return list(dict.fromkeys(known.get(name, name) for name in found))


# ---- the whole ------------------------------------------------------------------------------------------------

def main():
    parser = argparse.ArgumentParser(prog="bash tests/run", epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("filter", nargs="?", default="", metavar="FILTER")
    parser.add_argument("--sanitizers", action="store_true", default=bool(os.environ.get("CI")),
                        help="the programs on parts again under AddressSanitizer and UndefinedBehaviorSanitizer, "
                             "those with threads under ThreadSanitizer, without cases tagged [slow] (default where CI "
                             "is set)")
    parser.add_argument("--cuda", action="store_true",
                        help="where the CUDA toolkit 12.8 and cuDNN 9.8 are not found, bring them from PyPI (1.3 GB, kept in "
                             "~/.cache/strata), so that of the CUDA tests only those on a card are skipped without one")
    parser.add_argument("--list", action="store_true", help="name what would run")
    options = parser.parse_args()

    start = time.monotonic()
    steps = {"format": step_format, "structure": step_structure, "headers": step_headers, "docs": step_docs,
             "examples": step_examples, "bench": step_bench, "packaging": step_packaging, "weights": step_weights,
             "tensorboard": step_tensorboard, "runner": step_runner}
    sanitizers = {"asan": step_asan, "tsan": step_tsan}
    if options.sanitizers or options.filter in sanitizers:
        steps.update(sanitizers)
    if os.environ.get("CI") or options.filter == "fuzz":
        steps["fuzz"] = step_fuzz
    programs = configure("build", "release", *["-DSTRATA_CUDA=AUTO"] * options.cuda)
    if options.cuda and not any(program.startswith("cuda/") for program in programs):
        bring_cuda()
        programs = configure("build", "release", "-DSTRATA_CUDA=ON")
    all_steps = [*steps, *sanitizers, "fuzz"]
    chosen, steps, arguments = choose(options.filter, programs, list(steps), cases)
    no_cuda = options.filter in "cuda/" and not any(program.startswith("cuda/") for program in programs)
    if not chosen and not steps and not no_cuda:
        sys.exit(f"no test matches '{options.filter}'; near it: {', '.join(near(options.filter, programs, all_steps, cases))}")
    if options.list:
        return say("\n".join(chosen + steps))

    if no_cuda:
        totals.skips.append(f"cuda: {NO_CUDA}")
    run_programs("build", chosen, arguments=arguments)
    for name in steps:
        globals()[f"step_{name}"]()

    if totals.passed + totals.failed + len(totals.skips) == 0:
        totals.check("tests/run", f"no test matches '{options.filter}'")
    say(f"total {time.monotonic() - start:.0f} s")
    for reason in totals.skips:
        say(f"skip: {reason}")
    say(f"{totals.passed} passed, {totals.failed} failed, {len(totals.skips)} skipped")
    sys.exit(totals.failed > 0)


if __name__ == "__main__":
    main()
