import os
import pathlib
import subprocess
import sys
import unittest

import runner

ROOT = pathlib.Path(__file__).resolve().parents[2]
CASES = {"core/parallel_test": [("a pool runs every task once", "[core]")],
         "training/fit_test": [("fit can stop in the middle of an epoch, and features come again", "[fit][slow]")],
         "training/metrics_test": [("AUC is Keras's", "[metrics]")]}


class Filter(unittest.TestCase):
    def choose(self, text):
        return runner.choose(text, list(CASES), ["format", "docs"], CASES.__getitem__)

    def test_names_of_programs_and_steps_come_first(self):
        self.assertEqual(self.choose("training/"), (["training/fit_test", "training/metrics_test"], [], []))
        self.assertEqual(self.choose("form"), ([], ["format"], []))
        self.assertEqual(self.choose(""), (list(CASES), ["format", "docs"], []))

    def test_only_programs_with_such_a_case_are_built(self):
        self.assertEqual(self.choose("Feature"), (["training/fit_test"], [], ["*Feature*"]))
        self.assertEqual(self.choose("[metrics]"), (["training/metrics_test"], [], ["[metrics]"]))
        self.assertEqual(self.choose("nowhere"), ([], [], ["*nowhere*"]))

    def test_what_is_near(self):
        def near(text):
            return runner.near(text, list(CASES), ["format", "packaging"], CASES.__getitem__)

        self.assertEqual(near("paralel")[0], "core/parallel_test")
        self.assertEqual(near("[metric]")[0], "[metrics]")
        self.assertEqual(near("packagin")[0], "packaging")
        self.assertEqual(near("qqqqqqqq"), ["core/", "training/"])

    def test_cases_are_read_from_the_sources(self):
        previous = os.getcwd()
        self.addCleanup(os.chdir, previous)
        os.chdir(ROOT)
        found = runner.cases("io/svg_test")
        self.assertIn(("ema is the book's smooth_curve", "[io][svg]"), found)
        self.assertEqual(len(found), (ROOT / "tests/io/svg_test.cpp").read_text().count("TEST_CASE("))
        self.assertIn(("Layers compute what Keras computes, on the reference device", "[layers][golden]"),
                      runner.cases("layers/golden_layers_test"))

    def test_nothing_is_built_for_a_name_that_there_is_not(self):
        done = subprocess.run([sys.executable, "-B", "tests/support/runner.py", "convolutoin_study"], cwd=ROOT, text=True,
                              capture_output=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, "")
        self.assertIn("no test matches 'convolutoin_study'; near it: examples/convolution_study_test", done.stderr)


if __name__ == "__main__":
    unittest.main()
