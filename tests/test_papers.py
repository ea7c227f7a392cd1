"""The detectors of papers/: every command parses, networks have their known sizes, all runs."""

import subprocess
from collections.abc import Iterator
from functools import lru_cache

import pytest
import yaml
from annotated_files import object_xml, save_image, voc_xml, write_voc
from cli.commands import parser
from paper_scripts import ROOT, printed, script

from denet.cli import modify
from denet.cli.options import layer_options
from denet.model.format import load_model, save_model
from denet.model.model import Model

STEM = "C.B[64,7,2] BN A P[3,2,1] "
RESNET = {
    "34": "nRSN.O[3,64,3] nRSN.O[4,128,3,2] nRSN.O[6,256,3,2] nRSN.O[3,512,3,2] P.A R.TB",
    "101": "nRSN.O[3,256,3,1,64] nRSN.O[4,512,3,2,128] nRSN.O[23,1024,3,2,256] "
    "nRSN.O[3,2048,3,2,512] P.A R.TB",
}
HALF = ["--border-mode", "half"]
SIZES = {  # parameters
    ("34", "std", "mscoco"): 32_805_113,
    ("34", "std", "voc2007"): 32_774_333,
    ("34", "skip", "mscoco"): 32_805_113,
    ("34", "wide", "mscoco"): 33_016_905,
    ("101", "std", "mscoco"): 68_698_521,
    ("101", "std", "voc2007"): 68_652_381,
    ("101", "skip", "mscoco"): 69_190_041,
    ("101", "wide", "mscoco"): 85_740_569,
}
STEPS = {  # GPUs times images of each in 2017, whose factor was a number of steps
    ("34", "std"): 2 * 32,
    ("34", "skip"): 2 * 32,
    ("34", "wide"): 4 * 32,
    ("101", "std"): 4 * 32,
    ("101", "skip"): 4 * 32,
    ("101", "wide"): 4 * 16,
}
DATA = {"voc2007": 20, "voc2012": 20, "mscoco": 80}


@lru_cache(maxsize=1)
def resnet(depth: str) -> Model:
    """Return what examples/resnet34-imagenet.sh leaves, or the same of 101 layers."""
    labels = [f"class {number}" for number in range(1000)]
    options = layer_options(parser("model-train").parse(HALF))
    return Model.create(STEM + RESNET[depth], (3, 224, 224), labels, options)


def modified(model: Model, words: list[str]) -> Model:
    """Return what model-modify would write."""
    options = parser("model-modify").parse(words)
    for key, change in modify.changes(options):
        if getattr(options, key):
            model = change(model)
    return model


def from_text(words: list[str], classes: int) -> Model:
    """Return the network that model-train would start from."""
    options = parser("model-train").parse(words)
    labels = [f"class {number}" for number in range(classes)]
    return Model.create(options.model_desc, (3, 512, 512), labels, layer_options(options))


def each_layer(model: Model) -> Iterator[object]:
    """Yield the layers and what their graph is made of, whatever their numbers."""
    graph = model.graph(2)
    yield from model.layers
    yield from ((node.op, node.segment, node.outputs[0].shape) for node in graph.nodes)


@pytest.mark.parametrize(("depth", "variant", "data"), SIZES)
def test_detectors_have_their_published_size(depth, variant, data):
    """From the file of a ResNet; the same network is made from nothing."""
    words = (f"papers/dss/denet{depth}.sh", variant, data, "some data")
    build, _ = printed(*words, RESNET="resnet.mdl")["model-modify"]
    built = modified(resnet(depth), build)
    assert built.parameter_count() == SIZES[depth, variant, data]
    (train,) = printed(*words)["model-train"]
    assert list(each_layer(built)) == list(each_layer(from_text(train, DATA[data])))


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("variant", ["std", "skip", "wide"])
@pytest.mark.parametrize("depth", RESNET)
def test_commands(depth, variant, data):
    """They parse, take as many steps as in 2017, and end in a test; later options win."""
    commands = printed(f"papers/dss/denet{depth}.sh", variant, data, "some data", "--epochs", "7")
    parsed = {
        name: [parser(name).parse(words) for words in lines] for name, lines in commands.items()
    }
    (train,), (merge,), (test,) = (
        parsed[name] for name in ("model-train", "model-modify", "model-predict")
    )
    assert train.batch_size * train.batch_size_factor == STEPS[depth, variant]
    assert (train.train, train.epochs, train.learn_anneal_epochs) == ("some data", 7, [30, 60])
    assert train.test == ("some data" if data == "voc2007" else None)
    assert merge.merge and merge.output == test.model
    kind = "mscoco" if data == "mscoco" else "voc"
    assert test.predict_mode == f"detect,{kind}" and test.extension.startswith(f"{kind},")


def test_the_second_paper_replaces_the_last_layer():
    """Five fitness outputs per class instead of one; a quarter of the samples."""
    build, _ = printed("papers/dss/denet34.sh", "wide", "mscoco", "d", RESNET="r")["model-modify"]
    wide = modified(resnet("34"), build)
    commands = printed("papers/fitness-nms/denet.sh", "wide.mdl", "mscoco", "some data")
    (train,) = (parser("model-train").parse(words) for words in commands["model-train"])
    assert train.batch_size * train.batch_size_factor == 128
    model = modified(wide, commands["model-modify"][0])
    assert model.parameter_count() == SIZES["34", "wide", "mscoco"] + 4 * 80 * (512 + 1)
    probability = model.graph(1).outputs["detection_probability"]
    assert probability.shape == (1, 24 * 24, 401)
    commands = printed("papers/fitness-nms/x768.sh", "v2.mdl", "mscoco", "some data")
    model = modified(model, commands["model-modify"][0])
    assert model.input_shape == (3, 768, 768)
    assert model.graph(1).outputs["detection_box"].shape == (1, 1296, 4)


WRONG = [
    ("dss/denet34.sh", ["wde", "voc2007", "d"], "variant 'wde': give std, skip or wide"),
    ("dss/denet101.sh", ["std", "voc", "d"], "dataset 'voc': give voc2007, voc2012 or mscoco"),
    ("dss/denet34.sh", ["std", "voc2007"], "usage: bash"),
    ("fitness-nms/denet.sh", [], "usage: bash"),
    ("fitness-nms/x768.sh", ["m", "coco", "d"], "dataset 'coco'"),
]


@pytest.mark.parametrize(("name", "words", "message"), WRONG)
def test_wrong_words(name, words, message):
    done = subprocess.run(["bash", f"papers/{name}", *words], cwd=ROOT, capture_output=True)
    assert done.returncode != 0 and message in done.stderr.decode()


@pytest.mark.slow
def test_from_a_resnet_to_the_second_paper(tmp_path):
    """All steps, with a ResNet of narrow layers and four pictures."""
    cat = voc_xml(object_xml("cat", (3, 3, 30, 30)), size=(40, 40))
    for year in ("2007", "2012"):
        for split in ("train", "val", "test"):
            folder = tmp_path / "VOCdevkit" / f"VOC{year}"
            write_voc(folder, {f"{year}{split}": cat}, split, (40, 40))
    narrow = "nRSN.O[3,8,3] nRSN.O[4,8,3,2] nRSN.O[6,8,3,2] nRSN.O[3,8,3,2] P.A R.TB"
    options = layer_options(parser("model-train").parse(HALF))
    model = Model.create(f"C.B[8,7,2] BN A P[3,2,1] {narrow}", (3, 64, 64), ["a", "b"], options)
    save_model(model, tmp_path / "resnet.mdl")
    more = ["voc2007", "VOCdevkit", "--epochs", "1", "--batch-size", "2", "--quiet"]
    small = {"directory": tmp_path, "SIZE": 64, "THREADS": 1}
    v1, v2, final = (tmp_path / name for name in ("v1", "v2", "train_epoch001_final.mdl"))
    found = script(
        "papers/dss/denet34.sh", "skip", *more, RESNET="resnet.mdl", OUTPUT="v1", **small
    )
    assert "cat " in found and (v1 / final.name).is_file()
    assert (v1 / "results" / "comp4_det_test_cat.txt").is_file()
    assert not any(getattr(layer, "split", False) for layer in load_model(v1 / "merged.mdl").layers)
    script("papers/fitness-nms/denet.sh", v1 / final.name, *more, OUTPUT="v2", **small)
    small["SIZE"] = 96
    script("papers/fitness-nms/x768.sh", v2 / "merged.mdl", *more[:2], OUTPUT="x", **small)
    assert load_model(tmp_path / "x" / "x768.mdl").input_shape == (3, 96, 96)


def test_resnet34_takes_as_many_steps_as_in_2017():
    text = script("examples/resnet34-imagenet.sh", "ILSVRC", "out", "--print-config")
    given = yaml.safe_load(text)
    assert given["batch-size"] * given["batch-size-factor"] == 2 * 64  # GPUs times images


def test_resnet34_on_imagenet(tmp_path):
    for split in ("train", "val"):
        for name in ("n01440764", "n01443537"):
            save_image(tmp_path / "ILSVRC" / split / name / f"{name}_1.JPEG", (40, 30))
    small = ["--extension", "imagenet,crop=32", "--test-extension", "imagenet,crop=32"]
    script(
        "examples/resnet34-imagenet.sh", "ILSVRC", "out", "--dry-run", *small, directory=tmp_path
    )
    assert not (tmp_path / "out").exists()
