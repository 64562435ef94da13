"""What bench/race/race.py makes of contenders that run, die, talk nonsense or compute something else: `bash tests/run runner`."""

import contextlib
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench/race"))

import page
import race

# A contender: NAME [VALUE OF THE RESULT [WHAT IT DOES IN ITS SECOND RUN]].
FAKE = """
import array, os, sys, time
value, manner, folder, output, threads = sys.argv[1:]
array.array("f", [1, 2, float(value)]).tofile(open(output, "wb"))
print("unsupported: has no such thing" if manner == "unsupported" else "hello" if manner == "rude" else "ready 1.2", flush=True)
for number, _ in enumerate(sys.stdin):
    time.sleep(0.004 if manner == "slow" else 0.001)
    if number == 1 and manner == "dies":
        sys.exit("out of luck")
    if number == 1 and manner == "killed":
        os.kill(os.getpid(), 9)
    print("a lot" if manner == "babbles" and number == 1 else "-1" if manner == "negative" else 4 if manner == "slow" else 2, flush=True)
"""


class RaceTest(unittest.TestCase):
    def race(self, **manners):
        """{name: row} of fakes {name: (value, manner)} beside Strata, whose runs take 2 ms."""
        with tempfile.TemporaryDirectory() as folder:
            fakes = {"Strata": ("3", "")} | manners
            commands = {name: [sys.executable, "-c", FAKE, *fake] for name, fake in fakes.items()}
            return {row["name"]: row for row in race.race(commands, folder, seconds=0)}

    def test_all_run_in_every_round(self):
        rows = self.race(Slow=("3", "slow"), Same=("3.0001", ""))
        for row in rows.values():
            self.assertNotIn("why", row)
            self.assertEqual((row["version"], len(row["ms"])), ("1.2", 3))
            self.assertGreater(row["peak_mb"], 1)
        self.assertEqual(page.ratio(list(rows.values()), "Slow"), [2, 2, 2])
        self.assertEqual(page.quartiles(rows["Same"]), [2, 2, 2])

    def test_one_that_fails_is_left_out_with_its_reason(self):
        for manner, why in (("dies", "ended with status 1: out of luck"), ("killed", "ended with status -9"),
                            ("babbles", "expected milliseconds, found `a lot`"), ("negative", "expected milliseconds, found `-1`"),
                            ("rude", "expected `ready VERSION`, found `hello`"), ("unsupported", "has no such thing")):
            rows = self.race(Bad=("3", manner), Good=("3", ""))
            began = {} if manner in ("rude", "unsupported") else {"version": "1.2", "error": 0}
            self.assertEqual(rows["Bad"], {"name": "Bad", "why": why} | began)
            self.assertEqual(len(rows["Good"]["ms"]), 3, manner)
            self.assertEqual(len(rows["Strata"]["ms"]), 3, manner)

    def test_another_result_is_not_timed(self):
        for value, distance in (("3.5", "1.3e-01"), ("nan", "nan")):
            row = self.race(Wrong=(value, ""))["Wrong"]
            self.assertNotIn("ms", row)
            self.assertEqual(row["why"], f"its result differs from Strata's by {distance}, relatively; expected at most 0.001")

    def test_a_program_that_is_not_there(self):
        with tempfile.TemporaryDirectory() as folder:
            row, = race.race({"Strata": [f"{folder}/none"]}, folder, seconds=0)
        self.assertIn("could not be started", row["why"])

    def test_silence_is_not_waited_for_without_end(self):
        with tempfile.TemporaryDirectory() as folder:
            contender = race.Contender("Mute", [sys.executable, "-c", "input()"], folder, 1)
            self.addCleanup(contender.end)
            with self.assertRaisesRegex(race.Left, "said nothing for 0.1 s"):
                contender.read(0.1)

    def test_no_contender_outlives_the_race(self):
        started, make = [], race.Contender
        self.addCleanup(setattr, race, "Contender", make)
        race.Contender = lambda *arguments: started.append(make(*arguments)) or started[-1]
        self.race(Bad=("3", "dies"), Wrong=("9", ""))
        self.assertEqual(len(started), 3)
        for contender in started:
            self.assertIsNotNone(contender.process.poll())

    def test_only_the_one_whose_turn_it_is_runs(self):
        started, run = set(), race.Contender.run
        self.addCleanup(setattr, race.Contender, "run", run)

        def watched(contender):
            started.add(contender)
            for other in started - {contender}:
                stat, end = pathlib.Path(f"/proc/{other.process.pid}/stat"), time.monotonic() + 10
                while stat.read_text().split(") ")[1][0] != "T":  # a signal takes its time
                    self.assertLess(time.monotonic(), end, f"{other.name} was not stopped")
            return run(contender)
        race.Contender.run = watched
        self.race(One=("3", ""), Two=("3", ""))
        self.assertEqual(len(started), 3)

    def test_table(self):
        rows = [{"name": "Strata", "version": "0.1.0", "ms": [[10.0], [20.0]], "peak_mb": 7},
                {"name": "Other", "version": "1", "ms": [[30.0], [50.0]], "peak_mb": 9}, {"name": "Gone", "why": "it died"}]
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            race.print_table("work", 3, rows)
        lines = [line.split() for line in text.getvalue().splitlines()]
        self.assertEqual(lines[1], "Strata 0.1.0 15 12.5 to 17.5 200 7".split())
        self.assertEqual(lines[2], "Other 1 40 35 to 45 75 2.75x 9".split())
        self.assertEqual(lines[3], "Gone: left out, it died".split())


class CasesTest(unittest.TestCase):
    def test_every_case_names_what_there_is(self):
        kinds = {"precision": 1, "input": (2, 4), "conv": 5, "depthwise": 4, "pool": 1, "flatten": 0, "dense": 2, "freeze": 0}
        for name, (task, lines, images) in race.cases().items():
            self.assertTrue((ROOT / f"bench/race/{task}/strata.cpp").exists(), name)
            self.assertIn(lines[0].split()[1], race.TOLERANCE)
            if task == "data":
                self.assertIn(lines[1].split()[1], ("pillow", "tensorflow", "first", "later"))
                continue
            for kind, *words in map(str.split, lines):
                self.assertIn(len(words), kinds[kind] if kind == "input" else (kinds[kind],), f"{name}: {kind} {words}")
            self.assertEqual(lines[1].split()[1], str(images))

    def test_every_program_is_somebodys(self):
        programs = {path.name for pattern in ("*/*.py", "*/*.cpp") for path in (ROOT / "bench/race").glob(pattern)}
        self.assertEqual(programs, {pathlib.Path(race.source("inference", name)).name for name in race.CONTENDERS})
        cmake = (ROOT / "bench/CMakeLists.txt").read_text()
        for name in programs - {"strata.cpp"}:
            self.assertEqual(f"strata_contender({name[:-4]} " in cmake, name.endswith(".cpp"), name)

    def test_packages_are_pinned(self):
        pins = {line.split("==")[0] for line in (ROOT / "bench/race/requirements.txt").read_text().splitlines() if "==" in line}
        self.assertEqual(pins, set(race.SHARED) | {package for _, packages in race.CONTENDERS.values() for package in packages})


def row(name, *ms):
    return {"name": name, "version": "1.2", "ms": list(ms), "peak_mb": 1234, "error": 2e-7}


def case(name, task, images, flops, transfer, *rows):
    return {"name": name, "task": task, "precision": "float32", "images": images, "flops": flops, "bytes": transfer, "rows": rows}


MACHINE = {"cpu": "A CPU", "cpus": 2, "threads": 2, "memory_gb": 8, "system": "Linux 6", "flags": ["avx2", "fma"], "load": 0.0,
           "peaks": {"flops": 2e11, "bytes": 2e10}}
RESULT = {"date": "2026-11-26", "machine": MACHINE, "cases": [
    case("VGG16 base, batch 20, float32", "inference", 20, 2e10, 1e8, row("Strata", [200.0, 900.0], [400.0]),
         row("PyTorch", [440.0], [720.0]), {"name": "Keras", "why": "it died"}, {"name": "Eigen", "why": "has no networks"}),
    case("ops: 1x1, 8 to 8, 9x9", "inference", 4, 1e6, 1e6, row("Strata", [0.01]), row("PyTorch", [0.005]), row("Eigen", [0.02])),
    case("ops: depthwise, 8, 9x9", "inference", 4, 1e6, 1e6, row("Strata", [0.01]), row("PyTorch", [0.01]),
         {"name": "Eigen", "why": "has no depthwise"}),
    case("training step of nothing, batch 20", "training", 20, 1, 1, {"name": "Strata", "why": "was not built"})]}


def on(**machine):
    return {**RESULT, "machine": {**MACHINE, **machine}}


class PageTest(unittest.TestCase):
    def test_page(self):
        text = page.markdown(RESULT)
        self.assertIn("| VGG16 base, batch 20 | 300 | 66.7 | 2.00 |", text)  # of 2.2 and 1.8
        self.assertIn("| 1x1, 8 to 8, 9x9 | 0.01 | 100 | 0.50 | 2.00 |\n| depthwise, 8, 9x9 | 0.01 | 100 | 1.00 |  |", text)
        self.assertIn("| VGG16 base, batch 20, float32 | 1,234 | 1,234 |\n", text)
        self.assertIn("\nStrata 1.2, PyTorch 1.2, Eigen 1.2.\n", text)
        self.assertIn("- Keras: it died (VGG16 base, batch 20, float32)", text)
        self.assertIn("- Eigen: has no depthwise (ops: depthwise, 8, 9x9)", text)
        self.assertIn("Eigen multiply matrices", text)
        self.assertIn("of their own, Eigen from Debian.", text)
        self.assertIn("- Strata: was not built (training step of nothing, batch 20)", text)
        self.assertNotIn("Training steps", text)
        self.assertNotIn("other work meanwhile", text)
        varied = {"rows": [row("Strata", [200.0], [400.0]), row("PyTorch", [400.0], [1600.0])]}
        self.assertEqual(page.peer_cell(varied, "PyTorch"), "~3.00")
        self.assertIn("a load of 3.0", page.markdown(on(load=3.0)))

    def test_pictures_have_a_section(self):
        kept = case("data: augmented epoch, later", "data", 200, 0, 0, row("Strata", [100.0]), row("Keras", [800.0]))
        kept |= {"precision": "uint8", "pictures": "200 drawn pictures, 500x375"}
        text = page.markdown({**RESULT, "cases": RESULT["cases"] + [kept]})
        self.assertIn("200 drawn pictures, 500x375: decoded", text)
        self.assertIn("|  | ms | pictures/s | Keras |\n| --- | --- | --- | --- |\n| augmented epoch, later | 100 | 2,000.0 | 8.00 |", text)
        self.assertNotIn("Pictures from files", page.markdown(RESULT))

    def test_picture(self):
        for limits in ({"flops": 1e10, "bytes": 1e10}, {"flops": 2e11, "bytes": 2e8}):  # the roof bends left and right of the points
            path = re.search(r'class="roof" d="M(\S+) \S+L(\S+) \S+H', page.roofline(on(peaks=limits)))
            self.assertTrue(page.LEFT <= float(path[1]) < float(path[2]) <= page.WIDTH - page.RIGHT, path[0])
        picture = xml.etree.ElementTree.fromstring(page.roofline(RESULT))
        shapes = [element.get("class") for element in picture if element.tag.endswith("circle")]
        self.assertEqual((shapes.count("ours"), shapes.count("theirs")), (4, 4))  # one of each in the legend
        for element in picture:
            for axis, limit in (("cx", page.WIDTH), ("cy", page.HEIGHT)):
                self.assertTrue(0 <= float(element.get(axis, 0)) <= limit)

    def test_later_files_replace_cases(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, images in (("a", 20), ("b", 40)):
                with open(f"{folder}/{name}.json", "w") as file:
                    machine = on(load=images, peaks={"flops": 60 - images, "bytes": images})
                    first = {**RESULT["cases"][0], "images": images}
                    json.dump({**machine, "cases": [first] + RESULT["cases"][1:1 + (name == "a")]}, file)
            found = page.read([f"{folder}/a.json", f"{folder}/b.json"])
        self.assertEqual([case["images"] for case in found["cases"]], [40, 4])
        self.assertEqual((found["machine"]["load"], found["machine"]["peaks"]), (40, {"flops": 40, "bytes": 40}))

    def test_the_page_in_docs_is_of_its_figures(self):
        with tempfile.TemporaryDirectory() as folder:
            page.write([str(ROOT / "docs/performance.json")], folder)
            for name in ("performance.md", "performance.svg", "performance.json"):
                self.assertEqual((ROOT / "docs" / name).read_text(), pathlib.Path(folder, name).read_text(),
                                 "made by `bash bench/run --peers --page docs/performance.json`")


PYTHON = """#!/bin/sh
if [ "$1" = -c ]; then grep == bench/race/requirements.txt | grep -v -e torch -e ncnn | sed 's/==/ /'; exit; fi
echo "$*" >> "$0.calls"
case "$*" in *torch*) echo "ERROR: no torch for this machine" >&2; exit 1;; esac
"""


class EnvironmentTest(unittest.TestCase):
    def test_only_what_is_missing_is_brought_and_what_cannot_be_is_named(self):
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(ROOT)
        with tempfile.TemporaryDirectory() as folder, unittest.mock.patch.dict(os.environ, STRATA_HOME=folder), \
                contextlib.redirect_stderr(io.StringIO()) as said:
            python = pathlib.Path(folder, "race-venv/bin/python")
            python.parent.mkdir(parents=True)
            python.write_text(PYTHON)
            python.chmod(0o700)
            found = race.environment(["PyTorch", "OpenVINO", "ncnn"])
            calls = pathlib.Path(f"{python}.calls").read_text().splitlines()
        self.assertEqual(found, (str(python), {"PyTorch": "could not be installed: ERROR: no torch for this machine"}))
        self.assertEqual(len(calls), 2)
        self.assertRegex(calls[0], f"--extra-index-url {race.TORCH_INDEX} torch==[0-9.]+ numpy==")
        self.assertRegex(calls[1], "--retries 1 ncnn==[0-9.]+ numpy==")
        self.assertIn("installing ncnn==", said.getvalue())


CMAKE = """#!/bin/sh
echo "$*" >> "$0.calls"
case "$*" in
  *preset*broken*) echo "CMake Error: it rained"; exit 1;;
  *onednn) echo "ninja: error: unknown target 'bench_race_inference_onednn'"; exit 1;;
  *eigen) echo "In file included from eigen.cpp:"; echo "eigen.cpp:1: error: no such thing"; echo "error: and more" >&2; exit 1;;
esac
"""


class BuildTest(unittest.TestCase):
    def build(self, names, missing, home="home"):
        """(what is missing then, the calls of cmake)"""
        with tempfile.TemporaryDirectory() as folder, \
                unittest.mock.patch.dict(os.environ, PATH=f"{folder}:{os.environ['PATH']}"):
            pathlib.Path(folder, home, "lib/cmake/dnnl").mkdir(parents=True)
            cmake = pathlib.Path(folder, "cmake")
            cmake.write_text(CMAKE)
            cmake.chmod(0o700)
            found = race.build(names, f"{folder}/{home}/bin/python", missing)
            calls = pathlib.Path(f"{cmake}.calls")
            return found, calls.read_text().replace(folder, "F").splitlines() if calls.exists() else []

    def test_what_cannot_be_built_is_named(self):
        found, calls = self.build(["PyTorch", "oneDNN", "Eigen", "OpenBLAS"], {"PyTorch": "no network"})
        self.assertEqual(found, {"PyTorch": "no network", "oneDNN": "was not found by CMake",
                                 "Eigen": "could not be built: eigen.cpp:1: error: no such thing"})
        self.assertEqual(calls, ["--preset release -Ddnnl_DIR=F/home/lib/cmake/dnnl",
                                 *(f"--build build --target bench_race_inference_{name}" for name in ("onednn", "eigen", "openblas"))])

    def test_what_pypi_does_not_have_may_be_found_all_the_same(self):
        self.assertEqual(self.build(["oneDNN", "OpenBLAS"], {"oneDNN": "no network", "OpenBLAS": "no network"})[0], {"oneDNN": "no network"})

    def test_a_failing_configuration_leaves_all_out(self):
        found, _ = self.build(["PyTorch", "OpenBLAS"], {}, home="broken")
        self.assertEqual(found, {"OpenBLAS": "could not be built: CMake Error: it rained"})

    def test_nothing_is_built_for_contenders_in_python(self):
        self.assertEqual(self.build(["PyTorch"], {"PyTorch": "no network"}), ({"PyTorch": "no network"}, []))


class CommandTest(unittest.TestCase):
    def run_race(self, *flags):
        return subprocess.run([sys.executable, "-B", "bench/race/race.py", *flags], cwd=ROOT, text=True, capture_output=True, check=False)

    def test_what_is_asked_for_wrongly(self):
        for flags, text in ((["nowhere"], "no case matches 'nowhere'; --list names them"),
                            (["--only", "PyTorch,Caffe"], "expected of --only some of Strata,PyTorch"),
                            (["--threads", "0"], "expected --threads of at least 1, found 0")):
            done = self.run_race(*flags)
            self.assertEqual(done.returncode, 2)
            self.assertIn(text, done.stderr)

    def test_cases_are_listed(self):
        done = self.run_race("--list", "ops")
        self.assertEqual(done.stdout.splitlines(), [name for name in race.cases() if name.startswith("ops")])


if __name__ == "__main__":
    unittest.main()
