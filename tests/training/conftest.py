"""What all tests of training share."""

import pytest
from training.tiny import empty_curves


@pytest.fixture(autouse=True)
def _no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves have tests of their own, and take longer to draw than tiny runs to train."""
    monkeypatch.setattr("denet.training.journal.draw_curves", empty_curves)
