"""What bench/tune.py has for each kernel, against the programs as built: `bash tests/run bench`."""

import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "bench"))

import tune


def lines_of(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout.splitlines()


class TableTest(unittest.TestCase):
    def test_every_kernel_has_benchmarks(self):
        for name, kernel in tune.KERNELS.items():
            rows = lines_of(ROOT / "build/bench" / kernel.program, "--benchmark_list_tests")
            self.assertTrue(any(re.search(kernel.rows, row) for row in rows), name)

    def test_every_kernel_has_conformance_cases(self):
        program = ROOT / "build" / tune.CHECK
        lines = lines_of(program, "The names of all conformance cases*")
        tests = lines_of(program, "--list-test-names-only", "*")
        found = {name: {line for line in lines if re.search(kernel.cases, line)} for name, kernel in tune.KERNELS.items()}
        for name, kernel in tune.KERNELS.items():
            self.assertGreater(len(found[name]), 20, name)
            for pattern in (tune.CHECK_NAME, *kernel.tests):
                self.assertTrue(any(test.startswith(pattern[:-1]) for test in tests), f"{name}: {pattern}")
        # Every convolution is a kernel's, whatever its groups.
        convolutions = {line for line in lines if line.startswith("conv2d")}
        self.assertEqual(found["direct"] | found["depthwise"] | found["grouped"], convolutions)
        self.assertFalse(found["depthwise"] & found["grouped"])


if __name__ == "__main__":
    unittest.main()
