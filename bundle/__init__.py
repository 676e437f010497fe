"""What a bundle is and how it runs: manifest, card, sessions, runtime, choice of backend.

Needs no torch.
"""
