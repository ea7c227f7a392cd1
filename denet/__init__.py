"""DeNet trains, tests and ships convolutional networks from the shell."""

__version__ = "0.1.0"
