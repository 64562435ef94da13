"""What the outputs of programs say, and the report made of it. `python3 tests/gpu/report.py report.json` prints the tables."""

import json
import re
import sys


def tail(text, lines=40):
    return "\n".join(text.splitlines()[-lines:])


def conformance_rows(output):
    """A line of the conformance suite per primitive."""
    pattern = r"^(\S.*?) +(\d+) cases, relative error at most (\S+) \((.*)\)$"
    return [{"primitive": name, "cases": int(cases), "error": float(error), "worst": worst}
            for name, cases, error, worst in re.findall(pattern, output, re.M)]


def sanitizer_errors(output):
    """How many errors compute-sanitizer saw, also where it was stopped before it summed them up."""
    summaries = re.findall(r"ERROR SUMMARY: (\d+) error|RACECHECK SUMMARY: (\d+) hazard", output)
    if summaries:
        return sum(int(a or b) for a, b in summaries)
    return len(re.findall(r"^=+ (?:Invalid|Error|.*[Rr]ace reported|.*hazard detected|Program hit)", output, re.M))


def benchmark_rows(output):
    """Google Benchmark's JSON; of a program that was stopped, what it had written."""
    rows = []
    begin = output.find('"benchmarks": [')
    for text in re.findall(r"\{[^{}]*\}", output[begin:]) if begin >= 0 else []:
        try:
            row = json.loads(text)
        except ValueError:
            continue
        name = row["name"].removesuffix("/real_time")
        if row.get("error_occurred"):
            rows.append({"name": name, "error": row.get("error_message", "")})
            continue
        for unit in ("images/s", "calls/s"):
            if unit in row:
                rows.append({"name": name, "unit": unit, "rate": row[unit]})
    return rows


def last_json(output):
    """The object that a program printed after other text."""
    begin = output.find("\n{") + 1 if not output.startswith("{") else 0
    try:
        return json.loads(output[begin:])
    except ValueError:
        return {}


def merge(benchmarks, rows, who):
    """Adds rates by name; of several rounds and settings the best counts."""
    known = {entry["name"]: entry for entry in benchmarks}
    for row in rows:
        if "rate" not in row:
            continue
        if row["name"] not in known:
            known[row["name"]] = {"name": row["name"], "unit": row["unit"]}
            benchmarks.append(known[row["name"]])
        entry = known[row["name"]]
        if row["rate"] > entry.get(who, 0):
            entry[who] = row["rate"]
            if "setting" in row:
                entry["setting"] = row["setting"]


def relative(a, b):
    return abs(a - b) / max(abs(b), 1e-12)


def compare_workflow(name, runs):
    """How far the runs on cuda are from that on cpu, and how long each took."""
    cpu = runs["cpu"]
    entry = {"name": name, "epochs": len(cpu["history"]), "first_loss_fp32": float("nan"), "runs": {}}
    for variant, run in runs.items():
        phases = run["metrics"]["phases"]
        entry["runs"][variant] = {"loss": [row["loss"] for row in run["history"]],
                                  "val_loss": [row.get("val_loss") for row in run["history"]],
                                  "test_loss": run["metrics"]["test"]["loss"],
                                  "test_accuracy": run["metrics"]["test"]["accuracy"],
                                  "seconds": {phase: figure["seconds"] for phase, figure in phases.items()},
                                  "images_per_second": {phase: figure["images_per_second"] for phase, figure in phases.items()}}
    for variant, key in (("cuda", "first_loss"), ("cuda without TF32", "first_loss_fp32")):
        if variant in runs:
            entry[key] = relative(runs[variant]["history"][0]["loss"], cpu["history"][0]["loss"])
    entry["test_accuracy"] = abs(runs["cuda"]["metrics"]["test"]["accuracy"] - cpu["metrics"]["test"]["accuracy"])
    return entry


def table(header, rows):
    if not rows:
        return ""
    lines = ["| " + " | ".join(map(str, cells)) + " |" for cells in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines) + "\n"


def number(value, form="{:,.1f}"):
    return "" if value is None else form.format(value)


def closing(result):
    """How the whole ended: what failed and what was skipped, then the counts."""
    steps = result.get("steps", [])
    lines = [] if result["machine"].get("cards") else ["there is no NVIDIA card (nvidia-smi lists none): nothing was run on one"]
    for status in ("failed", "skipped"):
        lines += [f"{status}: {step['step']}: {step['name']}: {step.get('why', '')}" for step in steps if step["status"] == status]
    counts = [f"{sum(step['status'] == status for step in steps)} {status}" for status in ("passed", "failed", "skipped")]
    return "\n".join([*lines, ", ".join(counts)])


def markdown(result):
    machine = result["machine"]
    cards = machine.get("cards", [])
    named = ", ".join(f"{card['name']} ({card['memory']}, compute capability {card['compute_capability']})" for card in cards)
    rows = [("card", named or "none"), ("driver", cards[0]["driver"] if cards else "none")]
    rows += [(key, machine[key]) for key in ("cuda", "cudnn", "torch", "cpus", "date") if machine.get(key)]
    rows.append(("seconds in all", result.get("seconds", "")))
    parts = ["# The CUDA device on a card\n", table(("", ""), rows)]

    if result["conformance"]:
        parts += ["## Conformance\n", "Relative L2 error against the reference in double; at most 1e-5, with TF32 2e-3.\n",
                  table(("primitive", "cases", "worst error", "in", "part"),
                        [(row["primitive"], row["cases"], f"{row['error']:.1e}", row["worst"], row["part"]) for row in result["conformance"]])]
    if result["workflows"]:
        rows = []
        for entry in result["workflows"]:
            for variant, run in entry["runs"].items():
                rows.append((entry["name"], variant, " ".join(f"{loss:.4f}" for loss in run["loss"]),
                             f"{relative(run['loss'][0], entry['runs']['cpu']['loss'][0]):.1e}", f"{run['test_accuracy']:.4f}",
                             " ".join(f"{phase} {seconds:.2f}" for phase, seconds in run["seconds"].items())))
        parts += ["## Workflows\n", table(("example", "device", "loss per epoch", "first epoch's against cpu", "test accuracy", "seconds"), rows)]
    if result["benchmarks"]:
        rows = []
        for entry in result["benchmarks"]:
            ours, theirs = entry.get("strata"), entry.get("torch")
            rows.append((entry["name"], entry["unit"], number(ours), number(theirs), entry.get("setting", ""),
                         number(ours / theirs if ours and theirs else None, "{:.2f}")))
        parts += ["## Speed\n", "PyTorch in channels_last, the better of cudnn.benchmark on and off.\n",
                  table(("benchmark", "unit", "Strata", "PyTorch", "cudnn.benchmark", "Strata / PyTorch"), rows)]
    parts += ["## Steps\n", table(("step", "name", "status", "seconds", ""),
                                  [(s["step"], s["name"], s["status"], s["seconds"], s.get("why", "").replace("|", "/"))
                                   for s in result.get("steps", [])])]
    for step in result.get("steps", []):
        if step["status"] == "failed" and step.get("output"):
            parts.append(f"### {step['step']}: {step['name']}\n\n```\n{step['output']}\n```\n")
    return "\n".join(parts) + "\n" + closing(result) + "\n"


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        print(markdown(json.load(file)))
