"""What every picture made by matplotlib needs: the library, a figure, its fonts."""

from __future__ import annotations

import os
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from denet.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MISSING = "matplotlib is not installed: pip install matplotlib"


def can_draw() -> bool:
    """Say whether matplotlib is installed, without importing it."""
    return find_spec("matplotlib") is not None


def require_matplotlib(picture: str) -> None:
    """Raise UsageError naming the picture where matplotlib cannot be imported."""
    try:
        import matplotlib.backends.backend_agg
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise UsageError(f"{picture}: {MISSING} ({error})") from error


def new_figure(width: float, height: float, **settings: Any) -> Figure:
    """Return an empty figure of a size in inches, which draws without a screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), **settings)
    FigureCanvasAgg(figure)
    return figure


def font_family(font_file: str | None) -> list[str]:
    """Return the fonts that letters are looked for in: this file, then DejaVu Sans."""
    from matplotlib.font_manager import FontProperties, fontManager

    if font_file is None:
        return ["DejaVu Sans"]
    fontManager.addfont(font_file)
    return [FontProperties(fname=font_file).get_name(), "DejaVu Sans"]


def save_figure(figure: Figure, picture: str | os.PathLike[str], **settings: Any) -> None:
    """Write the figure as a PNG."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # told by load_font
        figure.savefig(picture, format="png", **settings)
