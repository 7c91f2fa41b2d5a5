"""The benchmark: speed, memory and time to quality as ratios measured in one run."""
