"""Runs the tests of this folder whose names contain the argument; the last line counts them."""

import pathlib
import sys
import unittest

here = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(here), str(here.parents[1] / "weights")]
loader = unittest.TestLoader()
if len(sys.argv) > 1:
    loader.testNamePatterns = [f"*{part}*" for part in sys.argv[1:]]
result = unittest.TextTestRunner(stream=sys.stdout).run(loader.discover(str(here)))
failed = len({getattr(test, "test_case", test).id() for test, _ in result.failures + result.errors})
for test, reason in result.skipped:
    print(f"skip: {test.id()}: {reason}")
print(f"{result.testsRun - failed - len(result.skipped)} passed, {failed} failed, {len(result.skipped)} skipped")
sys.exit(0 if result.testsRun and not failed else 1)
