"""Variants of a VCF in, scores out. Needs no torch."""
