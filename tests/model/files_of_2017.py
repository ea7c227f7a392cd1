"""Files of .mdl.gz made by hand, as the 2017 program would write them."""

import base64
import gzip
import io
import json

import numpy as np

from denet.model.format import load_model

RNG = np.random.default_rng(11)


def random(*shape):
    return RNG.uniform(0.1, 1, shape).astype(np.float32)


def array(values):
    file = io.BytesIO()
    np.save(file, values)
    return {
        "__class__": "numpy.ndarray",
        "__value__": base64.b64encode(file.getvalue()).decode(),
    }


def conv(weight, bias=None, stride=(1, 1), border="valid", **more):
    return {
        "type": "conv",
        "layers": [],
        "shape": list(weight.shape),
        "stride": list(stride),
        "border": border,
        "enabled": True,
        "useBias": bias is not None,
        "bias": None if bias is None else array(bias),
        "weight": array(weight),
    } | more


def norm(channels, type_name="batchnorm", eps=1e-5, momentum=0.9, **more):
    found = {"type": type_name, "layers": [], "momentum": momentum, "eps": eps}
    for name in ("mean", "std", "gamma", "bias"):
        found[name] = array(random(channels))
    if type_name == "batchnorm":
        found |= {"renormMaxR": 1, "renormMaxD": 0, "renormMaxIt": 10, "enabled": True}
    return found | more


def plain(type_name, **values):
    return {"type": type_name, "layers": [], **values}


def document(layers, shape=(3, 8, 8), labels=("a", "b"), **more):
    return {
        "classifierType": "CNN",
        "classLabels": {label: number for number, label in enumerate(labels)},
        "classNum": len(labels),
        "dataShape": list(shape),
        "date": "2017-07-20 01:02:03",
        "user": "someone",
        "version": 3,
        "layers": layers,
    } | more


def read(tmp_path, top):
    path = tmp_path / "a.mdl.gz"
    path.write_bytes(gzip.compress(json.dumps(top, indent=2).encode()))
    return load_model(path)


def stored(part, name):
    return np.load(io.BytesIO(base64.b64decode(part[name]["__value__"])))
