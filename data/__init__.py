"""Genome windows, variants, labelled data sets, their splits and the simulated set."""
