"""The networks, their tokenizers, the family table, depth surgery and the shipped small models."""
