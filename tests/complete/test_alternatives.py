"""Up to three different completions, and how they are asked for."""

from __future__ import annotations

from paceline.complete.alternatives import SAMPLING_TEMPERATURE, choose, sampling_plan
from paceline.core.types import Candidate
from paceline.generate.types import GenerateParams, Session


def candidate(text: str, mean_logprob: float = -1.0) -> Candidate:
    return Candidate(text=text, num_tokens=4, logprob=4 * mean_logprob)


def chosen(*candidates: Candidate) -> list[str]:
    return [one.text for one in choose(candidates)]


def test_the_greedy_one_is_first_and_the_likelier_come_next() -> None:
    given = (candidate("a", -3), candidate("b", -2), candidate("c", -1), candidate("d", -0.5))
    assert chosen(*given) == ["a", "d", "c"]
    assert choose([]) == ()


def test_white_space_makes_no_difference() -> None:
    assert chosen(candidate("f(a, b)"), candidate("f(a,b)"), candidate(" f(a, b)\n")) == ["f(a, b)"]


def test_the_same_first_line_going_on_is_no_alternative() -> None:
    assert chosen(candidate("a = 1"), candidate("a = 1\nb = 2")) == ["a = 1"]
    assert chosen(candidate("a = 1"), candidate("a = 12")) == ["a = 1", "a = 12"]
    assert chosen(candidate("a\nb"), candidate("a\nc")) == ["a\nb", "a\nc"]


def test_a_candidate_that_was_not_drawn_ranks_last() -> None:
    assert chosen(candidate("a"), Candidate(text="b"), candidate("c", -9)) == ["a", "c", "b"]


def test_the_plan_draws_the_others_each_by_its_own_seed() -> None:
    params = GenerateParams(session=Session("s", "d"), stop=("x",))
    first, *others = sampling_plan(params, 3, seed=10)
    assert first is params
    assert [one.seed for one in others] == [11, 12]
    assert all(one.temperature == SAMPLING_TEMPERATURE and one.session is None for one in others)
    assert all(one.stop == ("x",) for one in others)
    assert sampling_plan(params, 1) == (params,)
    assert len(sampling_plan(params, 99)) == 3
    assert sampling_plan(GenerateParams(temperature=1.2), 2)[1].temperature == 1.2
