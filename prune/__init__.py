"""Fine-tune one model, run the layer sweep, judge the layers, build the slim models."""
