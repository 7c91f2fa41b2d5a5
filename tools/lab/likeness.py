"""How like a drawing a picture of its character is, place by place: `metrics/placewise.py`."""

from lib_singlelora.metrics.placewise import Fields, fields_of, figure_of, likeness, placewise

__all__ = ["Fields", "fields_of", "figure_of", "likeness", "placewise"]
