"""Patients into a test set or into folds by integer program, every patient wholly on one side.

Patients with the same number of images of each class are interchangeable, so the program's
variables count patients of one *signature* (images per class) instead of naming patients. However
many patients there are, their signatures are few, and the program stays small. Which patients of a
signature are taken is then sampled at random.

Each problem is solved in two stages. The first finds the class counts nearest to those asked. The
second keeps that optimum and asks for the representative solution: of every signature the share
of patients that a random draw would take, so that patients with many images are not kept out of the
test set because single images add up more easily.
"""

import warnings
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pulp

from covidcxr.array_types import Floats, Integers
from covidcxr.logs import log

NODE_LIMIT = 2000
"""Branch-and-bound nodes a stage may use. A limit in nodes, unlike one in seconds, gives the same
solution on a slow machine."""

TIME_LIMIT = 120.0
"""Seconds after which a stage is stopped whatever the nodes; a warning says so."""

REPRESENTATIVE_GAP = 0.02
"""Relative gap at which the second stage (how representative the draw is) may stop; the first stage
(the class counts) is solved without a gap."""


@dataclass(frozen=True)
class Signatures:
    """Groups gathered by their class counts.

    Attributes
    ----------
    counts
        int64 [signatures, classes]: images per class of one group of the signature.
    members
        The groups of each signature, sorted.
    """

    counts: Integers
    members: list[list[Hashable]]

    @property
    def sizes(self) -> Integers:
        """int64 [signatures]: groups of each signature."""
        return np.array([len(groups) for groups in self.members], np.int64)


def signatures(counts: pd.DataFrame) -> Signatures:
    """Gather the equal rows of `counts` (groups x classes); the order of rows has no effect."""
    if counts.empty:
        return Signatures(np.zeros((0, counts.shape[1]), np.int64), [])
    ordered = counts.sort_index()
    distinct, which = np.unique(ordered.to_numpy(np.int64), axis=0, return_inverse=True)
    members: list[list[Hashable]] = [[] for _ in distinct]
    for group, signature in zip(ordered.index, which.ravel(), strict=True):
        members[signature].append(group)
    return Signatures(distinct, members)


def choose_groups(
    counts: pd.DataFrame, targets: Mapping[str, int], rng: np.random.Generator
) -> set[Hashable]:
    """Choose whole groups so that the class counts come nearest to `targets`.

    Minimises the sum over classes of abs(images chosen - target); among the minima it prefers the
    one nearest to a draw in which every signature is represented by its share.

    Parameters
    ----------
    counts
        Images per group (index, unique) and class (columns), integers >= 0.
    targets
        Images to choose of each class (column of `counts`).
    rng
        Draws the groups of a signature and how fractional shares are rounded.

    Returns
    -------
    The chosen group names. A warning is logged where a target is not reached.
    """
    found = signatures(counts)
    target = np.array([targets[name] for name in counts.columns], np.int64)
    expected = found.sizes * _share(found, target)
    preferred = np.minimum(_round_systematically(expected, rng), found.sizes)
    take = _choose(found, found.sizes, target, preferred)
    chosen = {
        group
        for members, number in zip(found.members, take, strict=True)
        for group in _shuffled(members, rng)[:number]
    }
    for name, reached, asked in zip(counts.columns, found.counts.T @ take, target, strict=True):
        if reached != asked:
            log.warning(
                "%d images of class %s asked, %d taken: the nearest found with whole groups",
                asked,
                name,
                reached,
            )
    return chosen


def partition_groups(
    counts: pd.DataFrame, folds: int, rng: np.random.Generator
) -> dict[Hashable, int]:
    """Divide whole groups into folds whose class counts are as even as the groups allow.

    Minimises the images beyond an even division: per fold and class the distance of the count to
    floor(n/folds)..ceil(n/folds), and the same for the fold's size over all classes; a fold without
    a class counts one image more. Among the minima it prefers to spread the groups of each
    signature evenly too.

    An even division is first sought fold by fold, which finds one quickly where there is one. Only
    where that fails are all folds solved for at once.

    Parameters
    ----------
    counts
        Images per group (index, unique) and class (columns), integers >= 0.
    folds
        Number of folds, >= 1.
    rng
        Draws which groups go to which fold.

    Returns
    -------
    Fold (0..folds-1) of every group. A warning is logged where a class cannot be divided evenly.
    """
    found = signatures(counts)
    targets = _deal(found.counts.T @ found.sizes, folds)
    preferred = _deal(found.sizes, folds)[:, rng.permutation(folds)]
    take = _fold_by_fold(found, targets, preferred)
    if np.any(found.counts.T @ take != targets):
        take = _folds_at_once(found, take, preferred)
    fold_of: dict[Hashable, int] = {}
    for members, numbers in zip(found.members, take, strict=True):
        fold_of.update(
            zip(_shuffled(members, rng), np.repeat(np.arange(folds), numbers).tolist(), strict=True)
        )
    for name, reached in zip(counts.columns, found.counts.T @ take, strict=True):
        low, high = _even_range(int(reached.sum()), folds)
        if reached.min() < low or reached.max() > high:
            log.warning(
                "the %d folds hold %s images of class %s where %d to %d were asked: the most even "
                "division found with whole groups",
                folds,
                ", ".join(map(str, reached)),
                name,
                low,
                high,
            )
    return fold_of


def _choose(
    found: Signatures, available: Integers, target: Integers, preferred: Integers
) -> Integers:
    """Return how many groups of each signature to take, int64 [signatures], at most `available`."""
    if not len(available):
        return np.zeros(0, np.int64)
    problem = pulp.LpProblem("choose", pulp.LpMinimize)
    take = [
        _whole_number(problem, f"take_{s}", int(size), int(start))
        for s, (size, start) in enumerate(zip(available, preferred, strict=True))
    ]
    _solve_in_stages(
        problem,
        pulp.lpSum(
            _absolute(problem, pulp.lpDot(column.tolist(), take) - int(wanted), f"class_{c}")
            for c, (column, wanted) in enumerate(zip(found.counts.T, target, strict=True))
        ),
        lambda: pulp.lpSum(
            weight * _absolute(problem, variable - int(wanted), f"share_{s}")
            for s, (variable, wanted, weight) in enumerate(
                zip(take, preferred, _weights(found), strict=True)
            )
        ),
    )
    return np.array([round(variable.value()) for variable in take], np.int64)


def _fold_by_fold(found: Signatures, targets: Integers, preferred: Integers) -> Integers:
    """Fill each fold from what is left: groups per signature and fold, int64."""
    take = np.zeros_like(preferred)
    for k in range(preferred.shape[1] - 1):
        left = found.sizes - take.sum(axis=1)
        take[:, k] = _choose(found, left, targets[:, k], np.minimum(preferred[:, k], left))
    take[:, -1] = found.sizes - take.sum(axis=1)
    return take


def _folds_at_once(found: Signatures, start: Integers, preferred: Integers) -> Integers:
    """Solve for all folds, beginning at `start`: groups per signature and fold, int64."""
    folds = start.shape[1]
    problem = pulp.LpProblem("partition", pulp.LpMinimize)
    take = [
        [_whole_number(problem, f"take_{s}_{k}", int(size), int(start[s, k])) for k in range(folds)]
        for s, size in enumerate(found.sizes)
    ]
    for variables, size in zip(take, found.sizes, strict=True):
        problem += pulp.lpSum(variables) == int(size)
    excess = []
    # The last column, images of all classes, keeps the folds of one size.
    columns = np.column_stack([found.counts, found.counts.sum(axis=1)])
    for c, column in enumerate(columns.T):
        low, high = _even_range(int(column @ found.sizes), folds)
        for k in range(folds):
            reached = pulp.lpDot(column.tolist(), [variables[k] for variables in take])
            beyond = problem.add_variable(f"beyond_{c}_{k}", 0)
            problem += reached - beyond <= high
            problem += reached + beyond >= low
            empty = problem.add_variable(f"empty_{c}_{k}", 0)
            problem += reached + empty >= min(1, low)
            excess += [beyond, empty]
    _solve_in_stages(
        problem,
        pulp.lpSum(excess),
        lambda: pulp.lpSum(
            weight * _absolute(problem, take[s][k] - int(preferred[s, k]), f"share_{s}_{k}")
            for s, weight in enumerate(_weights(found))
            for k in range(folds)
        ),
    )
    return np.array([[round(v.value()) for v in variables] for variables in take], np.int64)


def _share(found: Signatures, target: Integers) -> Floats:
    """Return the share of each signature that a proportional choice takes, float64 in [0, 1].

    A signature with images of several classes takes the mean of their shares, weighted by images.
    """
    totals = found.counts.T @ found.sizes
    class_share = np.divide(target, totals, out=np.zeros(len(target)), where=totals > 0)
    images = found.counts.sum(axis=1)
    weighted = found.counts @ np.clip(class_share, 0, 1)
    return np.divide(weighted, images, out=np.zeros(len(images)), where=images > 0)


def _weights(found: Signatures) -> Floats:
    """Weigh a signature's deviation by images over the spread of its draw.

    Images, so that leaving out one patient of three images is worth as much as three of one; the
    root of the number of groups, so that common signatures absorb what must deviate and rare ones
    stay as sampled.
    """
    return np.maximum(found.counts.sum(axis=1), 1) / np.sqrt(np.maximum(found.sizes, 1))


def _round_systematically(values: Floats, rng: np.random.Generator) -> Integers:
    """Round each value up or down so that it keeps its expectation and the running sum its value.

    Systematic sampling: signatures that follow one another (same class, one image more) make up for
    each other's rounding. So rare ones are sampled by chance, and the class counts still come out.
    """
    ends = np.floor(np.cumsum(values) + rng.random())
    return np.diff(ends, prepend=0).astype(np.int64)


def _even_range(total: int, folds: int) -> tuple[int, int]:
    return total // folds, -(-total // folds)


def _deal(totals: Integers, folds: int) -> Integers:
    """Deal each total round the folds like cards, the next total going on where the last left off.

    Returns
    -------
    int64 [totals, folds]. Each row is even to within one, and so is the sum over rows that follow
    one another.
    """
    ends = np.cumsum(totals)
    dealt = [
        [len(range(first + (k - first) % folds, end, folds)) for k in range(folds)]
        for first, end in zip(ends - totals, ends, strict=True)
    ]
    return np.array(dealt, np.int64).reshape(len(totals), folds)


def _whole_number(problem: pulp.LpProblem, name: str, most: int, start: int) -> pulp.LpVariable:
    variable = problem.add_variable(name, 0, most, cat="Integer")
    variable.setInitialValue(start)
    return variable


def _absolute(
    problem: pulp.LpProblem, difference: pulp.LpAffineExpression, name: str
) -> pulp.LpVariable:
    """Add a variable that a minimum makes equal to abs(difference)."""
    deviation = problem.add_variable(f"off_{name}", 0)
    problem += difference <= deviation
    problem += -difference <= deviation
    return deviation


def _solve_in_stages(
    problem: pulp.LpProblem,
    first: pulp.LpAffineExpression,
    second: Callable[[], pulp.LpAffineExpression],
) -> None:
    """Minimise `first`, then `second()` without making `first` worse; leaves the variables set."""
    problem.setObjective(first)
    if not _solve(problem, gap=0.0):
        log.info("CBC stopped before it proved that no nearer class counts exist")
    # The objective is a sum of distances between integers.
    problem += first <= round(pulp.value(first))
    problem.setObjective(second())
    _solve(problem, gap=REPRESENTATIVE_GAP)


def _solve(problem: pulp.LpProblem, *, gap: float) -> bool:
    """Solve from the variables' present values; return whether `gap` was reached."""
    with warnings.catch_warnings():
        # PuLP announces that version 4 will ship CBC as an extra; the version here is pinned.
        warnings.simplefilter("ignore", DeprecationWarning)
        # Without `threads`: CBC's threaded mode, even with one thread, now and then idles for 10 s.
        solver = pulp.PULP_CBC_CMD(
            msg=False, gapRel=gap, maxNodes=NODE_LIMIT, timeLimit=TIME_LIMIT, warmStart=True
        )
    problem.solve(solver)
    if problem.sol_status not in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible):
        raise RuntimeError(f"CBC found no division of the groups: {pulp.LpStatus[problem.status]}")
    if problem.solutionTime > TIME_LIMIT:
        log.warning(
            "CBC was stopped after %.0f s; a faster machine may divide otherwise", TIME_LIMIT
        )
    return problem.sol_status == pulp.LpSolutionOptimal


def _shuffled(members: list[Hashable], rng: np.random.Generator) -> list[Hashable]:
    return [members[i] for i in rng.permutation(len(members))]
