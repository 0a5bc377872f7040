"""Writes a torch.nn.Sequential as the two files that doppel import takes: NAME.safetensors and NAME.json.

    python bench/peers/export_pytorch.py judge.pt --kind classifier --image 1x28x28 --labels 0,1,2,3,4,5,6,7,8,9 -o judge
    doppel import judge.safetensors --layers judge.json -o judge.doppel

judge.pt is what torch.save(module, path) wrote. Layers are those that engine/models/image/import.h says: Conv2d, ConvTranspose2d,
Linear, MaxPool2d, ReLU, Flatten, Unflatten; Dropout does nothing once learned and is left out. A decoder that is told labels
is saved as (module, embedding), the torch.nn.Embedding of labels that is added to what the first layer gives.
"""

import argparse
import json
import pathlib

import numpy as np
from safetensors.numpy import save_file


def single(value, what):
    """A number that a layer has for both directions."""
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if pair[0] != pair[1]:
        raise ValueError(f"{what} {value}: is not the same in both directions")
    return int(pair[0])


def convolution(layer, kind):
    if layer.groups != 1 or single(layer.dilation, "dilation") != 1 or layer.padding_mode != "zeros":
        raise ValueError(f"{layer}: groups, dilation and other padding than zeros are not known")
    return {"type": kind, "inputs": layer.in_channels, "outputs": layer.out_channels,
            "kernel": single(layer.kernel_size, "kernel_size"), "stride": single(layer.stride, "stride"),
            "padding": single(layer.padding, "padding")}


def describe(layer):
    """A layer as doppel's model files list it, or None where it does nothing."""
    match type(layer).__name__:
        case "Conv2d":
            return convolution(layer, "conv2d")
        case "ConvTranspose2d":
            added = layer.output_padding
            return {**convolution(layer, "conv_transpose2d"),
                    "output_padding": list(added) if isinstance(added, (tuple, list)) else [added, added]}
        case "Linear":
            return {"type": "dense", "inputs": layer.in_features, "outputs": layer.out_features}
        case "MaxPool2d":
            return {"type": "max_pool2d", "size": single(layer.kernel_size, "kernel_size")}
        case "ReLU":
            return {"type": "relu"}
        case "Flatten":
            return {"type": "flatten"}
        case "Unflatten":
            channels, height, width = layer.unflattened_size
            return {"type": "unflatten", "channels": channels, "height": height, "width": width}
        case "Dropout" | "Dropout2d" | "Identity":
            return None
    raise ValueError(f"{layer}: is no layer that doppel import knows; a classifier gives logits, without a softmax")


def values(parameter):
    # Through a list: torch and NumPy need not be built for each other.
    return np.array(parameter.detach().cpu().tolist(), np.float32)


def export(module, kind, image, label_names, path, likelihood="bernoulli", label=None):
    """Writes path.safetensors and path.json. image is (channels, height, width)."""
    layers, tensors = [], {}
    for layer in module:
        description = describe(layer)
        if description is None:
            continue
        for name, parameter in layer.named_parameters():
            tensors[f"{len(layers)}.{name}"] = values(parameter)
        layers.append(description)
    if label is not None:
        tensors["label.weight"] = values(label.weight)
    description = {"kind": kind, "image": dict(zip(("channels", "height", "width"), image)), "label_names": label_names,
                   "layers": layers}
    if kind == "decoder":
        description["likelihood"] = likelihood
    save_file(tensors, f"{path}.safetensors")
    pathlib.Path(f"{path}.json").write_text(json.dumps(description, indent=1) + "\n")


def main():
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module")
    parser.add_argument("--kind", choices=("classifier", "decoder"), required=True)
    parser.add_argument("--image", required=True, metavar="CHANNELSxHEIGHTxWIDTH")
    parser.add_argument("--labels", default="", help="names, between commas")
    parser.add_argument("--likelihood", choices=("bernoulli", "logistic"), default="bernoulli")
    parser.add_argument("-o", "--output", required=True, metavar="NAME")
    options = parser.parse_args()
    loaded = torch.load(options.module, map_location="cpu")
    module, label = loaded if isinstance(loaded, (tuple, list)) else (loaded, None)
    image = [int(extent) for extent in options.image.split("x")]
    export(module, options.kind, image, options.labels.split(",") if options.labels else [], options.output,
           options.likelihood, label)


if __name__ == "__main__":
    main()
