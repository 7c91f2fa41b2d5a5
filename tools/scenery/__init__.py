"""Figures in scenery whose outline and proportions are known, for tools/bench_masks.py."""
