"""docs/performance.md, its picture and its figures from what the race measured. A round counts with the fastest of its runs: what
other programs take from a machine makes runs slower, never faster."""

import json
import math
import statistics


def quartiles_of(values):
    return statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3


def quartiles(row):
    """[first quartile, median, third quartile] over the rounds of a row, in milliseconds."""
    return quartiles_of([min(times) for times in row["ms"]])


def ratio(rows, name):
    """How often Strata does the work while `name` does it once, quartiles over rounds, in which both ran within seconds."""
    found = {row["name"]: [min(times) for times in row["ms"]] for row in rows if "ms" in row}
    if "Strata" not in found or name not in found:
        return None
    return quartiles_of([theirs / ours for ours, theirs in zip(found["Strata"], found[name])])


PEERS = ("PyTorch", "Keras", "ONNX Runtime", "OpenVINO", "ncnn", "oneDNN", "Eigen", "OpenBLAS", "Pillow")


def read(paths):
    """One result of several files of the race; where cases are in more than one, the last counts."""
    found, cases = [], {}
    for path in paths:
        with open(path) as file:
            found.append(json.load(file))
        cases.update((case["name"], case) for case in found[-1]["cases"])
    machines = [one["machine"] for one in found]
    return {"date": found[-1]["date"], "cases": list(cases.values()),
            "machine": {**machines[-1], "load": max(machine["load"] for machine in machines),
                        "peaks": {key: max(machine["peaks"].get(key, 0) for machine in machines) for key in machines[-1]["peaks"]}}}


def rows_of(case):
    return {row["name"]: row for row in case["rows"]}


def measured(result):
    return [case for case in result["cases"] if "ms" in rows_of(case).get("Strata", {})]


def table(cases, peers, head, cell):
    lines = [f"| {' | '.join([*head, *peers])} |", "| --- " * (len(head) + len(peers)) + "|"]
    for case in cases:
        lines.append(f"| {' | '.join([*cell(case), *(peer_cell(case, peer) for peer in peers)])} |")
    return "\n".join(lines)


def peer_cell(case, peer):
    found = ratio(case["rows"], peer)
    if found is None:
        return ""
    low, median, high = found
    return f"{'~' * (high - low > median / 4)}{median:.2f}"


def milliseconds(ms):
    return f"{ms:,.0f}" if ms >= 100 else f"{ms:.3g}"


def speed(case):
    median = quartiles(rows_of(case)["Strata"])[1]
    return [case["name"].split(": ")[-1].removesuffix(f", {case['precision']}").removeprefix("training step of "),
            milliseconds(median)]


def with_images(case):
    name, ms = speed(case)
    return [name, ms, f"{1e3 * case['images'] / quartiles(rows_of(case)['Strata'])[1]:,.1f}"]


def with_gflops(case):
    name, ms = speed(case)
    return [name, ms, f"{gflops(case, rows_of(case)['Strata']):,.0f}"]


def gflops(case, row):
    return case["flops"] / quartiles(row)[1] / 1e6


def fastest_peer(case):
    rows = [row for row in case["rows"] if row["name"] != "Strata" and "ms" in row]
    return min(rows, key=lambda row: quartiles(row)[1], default=None)


def memory(cases, peers):
    lines = [f"| MB | Strata | {' | '.join(peers)} |", "| --- " * (len(peers) + 2) + "|"]
    for case in cases:
        rows = rows_of(case)
        lines.append(f"| {case['name']} | " + " | ".join(f"{rows[name]['peak_mb']:,}" if "ms" in rows.get(name, {}) else ""
                                                     for name in ("Strata", *peers)) + " |")
    return "\n".join(lines)


def taking_part(cases, peers):
    return [peer for peer in peers if any("ms" in rows_of(case).get(peer, {}) for case in cases)]


def left_out(cases):
    """Whoever did not take part, and why: a reason once, however many cases it kept somebody from."""
    out = {}
    for case in cases:
        for row in case["rows"]:
            if "why" in row:
                out.setdefault((row["name"], row["why"]), []).append(case["name"])
    return [f"- {name}: {why} ({names[0] if len(names) == 1 else f'{len(names)} cases'})" for (name, why), names in out.items()]


def markdown(result):
    cases, machine = measured(result), result["machine"]
    present = {row["name"]: row["version"] for case in cases for row in case["rows"] if "ms" in row}
    peers = [name for name in PEERS if name in present]
    wide = [quartiles(row) for case in cases for row in case["rows"] if "ms" in row]
    spread = statistics.median((high - low) / median for low, median, high in wide)
    worst = max((row["error"] for case in cases if case["precision"] == "float32" for row in case["rows"] if "ms" in row), default=0)
    networks = [case for case in cases if case["task"] == "inference" and not case["name"].startswith("ops")]
    data = [case for case in cases if case["task"] == "data"]
    bf16_one_dnn = ", oneDNN's primitives" if "oneDNN" in present else ""
    one_dnn = "\noneDNN has a primitive for each layer, with its activation, and tensors in nhwc." if "oneDNN" in present else ""
    products = [name for name in ("Eigen", "OpenBLAS") if name in present]
    laid_out = f"""
{' and '.join(products)} multiply matrices: patches under kernels larger than 1x1, and strides, are laid out as rows first
(im2col), a picture at a time; bias and relu follow.""" if products else ""
    debian = f", {' and '.join(products)} from Debian" if products else ""
    sections = [
        ("Networks, float32", "150x150 pixels, from a tensor to a tensor. PyTorch runs eagerly in channels_last, Keras as a `tf.function`,\n"
         "OpenVINO with the latency hint, ncnn one picture after the other (it has no batches), all with packed weights where they offer it by default." + one_dnn,
         [case for case in networks if case["precision"] == "float32"], ["", "ms", "images/s"], with_images),
        ("Networks, bfloat16", "Each library's own: Strata's `mixed_bfloat16`, Keras's policy of that name, PyTorch's network in bfloat16,\n"
         f"OpenVINO's hint, ncnn's storage{bf16_one_dnn}.",
         [case for case in networks if case["precision"] == "bfloat16"], ["", "ms", "images/s"], with_images),
        ("Training steps, float32", "Batches of 20 pictures of 150x150 pixels: forward, backward and RMSprop.",
         [case for case in cases if case["task"] == "training"], ["", "ms", "images/s"], with_images),
        ("Single layers, float32", "With bias and relu, four pictures (dense: rows are in the name); `by 2` is the stride." + laid_out,
         [case for case in cases if case["name"].startswith("ops")], ["", "ms", "GFLOP/s"], with_gflops),
        ("Pictures from files", f"""{'; '.join(dict.fromkeys(case['pictures'] for case in data))}: decoded and resized to 150x150,
without augmentation or with all of the book's (turned, moved, sheared, zoomed, flipped), in batches of 20. Strata and Keras's
`image_dataset_from_directory`, the peer of the second row, have {machine['threads']} threads, Keras's `ImageDataGenerator` and Pillow one, as
they are used. Decoders of JPEG round in ways of their own: results without augmentation differ by
{max((row['error'] for case in data for row in case['rows'] if 'ms' in row), default=0):.0e} at most; from the second epoch on Strata has kept what it decoded.""",
         data, ["", "ms", "pictures/s"], with_images)]
    busy = f"""The machine did other work meanwhile (a load of {machine['load']:.1f} when the race began), so milliseconds may be
larger than on an idle one. Ratios hold better: """ if machine["load"] >= 1 else "How ratios are made: "
    shown = ("amx", "avx2", "avx512f", "avx512_bf16", "fma", "asimd")
    flags = ", ".join(flag for flag in machine["flags"] if flag.startswith(shown)) or "no vector flags"
    parts = [f"""# On a CPU

Written by `bash bench/run --peers --page` from what `bash bench/run --peers` measured on {result['date']}: {machine['cpu']},
{machine['cpus']} CPUs, {machine['threads']} threads for everybody, {machine['memory_gb']} GB, {machine['system']}; \
{flags}.
{', '.join(f'{name} {present[name]}' for name in ('Strata', *peers) if name in present)}.

{busy}contenders take turns of some tenths of a second, all others are stopped meanwhile, a turn
counts with its fastest run, and times and ratios are medians over turns. The middle half of a contender's turns typically
spans {100 * spread:.0f} % of its median. All compute the same network with the same random weights; results in float32 differ by
{worst:.0e} at most (relative L2; in training, the losses of three steps).

A column with a library's name says how many times as long as Strata it takes; **below 1 it is faster**. Where there is a ~, ratios
varied: the middle half of the turns spans more than a quarter of what is shown. Libraries whose threads wait for each other at every
layer suffer most where the machine does other work. Rows were measured minutes apart: compare within a row, not between rows."""]
    for title, text, chosen, head, cell in sections:
        if chosen:
            parts.append(f"## {title}\n\n{text}\n\n{table(chosen, taking_part(chosen, peers), head, cell)}")
    if on_roofline(result):
        flops, transfer = (machine["peaks"][key] / 1e9 for key in ("flops", "bytes"))
        parts.append(f"""## The roofline

![Work per second against work per byte](performance.svg)

Against the work that is done with each byte that the layers read and write, in float32: what Strata reaches, the fastest other
library for the same work, and the machine's limits as Strata's own kernels show them, {flops:,.0f} GFLOP/s and {transfer:,.0f} GB/s with
{machine['threads']} threads. Work is counted as plain sums have it, so Winograd's algorithm may pass the limit.""")
    large = [case for case in cases if "batch 20" in case["name"]]
    if large:
        parts.append("## Peak memory\n\nOf the whole process, libraries and Python included; Strata's is a program of its own.\n\n" +
                     memory(large, taking_part(large, peers)))
    if left_out(result["cases"]):
        parts.append("## Left out\n\n" + "\n".join(left_out(result["cases"])))
    parts.append(f"""## Elsewhere

`bash bench/run --peers` repeats all of this on your machine, `bash bench/run --peers FILTER` a part (`--list`, `--quick`,
`--threads 1`); the libraries come from PyPI into an environment of their own{debian}. `bench/race/race.py` says how a contender
of yours can take part: a program of some twenty lines.""")
    return "\n\n".join(parts) + "\n"


# ---- the picture ----------------------------------------------------------------------------------------------

STYLE = """text{font:12px sans-serif;fill:#444}.small{font-size:10px}.axis{stroke:#888;fill:none}.grid{stroke:#8883;fill:none}
.roof{stroke:#d97706;stroke-width:2;fill:none}.ours{fill:#2563eb}.theirs{fill:none;stroke:#888;stroke-width:1.5}.pair{stroke:#8886}
@media(prefers-color-scheme:dark){text{fill:#ccc}.ours{fill:#60a5fa}}"""
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 860, 440, 60, 20, 240, 50


def on_roofline(result):
    """The cases that it shows; none where the machine's limits are not known."""
    return [case for case in measured(result)
            if result["machine"]["peaks"] and case["task"] == "inference" and case["precision"] == "float32"]


def roofline(result):
    """Both axes are logarithmic; a line joins Strata and the fastest other library."""
    peak, transfer = (result["machine"]["peaks"][key] / 1e9 for key in ("flops", "bytes"))
    points = [(case["flops"] / case["bytes"], gflops(case, rows_of(case)["Strata"]), case) for case in on_roofline(result)]
    rates = [rate for _, rate, _ in points] + [gflops(case, fastest_peer(case)) for _, _, case in points if fastest_peer(case)]
    ridge = peak / transfer
    intensities = [intensity for intensity, _, _ in points] + [ridge]
    x_low, x_high = math.floor(math.log10(min(intensities) / 1.5)), math.ceil(math.log10(max(intensities)))
    y_low, y_high = math.floor(math.log10(min(*rates, peak / 1.5))), math.log10(1.6 * max(*rates, peak))

    def x_of(value):
        return round(LEFT + (math.log10(value) - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT), 1)

    def y_of(value):
        return round(HEIGHT - BOTTOM - (math.log10(value) - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM), 1)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
           f'<title>Roofline</title><style>{STYLE}</style>']
    for power in range(x_low, x_high + 1):
        x = x_of(10 ** power)
        out.append(f'<path class="grid" d="M{x} {TOP}V{HEIGHT - BOTTOM}"/>'
                   f'<text x="{x}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{10 ** power:g}</text>')
    for power in range(y_low, math.floor(y_high) + 1):
        y = y_of(10 ** power)
        out.append(f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>'
                   f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{10 ** power:g}</text>')
    start = max(10 ** x_low, 10 ** y_low / transfer)
    out.append(f'<path class="axis" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>'
               f'<path class="roof" d="M{x_of(start)} {y_of(start * transfer)}L{x_of(ridge)} {y_of(peak)}H{WIDTH - RIGHT}"/>'
               f'<text x="{WIDTH - RIGHT}" y="{y_of(peak) - 6}" text-anchor="end" class="small">{peak:,.0f} GFLOP/s</text>')
    taken = []
    for number, (intensity, rate, case) in enumerate(sorted(points, key=lambda point: -point[1])):
        x, y, peer = x_of(intensity), y_of(rate), fastest_peer(case)
        if peer:
            there = y_of(gflops(case, peer))
            out.append(f'<path class="pair" d="M{x} {y}V{there}"/><circle class="theirs" cx="{x}" cy="{there}" r="3.5"/>')
        name = case["name"].removeprefix("ops: ").removesuffix(", float32")
        letter, column, line = chr(ord("a") + number), x + 6, y + 3.5
        while any(abs(line - other) < 10 and abs(column - place) < 8 for other, place in taken):
            line += 2
        taken.append((line, column))
        out.append(f'<circle class="ours" cx="{x}" cy="{y}" r="4"/><text class="small" x="{column:.1f}" y="{line:.1f}">{letter}</text>'
                   f'<text class="small" x="{WIDTH - RIGHT + 20}" y="{TOP + 10 + 16 * number}">{letter}</text>'
                   f'<text class="small" x="{WIDTH - RIGHT + 34}" y="{TOP + 10 + 16 * number}">{name}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">FLOP per byte</text>'
               f'<text x="14" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 14 {HEIGHT / 2})">GFLOP/s</text>'
               f'<circle class="ours" cx="{LEFT + 16}" cy="{TOP + 10}" r="4"/><text x="{LEFT + 26}" y="{TOP + 14}">Strata</text>'
               f'<circle class="theirs" cx="{LEFT + 16}" cy="{TOP + 28}" r="3.5"/>'
               f'<text x="{LEFT + 26}" y="{TOP + 32}">the fastest other library</text></svg>')
    return "\n".join(out) + "\n"


def write(paths, folder):
    result = read(paths)
    if not measured(result):
        raise SystemExit(f"error: no case in {', '.join(paths)} has figures of Strata")
    for case in result["cases"]:
        for row in case["rows"]:
            if "ms" in row:
                row["ms"] = [[min(times)] for times in row["ms"]]
    with open(f"{folder}/performance.json", "w") as file:
        json.dump(result, file)
    with open(f"{folder}/performance.md", "w") as file:
        file.write(markdown(result))
    if on_roofline(result):
        with open(f"{folder}/performance.svg", "w") as file:
            file.write(roofline(result))
