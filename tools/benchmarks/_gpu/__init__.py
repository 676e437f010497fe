"""The steps of `gpu.py`, one a module. Each needs torch alone; what else it needs, it says."""
