"""The options of model-train."""

from __future__ import annotations

from dataclasses import replace

from denet.cli.options import (
    BELOW_ONE,
    COUNT,
    EXTENSION,
    LAYER_OPTIONS,
    MAX_IMAGE_PIXELS,
    MODEL_DESC,
    NOT_NEGATIVE,
    ON_BAD_DATA,
    POSITIVE,
    THREAD_NUM,
    Option,
)
from denet.kind import Choice, Flag

NETWORK = (
    Option(
        "model",
        "model file to start from, instead of --model-desc; for other classes see --init-partial",
        metavar="FILE",
    ),
    MODEL_DESC,
    Option(
        "init-partial",
        "give the network of --model, or that of a --model-desc beside it, the classes of the "
        "training set; take from --model the weights that fit, and tell which do not",
        Flag(),
        False,
    ),
    *LAYER_OPTIONS,
    Option(
        "normalise",
        "pixels a new network sees: dataset gives each channel mean 0 and deviation 1 over the "
        "training set, so does mean-image, with a mean for each pixel (of centre crops of scale=N "
        "of --extension), none leaves 0 to 1; auto is dataset, but for the published VOC and COCO "
        "and for --extension imagenet by the constants of ImageNet; a --model keeps its own "
        "(model-modify --normalise)",
        Choice(("auto", "dataset", "mean-image", "none")),
        "auto",
    ),
)
DATA = (
    Option(
        "train",
        "training set: directory of class directories, NAME of arrays NAME_data.npy and "
        "NAME_labels.npy, or folder of images with boxes in a layout that --extension knows",
        metavar="PATH",
    ),
    Option("test", "test set", metavar="PATH"),
    replace(EXTENSION, default="ppm", help=f"{EXTENSION.help}; of a detector auto"),
    Option("test-extension", "extension of the test set, where it is another", metavar="EXTENSION"),
    Option(
        "val-split",
        "share of the training images, such as 0.1, that is held out, drawn by --seed: the tests "
        "of a run and the choice of its best model are on them, and --test is tested at its end",
        BELOW_ONE,
        0.0,
        metavar="SHARE",
    ),
    Option("max-samples", "train on at most N samples, chosen at random", COUNT, metavar="N"),
    Option("augment-mirror", "append a mirrored copy of every training image", Flag(), False),
    Option(
        "distort-mode",
        "random distortions of training images: oN offset in pixels, sN scale in %, rN rotation "
        "in degrees, mN mirror in % of images",
        default=[],
        count="*",
        metavar="MODE",
    ),
    THREAD_NUM,
    ON_BAD_DATA,
    MAX_IMAGE_PIXELS,
)
LEARNING = (
    Option("epochs", "passes over the training set", COUNT, 30, metavar="N"),
    Option(
        "minutes",
        "instead of --epochs: as many epochs as fit into so much time, tests, saves and curves "
        "included, but for the test beside --val-split, which comes last; the speed is measured "
        "once, at the start",
        POSITIVE,
        metavar="M",
    ),
    Option("batch-size", "images computed together", COUNT, 32, metavar="N"),
    Option(
        "batch-size-factor",
        "batches whose gradients are added up to one step: M times larger steps in the same memory",
        COUNT,
        1,
        metavar="M",
    ),
    Option(
        "solver",
        "update rule of the weights: momentum is the classical one, sgd that of 2017, which damps "
        "the gradient, nesterov (or torch) looks ahead",
        Choice(("sgd", "momentum", "nesterov", "torch", "adam", "adamw")),
        "nesterov",
    ),
    Option("learn-rate", "size of the steps at the start", POSITIVE, 0.1),
    Option(
        "learn-momentum",
        "momentum, usually 0.9, or the two of adam, usually 0.9 0.999",
        BELOW_ONE,
        [0.0, 0.0],
        "+",
    ),
    Option(
        "learn-anneal", "factor of the learn rate after an epoch", POSITIVE, 1.0, metavar="FACTOR"
    ),
    Option(
        "learn-anneal-epochs", "epochs after which to anneal, none for every one", COUNT, [], "*"
    ),
    Option("learn-cosine", "let the learn rate fall to 0 as a cosine", Flag(), False),
    Option(
        "learn-warmup",
        "epochs in which the learn rate grows from 0",
        NOT_NEGATIVE,
        0.0,
        metavar="EPOCHS",
    ),
    Option("learn-decay", "L2 decay of the weights", NOT_NEGATIVE, 0.0),
    Option("learn-decay-all", "let biases and scales decay too", Flag(), False),
    Option(
        "layer-rates",
        "factor of the learn rate for some layers: F=0.5, 1-4=0.1; layers as in "
        "--skip-layer-updates, the last word for one wins",
        default=[],
        count="*",
        metavar="LAYER=FACTOR",
    ),
    Option(
        "layer-decays",
        "factor of --learn-decay for some layers, likewise; 0 for no decay",
        default=[],
        count="*",
        metavar="LAYER=FACTOR",
    ),
    Option(
        "layer-momenta",
        "momentum of some layers (of adam the first of its two), likewise, in the place of "
        "--learn-momentum: F=0.5",
        default=[],
        count="*",
        metavar="LAYER=MOMENTUM",
    ),
    Option(
        "average",
        "what is tested and saved: the weights of the last step (none), or the exponential moving "
        "average of weights and running statistics (ema), over a tenth of the steps so far, 5,000 "
        "at most",
        Choice(("none", "ema")),
        "none",
    ),
    Option(
        "gradient-clip",
        "largest norm of the whole gradient, 0 for any",
        NOT_NEGATIVE,
        0.0,
        metavar="NORM",
    ),
    Option(
        "label-smoothing",
        "share of the target of R spread over all classes",
        BELOW_ONE,
        0.0,
        metavar="SHARE",
    ),
    Option("cost-factors", "factor of each cost of the network, none for 1", NOT_NEGATIVE, [], "*"),
    Option(
        "skip-layer-updates",
        "layers to leave as they are: numbers or ranges (1-4), types (batchnorm), symbols (BN), "
        "or a number with its type (5.resnet), all as model-info shows them",
        default=[],
        count="*",
        metavar="LAYER",
    ),
    Option("test-epochs", "test after every N epochs", COUNT, 1, metavar="N"),
    Option("skip-train", "only test the model on the test set", Flag(), False),
)
OUTPUT = (
    Option(
        "output-prefix",
        "beginning of the paths of all files written: run/a for run/a_best.mdl and others",
        default="./model",
    ),
    Option("model-format", "format of model files", Choice(("mdl", "mdl.gz")), "mdl"),
    Option("disable-intermediate", "save only the best and the final model", Flag(), False),
    Option(
        "model-save-dt",
        "minutes between two saves of the state within an epoch, 0 for only after each epoch",
        NOT_NEGATIVE,
        30.0,
        metavar="MINUTES",
    ),
    Option(
        "log-every",
        "seconds between two lines of the log where there is no terminal for a bar",
        POSITIVE,
        60.0,
        metavar="SECONDS",
    ),
    Option("tensorboard", "write TensorBoard events too", Flag(), False),
    Option(
        "resume",
        "go on with the run at --output-prefix where it stopped, with the options of its "
        "PREFIX_run.yaml but for those typed here",
        Flag(),
        False,
        recorded=False,
    ),
    Option(
        "overwrite",
        "write over the run that is at --output-prefix",
        Flag(),
        False,
        recorded=False,
    ),
    Option(
        "dry-run",
        "try everything on a few steps, a short test and a save, and tell how long all of it will "
        "take; leave PREFIX_bad_data.txt at most",
        Flag(),
        False,
        recorded=False,
    ),
)
