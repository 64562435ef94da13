"""Converts a weight file of Keras, PyTorch or Darknet into Strata's safetensors, with a probe beside it."""

import argparse
import json
import os
import signal
import sys

from strata_weights import __version__, architecture, common, darknet, networks, probe, pytorch, safetensors, training
from strata_weights.common import WeightError

EPILOG = """\
SOURCE is recognised by its content:
  Keras      legacy .h5 (weights or a whole model), Keras 3 .weights.h5 and .keras
  PyTorch    .safetensors with names like features.0.weight (OIHW, Linear as (out, in))
  Darknet    .weights with its .cfg beside it (or --cfg); batch normalization is folded in

OUT.safetensors receives float32 tensors named LAYER/WEIGHT (MODEL/LAYER/WEIGHT where a model is inside), convolution
kernels HWIO, and a provenance record in its metadata. Where the network is known (vgg16, vgg19, any Darknet chain) OUT.probe.json receives the activations that
every layer must show for a fixed input.

A whole Keras model (.keras, or .h5 of model.save) whose layers Strata has keeps its architecture: load_model opens OUT.safetensors,
compiled where the optimizer, the loss and the metrics that the model was compiled with are Strata's, too.
What Strata does not have is listed.

examples:
  bash weights/convert vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5 vgg16.safetensors
  bash weights/convert tiny.weights tiny_darknet.safetensors
  bash weights/convert mine.safetensors mine_strata.safetensors --flatten fc=128,5,5
"""


def read_source(path, options):
    """Recognises the file and reads it."""
    with open(path, "rb") as file:
        start = file.read(9)
    if start[:2] == b"PK":
        from strata_weights import hdf5
        return hdf5.read_archive(path)
    if start[:8] == b"\x89HDF\r\n\x1a\n":
        from strata_weights import hdf5
        return hdf5.read(path)
    if start[8:9] == b"{":
        return pytorch.read(path, options.layout)
    if path.endswith(".weights") or options.cfg:
        cfg = options.cfg or os.path.splitext(path)[0] + ".cfg"
        if not os.path.isfile(cfg):
            raise WeightError(f"{path}: a Darknet weight file needs its cfg, and {cfg} does not exist; say --cfg FILE")
        return darknet.read(path, cfg)
    raise WeightError(f"{path}: not a Keras HDF5 file, a .keras archive, a safetensors file or Darknet weights")


def rename(layers, map_file, source):
    """Applies --map: a JSON object {layer in SOURCE: layer in OUT}, or of single tensors, LAYER/WEIGHT."""
    try:
        with open(map_file, encoding="utf-8") as file:
            names = json.load(file)
    except (OSError, ValueError) as error:
        raise WeightError(f"{map_file}: cannot be read as JSON: {error}") from None
    if not isinstance(names, dict) or not all(map(common.is_path, names.values())):
        raise WeightError(f"{map_file}: expected a JSON object from layer names to layer names")
    tensors = {f"{layer}/{weight}" for layer, weights in layers.items() for weight in weights}
    if unknown := [name for name in names if name not in layers and name not in tensors]:
        raise WeightError(f"{map_file}: {source} has no layer {', '.join(unknown)}; it has {', '.join(layers)}")
    if wrong := [name for name in names if name not in layers and "/" not in names[name]]:
        raise WeightError(f"{map_file}: '{wrong[0]}' is a tensor, expected LAYER/WEIGHT as its new name")
    targets = [names.get(name, name) for name in layers]
    if len(set(targets)) != len(targets):
        raise WeightError(f"{map_file}: gives two layers the same name")
    result = {}
    for layer, weights in layers.items():
        for weight, tensor in weights.items():
            name = names.get(f"{layer}/{weight}") if f"{layer}/{weight}" not in layers else None
            target, weight = name.rsplit("/", 1) if name else (names.get(layer, layer), weight)
            common.add(result, target, weight, tensor, map_file)
    return result


def flatten_rows(layers, network, flatten, source):
    """Puts the rows of dense kernels that follow a Flatten into Keras's order (PyTorch sources only)."""
    if network is not None and not flatten:
        shapes = {"fc1": (512, 7, 7)} if "fc1" in layers else {}
    elif flatten == ["none"]:
        shapes = {}
    elif flatten:
        shapes = {}
        for item in flatten:
            layer, _, shape = item.partition("=")
            try:
                shapes[layer] = tuple(map(int, shape.split(",")))
            except ValueError:
                shapes[layer] = ()
            if layer not in layers or len(shapes[layer]) != 3 or min(shapes[layer]) < 1:
                raise WeightError(f"--flatten {item}: expected LAYER=CHANNELS,HEIGHT,WIDTH with a layer of {', '.join(layers)}")
    else:
        ranks = {tensors["kernel"].ndim for tensors in layers.values() if "kernel" in tensors}
        if ranks == {2, 4}:
            linear = [name for name, tensors in layers.items() if "kernel" in tensors and tensors["kernel"].ndim == 2]
            raise WeightError(f"{source}: PyTorch flattens channels first, Keras channels last, and the file does not tell which "
                              f"Linear follows a Flatten; say --flatten LAYER=CHANNELS,HEIGHT,WIDTH for it (of {', '.join(linear)}) "
                              "or --flatten none")
        shapes = {}
    for layer, shape in shapes.items():
        kernel = layers[layer].get("kernel")
        if kernel is None or kernel.ndim != 2:
            raise WeightError(f"--flatten {layer}: is not a dense layer")
        layers[layer]["kernel"] = pytorch.permute_flatten(kernel, *shape, f"{source}: {layer}/kernel")


def convert(options):
    """Does the work; returns (provenance, the network's name, path of the probe or None, what kind of model it is or None, notes)."""
    if not os.path.isfile(options.source):
        raise WeightError(f"{options.source}: no such file")
    if not options.output.endswith(".safetensors"):
        raise WeightError(f"{options.output}: the output's name must end in .safetensors")
    if not os.path.isdir(os.path.dirname(os.path.abspath(options.output))):
        raise WeightError(f"{options.output}: its folder does not exist")
    if os.path.exists(options.output) and os.path.samefile(options.source, options.output):
        raise WeightError(f"{options.output}: is the source itself")
    source = read_source(options.source, options)
    layers = rename(source.layers, options.map, options.source) if options.map else source.layers
    model, network, probe_input = options.model or "custom", source.network, None
    if network is not None:
        model = options.model or networks.darknet_name(network) or "custom"
        channels = layers[network[0]["name"]]["kernel"].shape[2] if network[0]["type"] == "conv2d" else 3
        probe_input = {"shape": [1, 96, 96, channels], "low": 0, "high": 1}
        if options.map:
            raise WeightError("--map: a Darknet file's layers are named by its cfg's order")
    else:
        wanted = options.model if options.model in networks.CONVOLUTIONS else None
        known = networks.identify(layers, source.named or bool(options.map), wanted, options.source)
        if known:
            model, network, probe_input, layers = known
            model = options.model or model
        if source.format.endswith("PyTorch layout"):
            flatten_rows(layers, network, options.flatten, options.source)

    tensors = {f"{layer}/{weight}": tensor for layer, weights in layers.items() for weight, tensor in weights.items()}
    size, digest = common.file_digest(options.source)
    provenance = {
        "source": {"file": os.path.basename(options.source), "format": source.format, "bytes": size, "sha256": digest},
        "converter": __version__,
        "layers": [{"name": layer, **{weight: list(tensor.shape) for weight, tensor in weights.items()}}
                   for layer, weights in layers.items()],
    }
    if source.used:
        provenance["used"] = [dict(zip(("file", "bytes", "sha256"), (os.path.basename(path), *common.file_digest(path))))
                              for path in source.used]

    probe_path, result = options.output.removesuffix(".safetensors") + ".probe.json", None
    if network is not None and not options.no_probe:
        result = probe.make(model, network, layers, tensors, probe_input)
    metadata = {"format": "strata-weights/1", "model": model, "provenance": json.dumps(provenance)}
    notes, unknown = list(source.notes), []
    if source.configuration and not options.map:
        whole, problems = architecture.of(source.configuration, list(layers))
        if whole:
            metadata["architecture"] = json.dumps(whole)
            settings, unknown = training.of(source.configuration.get("compile_config"), len(whole["config"].get("outputs", [0])))
            if settings:
                metadata["compile"] = json.dumps(settings)
        else:
            notes.append("the weights alone are converted, load_model cannot open them; Strata does not have: " + "; ".join(problems))
    with common.atomic_files(options.output, *([probe_path] if result else [])) as files:
        safetensors.write(files[0], tensors, metadata)
        if result:
            files[1].write(probe.dumps(result).encode())
        elif os.path.exists(probe_path):  # it belongs to the file that is being replaced
            os.unlink(probe_path)
    kind = "a compiled model" if "compile" in metadata else "a model" if "architecture" in metadata else None
    if unknown:
        kind += f" (not compiled, Strata does not have: {'; '.join(unknown)})"
    return provenance, model, probe_path if result else None, kind, notes


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="weights/convert", description=__doc__, epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="SOURCE", help="the weight file to convert")
    parser.add_argument("output", metavar="OUT.safetensors", help="the file to write")
    parser.add_argument("--model", help="the network's name; vgg16 and vgg19 are recognised, and checked when asked for")
    parser.add_argument("--cfg", help="Darknet: the cfg file (default: SOURCE with .cfg)")
    parser.add_argument("--layout", choices=("auto", "pytorch", "keras"), default="auto",
                        help="safetensors: whose names and axes they are (default: told by the names)")
    parser.add_argument("--map", metavar="FILE", help="a JSON object that renames layers, or single tensors: {\"in SOURCE\": \"in OUT\"}")
    parser.add_argument("--flatten", metavar="LAYER=C,H,W", action="append",
                        help="PyTorch: this Linear follows a Flatten of C channels of HxW; 'none' if none does")
    parser.add_argument("--no-probe", action="store_true", help="write no probe")
    parser.add_argument("--verbose", action="store_true", help="print where the weights come from and every layer, as JSON")
    options = parser.parse_args(arguments)
    try:
        provenance, model, probe_path, kind, notes = convert(options)
    except (WeightError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except MemoryError:
        print(f"error: {options.source}: not enough memory", file=sys.stderr)
        return 1
    if options.verbose:
        print(json.dumps(provenance, indent=2))
    for note in notes:
        print(f"note: {options.source}: {note}", file=sys.stderr)
    count, beside = len(provenance["layers"]), f"with {os.path.basename(probe_path)}" if probe_path else "no probe"
    kind = f"{kind}, " if kind else ""
    print(f"wrote {options.output}: {kind}{count} layers of {model} from {provenance['source']['format']}, {beside}", file=sys.stderr)
    return 0


def stop(signal_number, _):
    sys.exit(128 + signal_number)  # by way of every `finally`


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    sys.exit(main())
