"""Patients that are one: a film published under two ids belongs to one person."""

import re
from collections.abc import Collection, Iterable, Mapping

JOIN = "+"
"""Between the ids of a person's name: `covid:137+covid:202`."""


def merged_names(patients: Iterable[str], links: Iterable[tuple[str, str]]) -> dict[str, str]:
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
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for one, other in links:
        parent[root(one)] = root(other)
    people: dict[str, list[str]] = {}
    for name in sorted(parent):
        people.setdefault(root(name), []).append(name)
    return {
        name: JOIN.join(people[root(name)])
        for name in set(patients) & set(parent)
        if len(people[root(name)]) > 1
    }


def separated(name: str, sources: Collection[str] | Mapping[str, object]) -> list[tuple[str, str]]:
    """Return the (source, patient) pairs of a patient's name in the manifest, one if unmerged."""
    known = "|".join(map(re.escape, sorted(sources, key=len, reverse=True)))
    parts = re.split(rf"(?:^|{re.escape(JOIN)})({known}):", name)
    return list(zip(parts[1::2], parts[2::2], strict=True))
