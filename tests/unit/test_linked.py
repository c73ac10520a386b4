from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from covidcxr.data.linked import merged_names, separated

PATIENTS = [f"s{k % 2}:{k}" for k in range(12)]


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=15))
def test_patients_are_one_exactly_where_a_chain_of_links_joins_them(
    links: list[tuple[int, int]],
) -> None:
    names = merged_names(PATIENTS, [(PATIENTS[a], PATIENTS[b]) for a, b in links])
    rows, columns = zip(*links, strict=True) if links else ((), ())
    graph = coo_array(([1] * len(links), (rows, columns)), shape=(12, 12))
    components = connected_components(graph, directed=False)[1]
    for a in range(12):
        for b in range(12):
            one, other = PATIENTS[a], PATIENTS[b]
            same = names.get(one, one) == names.get(other, other)
            assert same == (components[a] == components[b])


def test_a_name_lists_every_id_and_can_be_taken_apart() -> None:
    names = merged_names(["a:1", "b:x+y"], [("b:x+y", "a:1")])
    assert names == dict.fromkeys(["a:1", "b:x+y"], "a:1+b:x+y")
    assert separated("a:1+b:x+y", ["a", "b"]) == [("a", "1"), ("b", "x+y")]
    assert separated("a:1", {"a": 0}) == [("a", "1")]


def test_ids_that_are_not_asked_for_still_link_others() -> None:
    names = merged_names(["s:1", "s:3"], [("s:1", "s:2"), ("s:2", "s:3")])
    assert names == dict.fromkeys(["s:1", "s:3"], "s:1+s:2+s:3")
