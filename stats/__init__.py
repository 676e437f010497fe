"""Statistics over labels and probabilities: metrics, AUROC, resampling, calibration. Numpy only."""
