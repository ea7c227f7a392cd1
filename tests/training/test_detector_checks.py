"""What is told of a detector's costs and of its test set before it is trained."""

from pathlib import Path

import pytest
from training.test_detector_columns import data, detector, opened, resume, settings_of

from denet.backend.numpy.backend import NumpyBackend
from denet.errors import UsageError
from denet.training.objects import warn_of_objects
from denet.training.trainer import Trainer

__all__ = ["data"]


def test_objects_that_count_no_more_are_another_test_set(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Training takes difficult objects as any others, a test leaves them out."""
    settings = settings_of(tmp_path, epochs=1)
    Trainer(detector(), opened(data), opened(data), settings, NumpyBackend()).run()
    resume(tmp_path, opened(data), opened(data))._lock.release()
    assert "has changed" not in caplog.text
    file = data / "Annotations/1.xml"
    text = file.read_text()
    file.write_text(text.replace("<difficult>0<", "<difficult>1<"))
    resume(tmp_path, opened(data), opened(data))._lock.release()
    words = "the test set has changed: 5 images, 5 when the run began, with other difficult objects"
    assert words in caplog.text and "training set has changed" not in caplog.text
    assert "difficult objects among the training images" in caplog.text


def test_a_test_in_which_no_object_counts_is_told(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for file in (data / "Annotations").iterdir():
        file.write_text(file.read_text().replace("<difficult>0<", "<difficult>1<"))
    settings = settings_of(tmp_path, epochs=1)
    Trainer(detector(), opened(data), opened(data), settings, NumpyBackend())
    assert "the test set has no objects but difficult ones, which do not count" in caplog.text


def test_samples_that_cannot_hit_all_objects_are_told(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Six objects are in four images: one sample hits four of them at most."""
    settings, backend = settings_of(tmp_path, epochs=1), NumpyBackend()
    Trainer(detector(), opened(data), None, settings, backend)._lock.release()
    assert "samples can hit" not in caplog.text
    Trainer(detector("DNC[8] DNS[2,1] DND"), opened(data), None, settings, backend)
    told = "samples can hit 66% of the objects at most: an image has up to 2, and DNS takes 1 "
    assert told in caplog.text


def test_a_training_set_without_objects_is_told(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = opened(data)
    images.boxes = images.boxes.keep(images.boxes.area < 0)
    warn_of_objects(detector(), images)
    assert "the training set has no objects" in caplog.text


@pytest.mark.parametrize(
    ("text", "changes", "told"),
    [
        ("DNC[8] DNS[2,4] DND[0.5,0,0,0]", {}, 'layer 3 "DND[0.5,0]": all of its costs'),
        ("DNC[8,0] DNS[2,4] DND", {}, 'layer 1 "DNC[8,0]": all of its costs'),
        ("DNC[8] DNS[2,4] DND", {"cost_factors": (1.0, 0.0)}, 'layer 3 "DND": all of its costs'),
        ("DNC[8] DNS[2,4] DND[0.5,0]", {"skip_layer_updates": ("3",)}, ""),
        ("DNC[8] DNS[2,4] DND[0.5,0,1]", {}, ""),
    ],
)
def test_a_layer_whose_costs_weigh_nothing_is_told(
    text: str,
    changes: dict[str, object],
    told: str,
    data: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = settings_of(tmp_path, epochs=1, **{"cost_factors": (), **changes})
    Trainer(detector(text), opened(data), None, settings, NumpyBackend())
    assert ("does not learn to answer" in caplog.text) == bool(told) and told in caplog.text


def test_costs_that_all_weigh_nothing_are_refused(data: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, cost_factors=())
    model = detector("DNC[8,0] DNS[2,4] DND[0.5,0]")
    with pytest.raises(UsageError, match="all costs of the network have a factor of 0"):
        Trainer(model, opened(data), None, settings, NumpyBackend())
    assert not (tmp_path / "m.state").exists()
