"""Find the layers a genomic language model needs, drop the rest, export, benchmark and score."""

__version__ = "0.1.0"
