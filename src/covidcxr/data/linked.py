"""Patients that are one: an image published under two ids belongs to one person."""

import re
from collections.abc import Collection, Iterable, Mapping

from scipy.cluster.hierarchy import DisjointSet

JOIN = "+"
"""Between the ids of a person's name: `covid:137+covid:202`."""


def merged_names(patients: Iterable[str], links: Collection[tuple[str, str]]) -> dict[str, str]:
    """Return one name for each set of linked patients: their ids, sorted and joined by `JOIN`.

    Parameters
    ----------
    patients
        Ids, `<source>:<patient>`.
    links
        Pairs of ids that are one person; chains of pairs are one person too. Ids that are not
        among `patients` link others, and are part of the name.

    Returns
    -------
    The name of every one of `patients` that is linked; unlinked ones are left out.
    """
    people = DisjointSet({name for pair in links for name in pair})
    for pair in links:
        people.merge(*pair)
    return {
        name: JOIN.join(sorted(people.subset(name)))
        for name in set(patients)
        if name in people and people.subset_size(name) > 1
    }


def separated(name: str, sources: Collection[str] | Mapping[str, object]) -> list[tuple[str, str]]:
    """Return the (source, patient) pairs of a patient's name in the manifest, one if unmerged."""
    known = "|".join(map(re.escape, sorted(sources, key=len, reverse=True)))
    parts = re.split(rf"(?:^|{re.escape(JOIN)})({known}):", name)
    return list(zip(parts[1::2], parts[2::2], strict=True))
