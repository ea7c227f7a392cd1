"""DenseNet and ccv of papers/: every command parses, networks have their known sizes, all runs."""

import subprocess

import numpy as np
import pytest
from annotated_files import save_image
from cli.commands import parser
from paper_scripts import ROOT, printed, script
from scipy.io import savemat

from denet.cli.options import layer_options
from denet.model.desc import build_layers, parse_desc
from denet.model.model import Model, nameless

DENSE, CCV = "papers/densenet", "papers/ccv"
# script, words behind it, input (c, h, w), classes, parameters as published or told by their code
SIZES = [
    (f"{DENSE}/cifar.sh", "40-12 cifar10 d", (3, 32, 32), 10, 1_019_722),
    (f"{DENSE}/cifar.sh", "100-12 cifar10+ d", (3, 32, 32), 10, 6_979_642),
    (f"{DENSE}/cifar.sh", "100-24 cifar10 d", (3, 32, 32), 10, 27_249_082),
    (f"{DENSE}/cifar.sh", "bc-100-12 cifar10+ d", (3, 32, 32), 10, 769_162),
    (f"{DENSE}/cifar.sh", "bc-250-24 cifar10 d", (3, 32, 32), 10, 15_324_406),
    (f"{DENSE}/cifar.sh", "bc-190-40 cifar10+ d", (3, 32, 32), 10, 25_624_430),
    (f"{DENSE}/cifar.sh", "bc-40-48 cifar10+ d", (3, 32, 32), 10, 2_733_130),
    (f"{DENSE}/svhn.sh", "bc-100-12 d", (3, 32, 32), 10, 769_162),
    (f"{DENSE}/imagenet.sh", "121 d", (3, 224, 224), 1000, 7_978_856),
    (f"{DENSE}/imagenet.sh", "169 d", (3, 224, 224), 1000, 14_149_480),
    (f"{DENSE}/imagenet.sh", "201 d", (3, 224, 224), 1000, 20_013_928),
    (f"{DENSE}/imagenet.sh", "161 d", (3, 224, 224), 1000, 28_681_000),
    (f"{DENSE}/imagenet.sh", "264 d", (3, 224, 224), 1000, 33_337_704),
    (f"{DENSE}/imagenet.sh", "264-k32-cosine d", (3, 224, 224), 1000, 33_337_704),
    (f"{DENSE}/imagenet.sh", "264-k48-cosine d", (3, 224, 224), 1000, 72_686_632),
    (f"{DENSE}/imagenet.sh", "232-k48 d", (3, 224, 224), 1000, 55_570_984),
    (f"{CCV}/imagenet.sh", "alex d", (3, 225, 225), 1000, 60_965_224),
    (f"{CCV}/imagenet.sh", "matt_a d", (3, 225, 225), 1000, 60_944_488),
    (f"{CCV}/imagenet.sh", "matt_b d", (3, 225, 225), 1000, 18_745_704),
    (f"{CCV}/imagenet.sh", "matt_c d", (3, 225, 225), 1000, 18_352_488),
    (f"{CCV}/imagenet.sh", "vgg_a d", (3, 225, 225), 1000, 105_600_360),
    (f"{CCV}/imagenet.sh", "vgg_d d", (3, 225, 225), 1000, 111_094_568),
    # 32 * (75 + 1) + 32 * (800 + 1) + 64 * (800 + 1) + 10 * (3 * 3 * 64 + 1)
    (f"{CCV}/cifar.sh", "d", (3, 32, 32), 10, 85_098),
]


def command(name: str, words: str):
    """Return the parsed options of the one command that a script prints."""
    ((line,),) = printed(name, *words.split()).values()
    return parser("model-train").parse(line)


@pytest.mark.parametrize(("name", "words", "shape", "classes", "count"), SIZES)
def test_networks_have_their_published_size(name, words, shape, classes, count):
    options = command(name, words)
    layers = build_layers(parse_desc(options.model_desc), layer_options(options))
    model = Model(layers, shape, nameless(classes), [{} for _ in layers])
    assert model.parameter_count() == count


# script and words; images of a step, learn rate, solver, decay, epochs to anneal after, epochs
LEARNING = [
    (f"{DENSE}/cifar.sh bc-100-12 cifar100+ d", (64, 0.1, "nesterov", 1e-4, [149, 224], 300)),
    (f"{DENSE}/svhn.sh 100-24 d", (64, 0.1, "nesterov", 1e-4, [20, 30], 40)),
    (f"{DENSE}/imagenet.sh 121 d", (256, 0.1, "nesterov", 1e-4, [30, 60], 90)),
    (f"{DENSE}/imagenet.sh 264-k48-cosine d", (256, 0.1, "nesterov", 1e-4, [], 90)),
    (f"{CCV}/imagenet.sh vgg_d d", (256, 0.01, "momentum", 5e-4, [30, 60, 80], 100)),
    (f"{CCV}/cifar.sh d", (128, 0.001, "momentum", 0.005, [], 999)),
]


@pytest.mark.parametrize(("line", "learning"), LEARNING)
def test_they_learn_as_published(line, learning):
    name, _, words = line.partition(" ")
    options = command(name, words)
    step = options.batch_size * options.batch_size_factor
    start = step, options.learn_rate, options.solver, options.learn_decay
    assert (*start, options.learn_anneal_epochs, options.epochs) == learning
    assert options.learn_momentum == [0.9]
    assert options.learn_decay_all == name.startswith(DENSE)  # ccv: no decay of biases
    assert options.learn_cosine == ("cosine" in words)


@pytest.mark.parametrize(("data", "rate"), [("cifar10", 0.2), ("cifar100+", 0.0)])
def test_layers_drop_values_where_images_stay_as_they_are(data, rate):
    """After each convolution but the first: 2 x 16 in a block, one in a transition."""
    options = command(f"{DENSE}/cifar.sh", f"bc-100-12 {data} d")
    assert options.distort_mode == ([] if rate else ["o4", "m50"])
    layers = build_layers(parse_desc(options.model_desc), layer_options(options))
    rates = [layer.dropout for layer in layers if hasattr(layer, "dropout")]
    assert rates == [rate] * (3 * 16 + 2)


WRONG = [
    (f"{DENSE}/cifar.sh 41-12 cifar10 d", "a depth of 41: give 4 and a multiple of 3"),
    (f"{DENSE}/cifar.sh bc-40-12x cifar10 d", "network 'bc-40-12x': give DEPTH-GROWTH"),
    (f"{DENSE}/cifar.sh bc-4-12 cifar10 d", "a depth of 4: give 4 and a multiple of 6"),
    (f"{DENSE}/cifar.sh 40-12 cifar d", "data 'cifar': give cifar10, cifar10+"),
    (f"{DENSE}/cifar.sh 40-12 cifar10", "usage: bash"),
    (f"{DENSE}/svhn.sh 40-12", "usage: bash"),
    (f"{DENSE}/imagenet.sh 122 d", "network '122': give 121, 169"),
    (f"{CCV}/imagenet.sh vgg d", "network 'vgg': give alex, matt_a"),
    (f"{CCV}/cifar.sh", "usage: bash"),
]


@pytest.mark.parametrize(("line", "message"), WRONG)
def test_wrong_words(line, message):
    done = subprocess.run(["bash", *line.split()], cwd=ROOT, capture_output=True)
    assert done.returncode == 2 and message in done.stderr.decode()


@pytest.fixture
def data(tmp_path):
    """A directory with CIFAR-10, SVHN and ImageNet of a few images."""
    rng = np.random.default_rng(0)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        records = rng.integers(0, 256, (2, 1 + 3 * 32 * 32), np.uint8)
        records[:, 0] = rng.integers(0, 10, 2)
        (tmp_path / f"{name}.bin").write_bytes(records.tobytes())
    for split, count in (("train", 6), ("extra", 200), ("test", 2)):
        images = rng.integers(0, 256, (32, 32, 3, count), np.uint8)
        digits = (np.arange(count, dtype=np.uint8) % 10 + 1)[:, None]
        savemat(tmp_path / f"{split}_32x32.mat", {"X": images, "y": digits})
    for split in ("train", "val"):
        for name in ("n01440764", "n01443537"):
            save_image(tmp_path / split / name / f"{name}_1.JPEG", (80, 70))
    return tmp_path


RUNS = [
    (f"{DENSE}/cifar.sh", "bc-16-4 cifar10 ."),
    (f"{DENSE}/cifar.sh", "7-4 cifar10+ ."),
    (f"{DENSE}/svhn.sh", "bc-10-4 ."),
    (
        f"{DENSE}/imagenet.sh",
        "121 . --extension imagenet,crop=32 --test-extension imagenet,crop=32",
    ),
    (
        f"{CCV}/imagenet.sh",
        "matt_b . --extension imagenet,crop=129 --test-extension imagenet,crop=129",
    ),
    (f"{CCV}/cifar.sh", "."),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "words"), RUNS)
def test_they_run(name, words, data):
    more = ["--epochs", "1", "--batch-size", "2", "--batch-size-factor", "1", "--quiet"]
    script(name, *words.split(), *more, directory=data, OUTPUT="out", THREADS=1)
    assert (data / "out" / "train_epoch001_final.mdl").is_file()
