"""Whether a training still gets better, by the scores of its epochs."""

from __future__ import annotations

from collections.abc import Mapping

from .ranking import Values, goodness

MARGIN = 0.02  # by so much a criterion must be better: few pictures are a noisy witness


def last_move(scores: Mapping[int, Values], margin: float = MARGIN) -> int:
    """The last epoch that moved the Pareto front; 0 without epochs.

    The first one does; a later one where it is better, in some criterion and by more than the
    margin, than each that moved it before.  So slow but steady gains count.

    scores: by epoch, of `ranking.CRITERIA`.
    """
    movers: dict[int, Values] = {}
    for epoch in sorted(scores):
        values = goodness(scores[epoch])
        if not any(_covers(earlier, values, margin) for earlier in movers.values()):
            movers[epoch] = values
    return max(movers, default=0)


def _covers(earlier: Values, later: Values, margin: float) -> bool:
    """True where the later one is no better in any criterion known of both."""
    return all(later[name] <= earlier[name] + margin for name in earlier.keys() & later.keys())


def stop_reason(scores: Mapping[int, Values], patience: int) -> str:
    """Why training may end, in words; '' while it should go on.

    patience: epochs in a row that may fail to move the front.
    """
    if not scores:
        return ""
    newest = max(scores)
    best = last_move(scores)
    if newest - best < patience:
        return ""
    names = " or ".join(goodness(scores[newest]))
    return (
        f"early stop after epoch {newest}: none since epoch {best} was better in {names} by more"
        f" than {MARGIN:g}"
    )
