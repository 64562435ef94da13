"""What tests/gpu/run makes of programs that pass, fail, end early or are missing, without a card: `bash tests/run runner`."""

import os
import re
import stat
import tempfile
import unittest

import report
import runner

PROGRAM = """#!/bin/sh
printf '{cases}' > "$STRATA_TEST_REPORT"
echo "loss                       3 cases, relative error at most 4.9e-08 (mean, weighted)"
exit {status}
"""


class RunTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(setattr, runner, "BUILD", runner.BUILD)
        self.addCleanup(setattr, runner, "LOGS", runner.LOGS)
        runner.BUILD = runner.LOGS = folder.name
        os.makedirs(f"{folder.name}/tests/gpu")

    def run_program(self, cases, status):
        path = f"{runner.BUILD}/tests/gpu/some_test"
        if cases is not None:
            with open(path, "w") as file:
                file.write(PROGRAM.format(cases=cases, status=status))
            os.chmod(path, stat.S_IRWXU)
        run, result = runner.Runner(1), {"conformance": []}
        runner.run_test(run, ("some", "some_test", []), result)
        return run.steps[0], result["conformance"]

    def test_passes(self):
        step, rows = self.run_program("passed\\tone\\t\\nskipped\\ttwo\\tno card\\nend\\n", 0)
        self.assertEqual((step["status"], step["cases"], step["why"]), ("passed", 2, "a case skipped: no card"))
        self.assertEqual([(row["primitive"], row["cases"], row["error"]) for row in rows], [("loss", 3, 4.9e-8)])

    def test_fails(self):
        for cases, status in (("failed\\tone\\t\\nend\\n", 1), ("passed\\tone\\t\\n", 0), ("passed\\tone\\t\\nend\\n", 3)):
            self.assertEqual(self.run_program(cases, status)[0]["status"], "failed", cases)

    def test_skips(self):
        step, _ = self.run_program("skipped\\tone\\tno card\\nend\\n", 0)
        self.assertEqual((step["status"], step["why"]), ("skipped", "no card"))

    def test_misses(self):
        self.assertEqual(self.run_program(None, 0)[0]["why"], "was not built")


class SectionsTest(unittest.TestCase):
    def test_names_every_section(self):
        with open(f"{os.path.dirname(os.path.abspath(__file__))}/../support/device_training.cpp") as file:
            self.assertEqual(re.findall(r'SECTION\("(.+)"\)', file.read()), list(runner.MODEL_SECTIONS))


class ReportTest(unittest.TestCase):
    def test_keeps_what_a_stopped_benchmark_wrote(self):
        written = '{"context": {}, "benchmarks": [{"name": "a/real_time", "images/s": 2.5}, {"name": "b/real'
        self.assertEqual(report.benchmark_rows(written), [{"name": "a", "unit": "images/s", "rate": 2.5}])


if __name__ == "__main__":
    unittest.main()
