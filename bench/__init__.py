"""Latency, throughput, fine-tuning cost and the decision: what was paid for the speed."""
