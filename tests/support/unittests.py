"""Runs the Python tests of a folder whose names contain an argument: unittests.py FOLDER [NAME PART...]. The last line
counts them."""

import pathlib
import sys
import unittest

folder = pathlib.Path(sys.argv[1]).resolve()
sys.path[:0] = [str(folder), str(pathlib.Path(__file__).resolve().parents[2] / "weights")]
loader = unittest.TestLoader()
if len(sys.argv) > 2:
    loader.testNamePatterns = [f"*{part}*" for part in sys.argv[2:]]
result = unittest.TextTestRunner(stream=sys.stdout).run(loader.discover(str(folder)))
failed = len({getattr(test, "test_case", test).id() for test, _ in result.failures + result.errors})
for test, reason in result.skipped:
    print(f"skip: {test.id()}: {reason}")
print(f"{result.testsRun - failed - len(result.skipped)} passed, {failed} failed, {len(result.skipped)} skipped")
sys.exit(0 if result.testsRun and not failed else 1)
