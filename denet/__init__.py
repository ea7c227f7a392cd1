"""DeNet trains, tests and ships convolutional networks from the shell."""

from denet.version import __version__ as __version__
