"""Make a verified bundle of a checkpoint: trace, convert, verify, evaluate, seal."""
