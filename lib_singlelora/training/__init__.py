"""Noise, batches, the loop and its snapshots; knows a TrainingModel, never a host."""
