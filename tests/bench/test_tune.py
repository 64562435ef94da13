"""What bench/tune.py makes of programs that run, fail, crash or lack a row: `bash tests/run runner`."""

import contextlib
import io
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import tune

# A benchmark: NAME=MILLISECONDS[/MILLISECONDS IN THE NEXT ROUND...]..., of which the filter chooses.
BENCHMARK = """#!{python}
import json, os, re, sys
flags = dict(argument[2:].split("=", 1) for argument in sys.argv[1:])
count = "{path}.count"
turn = os.path.getsize(count) if os.path.exists(count) else 0
open(count, "a").write(".")
rows = []
for row in {rows!r}:
    name, times = row.split("=")
    times = times.split("/")
    if re.search(flags["benchmark_filter"], name):
        rows.append({{"name": name + "/real_time", "real_time": float(times[turn % len(times)]), "time_unit": "ms", **{more!r}}})
if not rows:
    print("Failed to match any benchmarks against regex: " + flags["benchmark_filter"])
    sys.exit(0)
json.dump({{"benchmarks": rows}}, open(flags["benchmark_out"], "w"))
"""
KERNEL = tune.Kernel("a kernel", "ops/none", "^a", "^conv2d")


class TuneTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def program(self, name, text):
        path = pathlib.Path(self.folder.name, name)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def benchmark(self, name, *rows, **more):
        path = f"{self.folder.name}/{name}"
        return [str(self.program(name, BENCHMARK.format(python=sys.executable, path=path, rows=rows, more=more)))]

    def race(self, *commands, rounds=3, rows="^a"):
        with contextlib.redirect_stderr(io.StringIO()):
            return tune.race(commands, rows, rounds, 0.01)

    def lines(self, *commands, rounds=3):
        """{row: the words behind it} of the table, and what stands below the rows."""
        head, *lines = tune.table(*self.race(*commands, rounds=rounds))
        self.assertRegex(head, "^row +before +after +speed-up")
        return {line.split()[0]: line.split()[1:] for line in lines if line.startswith("a")}, [x for x in lines if x[0] != "a"]

    def test_medians_of_times_and_of_speed_ups(self):
        programs = (self.benchmark("before", "a/one=8/6/4/8/4", "a/two=2/3/4/3/3"),
                    self.benchmark("after", "a/one=4/2/1/4/2", "a/two=3/3/2/3/3"))
        # 8/4, 6/2, 4/1, 8/4, 4/2 and 2/3, 3/3, 4/2, 3/3, 3/3: the second does not tell.
        rows, below = self.lines(*programs, rounds=5)
        self.assertEqual(rows, {"a/one": "6.00 ms 2.00 ms 2.00 2.00 to 4.00".split(),
                                "a/two": "3.00 ms 3.00 ms ~1.00 0.67 to 2.00".split()})
        self.assertEqual(below, ["geometric mean of 2 speed-ups: 1.41"])
        self.assertEqual(self.lines(*programs, rounds=4)[0]["a/one"][4], "~2.50")

    def test_one_round_that_went_wrong_hides_nothing(self):
        rows, _ = self.lines(self.benchmark("before", "a=1"), self.benchmark("after", "a=2/2/2/0.5/2/2/2/2/2"), rounds=9)
        self.assertEqual(rows["a"][4:], "0.50 0.50 to 0.50".split())
        rows, _ = self.lines(self.benchmark("early", "a=1"), self.benchmark("late", "a=2/2/0.5/0.5/2/2/2/2/2"), rounds=9)
        self.assertEqual(rows["a"][4:], "~0.50 0.50 to 2.00".split())
        self.assertEqual(tune.spread_of(range(1, 9)), (1, 4.5, 8))

    def test_the_programs_change_who_is_first(self):
        log = pathlib.Path(self.folder.name, "log")
        commands = []
        for name in "xy":
            text = BENCHMARK.format(python=sys.executable, path=f"{self.folder.name}/{name}", rows=["a=1"], more={})
            commands.append([str(self.program(name, text + f"open({str(log)!r}, 'a').write({name!r})\n"))])
        self.race(*commands)
        self.assertEqual(log.read_text(), "xyyxxy")

    def test_only_the_rows_of_the_kernel(self):
        before, after = self.race(self.benchmark("before", "a=1", "b=1"), self.benchmark("after", "b=1"))
        self.assertEqual([list(rows) for rows in before], [["a"]] * 3)
        self.assertEqual(after, [{}] * 3)

    def test_a_row_that_one_side_lacks(self):
        rows, below = self.lines(self.benchmark("before", "a/old=1", "a=4"), self.benchmark("after", "a=2", "a/new=0.03"))
        self.assertEqual(rows["a/old"], ["1.00", "ms", "missing"])
        self.assertEqual(rows["a/new"], ["missing", "30.0", "us"])
        self.assertEqual(rows["a"][4], "~2.00")
        self.assertEqual(below, [])

    def test_shares_and_errors(self):
        def cells(**more):
            return " ".join(self.lines(self.benchmark("before", "a=1", error=2e-7), self.benchmark("after", "a=1", **more))[0]["a"][8:])
        self.assertEqual(cells(of_peak=0.25, error=2e-7), "25% of peak 2.0e-07")
        self.assertEqual(cells(of_peak=0.25, of_bandwidth=0.5, error=3e-7), "50% of bandwidth 3.0e-07 (was 2.0e-07)")
        self.assertEqual(cells(of_bandwidth=0.5), "50% of bandwidth 2.0e-07")

    def test_a_benchmark_that_fails(self):
        for text, why in (("sys.exit('out of memory')", "ended with status 1:\nout of memory"), ("os.kill(os.getpid(), 11)", "SIGSEGV"),
                          ("print('hello')", "expected Google Benchmark's JSON")):
            with self.assertRaisesRegex(SystemExit, why):
                self.race([str(self.program("bad", f"#!{sys.executable}\nimport os, sys\n{text}\n"))])
        with self.assertRaisesRegex(SystemExit, "a/x: no such device"):
            self.race(self.benchmark("bad", "a/x=1", error_occurred=True, error_message="no such device"))

    def check(self, text):
        """(what is said, why it ended or None) of a conformance program."""
        program = self.program("conformance_test", f"#!{sys.executable}\nimport os, sys\n{text}\n")
        with contextlib.redirect_stdout(io.StringIO()) as said:
            try:
                return tune.check(program, KERNEL), None
            except SystemExit as end:
                return said.getvalue(), str(end)

    def test_a_right_kernel(self):
        said, why = self.check("""
assert sys.argv[1:] == ['The cases that STRATA_CASES*', '-r', 'compact'] and os.environ['STRATA_CASES'] == '^conv2d'
print('conv2d                   1366 cases, relative error at most 2.6e-06 ([1,9,9,512] by 3x3 (same), mish)')
print('conv2d_backward_input      34 cases, relative error at most 9.9e-07 ([1,1])')
print('Passed 1 test case with 4000 assertions.')""")
        self.assertEqual(said, "right: 1,400 cases, relative error at most 2.6e-06 (conv2d [1,9,9,512] by 3x3 (same), mish)")
        self.assertIsNone(why)

    def test_a_wrong_kernel(self):
        said, why = self.check("""
at = '/s/conformance.cpp:178: failed: '
print(at + "worst <= options.tolerance for: 0.25 <= 0.00001 with 2 messages: 'avx512' and 'conv2d [2,8] to [8], mish'")
print(at + "(aligned.margins_intact && shifted.margins_intact) for: false with 2 messages: 'avx2' and 'conv2d [3]'")
print(at + "same_bits(run<T>(c, variant), aligned) for: false with 3 messages: 'avx2' and 'conv2d [3]' and 'on cpu, 1 thread'")
print(at + "count > 0 for: 0 > 0")
sys.exit(4)""")
        self.assertEqual(said.splitlines(), ["avx512: conv2d [2,8] to [8], mish: relative error against double precision 0.25",
                                             "avx2: conv2d [3]: wrote beside its outputs",
                                             "avx2: conv2d [3]: on cpu, 1 thread: other bits with another number of threads",
                                             "count > 0: 0 > 0"])
        self.assertEqual(why, "error: the kernel is wrong; it was not timed")
        said, _ = self.check("[print(f\"/s:1: failed: x for: {i} with 1 message: 'avx2'\") for i in range(1234)]; sys.exit(9)")
        self.assertEqual(said.splitlines()[4:], ["avx2: x: 4", "... and 1,229 more"])

    def test_a_kernel_that_crashes_or_checks_nothing(self):
        said, why = self.check("print('conv2d [1,2]', flush=True); os.kill(os.getpid(), 11)")
        self.assertEqual(said, "conv2d [1,2]\nconformance_test ended with SIGSEGV\n")
        self.assertIn("the kernel is wrong", why)
        self.assertIn("expected `primitive N cases", self.check("print('No tests ran')")[1])

    def run_command(self, *arguments):
        done = subprocess.run(["bash", "bench/tune", *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout

    def test_usage(self):
        self.assertEqual(self.run_command("--list")[1].count("\n"), len(tune.KERNELS))
        self.assertEqual(self.run_command("--help")[0], 0)
        for arguments, what in (((), "which kernel"), (("deptwise",), r"no kernel 'deptwise'; there are depthwise, .*winograd"),
                                (("pooling", "--rounds", "0"), "a whole number from 1 on, found '0'")):
            with contextlib.redirect_stderr(io.StringIO()) as said, self.assertRaises(SystemExit) as end:
                tune.parse(arguments)
            self.assertEqual(end.exception.code, 2)
            self.assertRegex(said.getvalue(), what)

    @unittest.skipUnless((ROOT / ".git").exists(), "the files are no checkout")
    def test_changed_files_are_those_of_the_library(self):
        head = tune.git("rev-parse", "HEAD")
        self.assertFalse([name for name in tune.changed_files(head) if not name.startswith(("include/", "cmake/"))])
        with self.assertRaisesRegex(SystemExit, "error: git rev-parse"):
            tune.git("rev-parse", "--verify", "no-such-commit")

    def test_the_files_of_the_table_exist(self):
        for kernel in tune.KERNELS.values():
            self.assertTrue((ROOT / "bench" / f"{kernel.program}.cpp").exists())
            for name in re.findall(r"\w+\.(?:\w+|\*)", kernel.what):
                self.assertTrue(list((ROOT / "include/strata/cpu").glob(name)), name)


if __name__ == "__main__":
    unittest.main()
