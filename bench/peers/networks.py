"""The networks of images beside PyTorch and ONNX Runtime: the same layers, batches and single precision (bfloat16 where a
line says so), one core, in turns, by the processor's time (a busy machine slows both, but as much).

    /usr/bin/python3 bench/peers/networks.py [--rounds 3] [--json FILE]

PyTorch is Debian's (apt-get install python3-torch), so this runs under Debian's Python; ONNX Runtime is taken from
.deps-peers. Either may be missing: its lines are left out. doppel's side is build/release/bench/bench_networks.

make      images of a VAE: normals, decoder, bytes. PyTorch: the same, eagerly. ONNX Runtime: the decoder alone.
classify  the CNN's probabilities of images.
train     a step of Adam at 128 images; ONNX Runtime does not train.
"""

import common

common.pin_to_one_core()

import argparse
import glob
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy

sys.path += glob.glob(str(common.REPOSITORY / ".deps-peers/lib/python3*/site-packages"))
try:
    import torch
except ImportError:
    torch = None
try:
    import onnx.helper
    import onnx.numpy_helper
    import onnxruntime
except ImportError:
    onnxruntime = None

LEVELS, LATENT, HIDDEN, CLASSES = 784, 24, 512, 10
TRAINED_ROWS, CLASSIFIED_ROWS, MADE_ROWS = 128, 256, 1024  # as in bench/networks.cpp
BENCH = common.REPOSITORY / "build/release/bench/bench_networks"
random = numpy.random.default_rng(1)


# ---- layers, as (kind, weight, bias) and plain names; weights as PyTorch has them

def dense(inputs, outputs):
    weight = random.standard_normal((outputs, inputs)) * (2 / inputs) ** 0.5
    return ("dense", weight.astype(numpy.float32), numpy.zeros(outputs, numpy.float32))


def convolution(kind, inputs, outputs, kernel):
    shape = (outputs, inputs, kernel, kernel) if kind == "conv" else (inputs, outputs, kernel, kernel)
    weight = random.standard_normal(shape) * (2 / (inputs * kernel * kernel)) ** 0.5
    return (kind, weight.astype(numpy.float32), numpy.zeros(outputs, numpy.float32))


CLASSIFIER = [convolution("conv", 1, 32, 3), "pool", "relu", convolution("conv", 32, 64, 3), "pool", "relu", "flatten",
              dense(64 * 7 * 7, 128), "relu", dense(128, CLASSES), "softmax"]
DECODERS = {  # after the first dense layer, to which the label's embedding is added
    "dense": ["relu", dense(HIDDEN, HIDDEN), "relu", dense(HIDDEN, LEVELS)],
    "convolutional": ["relu", dense(HIDDEN, HIDDEN), "relu", dense(HIDDEN, 64 * 7 * 7), "relu", "unflatten",
                      convolution("transposed", 64, 32, 4), "relu", convolution("transposed", 32, 1, 4)],
}
ENCODERS = {  # up to the first dense layer, and from its ReLU on
    "dense": ([], LEVELS),
    "convolutional": ([convolution("conv", 1, 32, 4), "relu", convolution("conv", 32, 64, 4), "relu", "flatten"], 64 * 7 * 7),
}


# ---- PyTorch

def torch_layers(layers):
    made = []
    for layer in layers:
        if isinstance(layer, str):
            made.append({"pool": lambda: torch.nn.MaxPool2d(2), "relu": torch.nn.ReLU, "flatten": torch.nn.Flatten,
                         "softmax": lambda: torch.nn.Softmax(1), "unflatten": lambda: torch.nn.Unflatten(1, (64, 7, 7))}[layer]())
            continue
        kind, weight, bias = layer
        if kind == "dense":
            module = torch.nn.Linear(weight.shape[1], weight.shape[0])
        elif kind == "conv" and weight.shape[2] == 3:
            module = torch.nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
        elif kind == "conv":
            module = torch.nn.Conv2d(weight.shape[1], weight.shape[0], 4, stride=2, padding=1)
        else:
            module = torch.nn.ConvTranspose2d(weight.shape[0], weight.shape[1], 4, stride=2, padding=1)
        module.weight.data, module.bias.data = torch.tensor(weight), torch.tensor(bias)
        made.append(module)
    return torch.nn.Sequential(*made)


def torch_vae(kind):
    class Vae(torch.nn.Module):
        def __init__(self):
            super().__init__()
            before, inputs = ENCODERS[kind]
            self.reduce = torch_layers(before)
            self.encode_in, self.encode_label = torch.nn.Linear(inputs, HIDDEN), torch.nn.Embedding(CLASSES, HIDDEN)
            self.encode = torch_layers(["relu", dense(HIDDEN, HIDDEN), "relu", dense(HIDDEN, 2 * LATENT)])
            self.decode_in, self.decode_label = torch.nn.Linear(LATENT, HIDDEN), torch.nn.Embedding(CLASSES, HIDDEN)
            self.decode_rest = torch_layers(DECODERS[kind])

        def decode(self, z, labels):
            return self.decode_rest(self.decode_in(z) + self.decode_label(labels)).flatten(1)

        def loss(self, images, labels):
            inputs = images if kind == "dense" else images.view(-1, 1, 28, 28)
            mean, log_variance = self.encode(self.encode_in(self.reduce(inputs)) + self.encode_label(labels)).chunk(2, 1)
            z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
            reconstruction = torch.nn.functional.binary_cross_entropy_with_logits(self.decode(z, labels), images, reduction="sum")
            divergence = 0.5 * (mean ** 2 + log_variance.exp() - 1 - log_variance).sum()
            return (reconstruction + divergence) / len(images)

    return Vae()


def torch_make(kind, dtype):
    vae = torch_vae(kind).to(dtype)

    def work():
        with torch.no_grad():
            labels = torch.randint(0, CLASSES, (MADE_ROWS,))
            logits = vae.decode(torch.randn(MADE_ROWS, LATENT, dtype=dtype), labels)
            return (torch.sigmoid(logits.float()) * 255 + 0.5).to(torch.uint8).numpy()

    return work


def torch_classify(dtype):
    network, images = torch_layers(CLASSIFIER).to(dtype), torch.rand(CLASSIFIED_ROWS, 1, 28, 28).to(dtype)

    def work():
        with torch.no_grad():
            return network(images)

    return work


def torch_train_classifier():
    layers = [*CLASSIFIER[:7], dense(64 * 7 * 7, 128), "relu", dense(128, CLASSES)]
    network = torch_layers(layers)
    network.insert(9, torch.nn.Dropout(0.5)), network.insert(7, torch.nn.Dropout(0.25))
    adam = torch.optim.Adam(network.parameters(), 1e-4)
    images, labels = torch.rand(TRAINED_ROWS, 1, 28, 28), torch.randint(0, CLASSES, (TRAINED_ROWS,))

    def work():
        adam.zero_grad()
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        adam.step()

    return work


def torch_train_vae(kind):
    vae = torch_vae(kind)
    adam = torch.optim.Adam(vae.parameters(), 1e-4)
    images, labels = torch.rand(TRAINED_ROWS, LEVELS), torch.randint(0, CLASSES, (TRAINED_ROWS,))

    def work():
        adam.zero_grad()
        vae.loss(images, labels).backward()
        adam.step()

    return work


# ---- ONNX Runtime

def onnx_session(layers, first_shape):
    """A session of the layers; a decoder (whose first layer is a pair) adds its second input to the first layer."""
    nodes, tensors, value = [], [], "x"

    def add(operation, inputs, **attributes):
        nonlocal value
        output = f"v{len(nodes)}"
        nodes.append(onnx.helper.make_node(operation, inputs, [output], **attributes))
        value = output

    def keep(array):
        tensors.append(onnx.numpy_helper.from_array(array, f"t{len(tensors)}"))
        return tensors[-1].name

    inputs = [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, first_shape)]
    for layer in layers:
        if layer == "label":
            inputs.append(onnx.helper.make_tensor_value_info("label", onnx.TensorProto.FLOAT, [first_shape[0], HIDDEN]))
            add("Add", [value, "label"])
        elif layer == "pool":
            add("MaxPool", [value], kernel_shape=[2, 2], strides=[2, 2])
        elif layer == "unflatten":
            add("Reshape", [value, keep(numpy.array([-1, 64, 7, 7]))])
        elif isinstance(layer, str):
            add({"relu": "Relu", "flatten": "Flatten", "softmax": "Softmax"}[layer], [value])
        elif layer[0] == "dense":
            add("Gemm", [value, keep(layer[1]), keep(layer[2])], transB=1)
        elif layer[0] == "conv":
            add("Conv", [value, keep(layer[1]), keep(layer[2])], pads=[1] * 4)
        else:
            add("ConvTranspose", [value, keep(layer[1]), keep(layer[2])], pads=[1] * 4, strides=[2, 2])
    output = onnx.helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, None)
    graph = onnx.helper.make_graph(nodes, "network", inputs, [output], tensors)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def onnx_make(kind):
    session = onnx_session([dense(LATENT, HIDDEN), "label", *DECODERS[kind]], [MADE_ROWS, LATENT])
    given = {"x": random.standard_normal((MADE_ROWS, LATENT)).astype(numpy.float32),
             "label": numpy.zeros((MADE_ROWS, HIDDEN), numpy.float32)}
    return lambda: session.run(None, given)


def onnx_classify():
    session = onnx_session(CLASSIFIER, [CLASSIFIED_ROWS, 1, 28, 28])
    given = {"x": random.random((CLASSIFIED_ROWS, 1, 28, 28)).astype(numpy.float32)}
    return lambda: session.run(None, given)


# ---- doppel

def doppel_rate(name):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "rates.json"
        subprocess.run([BENCH, f"--benchmark_filter=^{name}$", f"--benchmark_out={out}", "--benchmark_out_format=json"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        benchmarks = json.loads(out.read_text())["benchmarks"]
    return benchmarks[0]["images/s"]


def comparisons():
    """(doppel's benchmark, peer, work of the peer, images in it)."""
    if torch:
        torch.set_num_threads(1)
        f32, bf16 = torch.float32, torch.bfloat16
        for kind in DECODERS:
            yield f"make/vae/{kind}", "PyTorch", torch_make(kind, f32), MADE_ROWS
            yield f"make/vae/{kind}/bf16", "PyTorch", torch_make(kind, bf16), MADE_ROWS
            yield f"train/vae/{kind}", "PyTorch", torch_train_vae(kind), TRAINED_ROWS
        yield "classify", "PyTorch", torch_classify(f32), CLASSIFIED_ROWS
        yield "classify/bf16", "PyTorch", torch_classify(bf16), CLASSIFIED_ROWS
        yield "train/classifier", "PyTorch", torch_train_classifier(), TRAINED_ROWS
    if onnxruntime:
        for kind in DECODERS:
            yield f"make/vae/{kind}", "ONNX Runtime", onnx_make(kind), MADE_ROWS
            yield f"make/vae/{kind}/bf16", "ONNX Runtime, f32", onnx_make(kind), MADE_ROWS
        yield "classify", "ONNX Runtime", onnx_classify(), CLASSIFIED_ROWS
        yield "classify/bf16", "ONNX Runtime, f32", onnx_classify(), CLASSIFIED_ROWS


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="lines whose name holds this")
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    if not torch and not onnxruntime:
        sys.exit("neither PyTorch nor ONNX Runtime is here: apt-get install python3-torch; bash cmake/setup.sh bench")
    rows = []
    for name, peer, work, images in comparisons():
        if arguments.only not in name:
            continue
        try:  # Debian's PyTorch cannot transpose a convolution in bfloat16
            rates = common.best_in_turn(lambda: common.rate_of(work, images, clock=time.process_time),
                                        lambda: doppel_rate(name), arguments.rounds)
        except RuntimeError as error:
            print(f"{name}, {peer}: {str(error).splitlines()[0][:100]}", file=sys.stderr)
            continue
        rows.append((name, peer, *rates, "images/s", True))
    common.print_table(f"Networks of images, one core{', PyTorch ' + torch.__version__ if torch else ''}"
                       f"{', ONNX Runtime ' + onnxruntime.__version__ if onnxruntime else ''}", rows)
    common.loaded_machine_note()
    if arguments.json:
        arguments.json.write_text(json.dumps([dict(zip(["what", "peer", "peer_rate", "doppel_rate"], row)) for row in rows], indent=1))


if __name__ == "__main__":
    main()
