"""Two sentences on who leads where, made from the rankings."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.site.ranking import NEAR, Ranking
from benchmarks.site.rows import Board


def leaders(rankings: Sequence[Ranking], boards: Sequence[Board]) -> list[str]:
    """The sentences, in Markdown; on single boards where there is no ranking.

    The first is on the score within the energy of the ranks, the second on the energy of a score near the ANN's.
    """
    if not rankings:
        return [_of_board(board) for board in boards[:2] if board.ann is not None]
    first = rankings[0]
    said = [_score(first)]
    said.append(_energy(min(rankings, key=_least)))
    return said


def _score(ranking: Ranking) -> str:
    leader, second = ranking.methods[:2]
    points, low, high = ranking.lead(leader, second)
    wins = ranking.wins(leader)
    gap = ranking.ranks[1] - ranking.ranks[0]
    told = "tells" if gap >= ranking.critical_difference else "does not tell"
    return (
        f"Within {ranking.budget:g} % of the ANN's energy `{leader}` leads the {_counted(ranking)}: it is the best on "
        f"{len(wins)} of these ({', '.join(wins) or 'none'}), on average by {_signed(points)} points [{_signed(low)}, "
        f"{_signed(high)}] over `{second}`, and the difference of their mean ranks ({ranking.ranks[0]:.2f} and "
        f"{ranking.ranks[1]:.2f}) {told} the two apart."
    )


def _energy(ranking: Ranking) -> str:
    order = sorted(zip(ranking.energy_ranks, ranking.methods, strict=True))
    (rank, leader), (other, second) = order[:2]
    energy, low, high, reached = ranking.energy(leader)
    rest, _, _, theirs = ranking.energy(second)
    follows = f"{rest:.0f} % on {theirs}" if theirs else "a score that no task reaches"
    return (
        f"To come within {NEAR:g} point of the ANN, `{leader}` needs the least energy of the {_counted(ranking)}: "
        f"{energy:.0f} % of the ANN's [{low:.0f}, {high:.0f}] in the geometric mean of the {reached} on which it does, "
        f"before `{second}` with {follows} (mean ranks {rank:.2f} and {other:.2f})."
    )


def _least(ranking: Ranking) -> float:
    """The energy of the method that ranks first by energy; infinite where it never comes near the ANN."""
    place = int(ranking.energy_ranks.argmin())
    energy, _, _, reached = ranking.energy(ranking.methods[place])
    return energy if reached else float("inf")


def _counted(ranking: Ranking) -> str:
    return f"{len(ranking.methods)} methods that were measured on the same {len(ranking.tasks)} tasks"


def _of_board(board: Board) -> str:
    """The best row within the ANN's energy."""
    able = [row for row in board.rows if row.kind == "spiking" and not row.at_chance
            and (board.share(row, "horowitz45", "unary") or 0.0) <= 100]  # fmt: skip
    if not able:
        return f"On {board.title} no spiking network is better than chance within the ANN's energy."
    best = max(able, key=lambda row: row.value)
    share = board.share(best, "horowitz45", "unary")
    return (
        f"On {board.title} the best score within the ANN's energy is {best.value:.2f}, by `{best.method}` at "
        f"T={best.T}, for {share:.1f} % of it."
    )


def _signed(points: float) -> str:
    return f"{points:+.1f}".replace("-", "\u2212")
