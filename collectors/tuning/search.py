"""The search itself, by Optuna's tree-structured Parzen estimator: which candidate to try next.

Source of the method: Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kernels.parameters import Parameter, Setting

REPEATS = 10  # times the sampler may name what was tried before something untried is drawn

Settings = Mapping[str, Setting]
Key = tuple[Setting, ...]


@dataclass
class Search:
    """A minimisation of cost over the choices of parameters; no candidate is proposed twice.

    The defaults come first. What was refused or incorrect counts as worse than any cost.
    """

    parameters: tuple[Parameter, ...]
    seed: int
    past: Sequence[tuple[Settings, float | None]] = ()
    _study: Any = field(init=False)
    _open: dict[Key, Any] = field(init=False, default_factory=dict)
    _seen: set[Key] = field(init=False, default_factory=set)
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # Going on with a study must not repeat the draws that began it.
        seed = self.seed + len(self.past)
        self._random = random.Random(seed)  # noqa: S311 (no secret)
        self._study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        for settings, cost in self.past:
            self._seen.add(self._key(settings))
            self._study.add_trial(
                optuna.trial.create_trial(
                    params=dict(settings), distributions=self._space(), **_outcome(cost)
                )
            )

    @property
    def size(self) -> int:
        """Combinations there are."""
        return math.prod(len(each.choices) for each in self.parameters)

    def propose(self) -> Settings | None:
        """The next candidate, None when every combination was tried."""
        if len(self._seen) == self.size:
            return None
        if not self._seen:
            self._study.enqueue_trial({each.name: each.default for each in self.parameters})
        trial = self._ask()
        self._seen.add(self._key(trial.params))
        self._open[self._key(trial.params)] = trial
        found: Settings = trial.params
        return found

    def tell(self, settings: Settings, cost: float | None) -> None:
        """The cost of a proposed candidate, None when it was refused or incorrect."""
        self._study.tell(self._open.pop(self._key(settings)), **_told(cost))

    def _ask(self) -> Any:
        import optuna

        for _ in range(REPEATS):
            trial = self._study.ask(self._space())
            if self._key(trial.params) not in self._seen:
                return trial
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        self._study.enqueue_trial(self._untried())
        return self._study.ask(self._space())

    def _untried(self) -> Settings:
        every = itertools.product(*(each.choices for each in self.parameters))
        chosen = self._random.choice([key for key in every if key not in self._seen])
        return {each.name: value for each, value in zip(self.parameters, chosen, strict=True)}

    def _space(self) -> dict[str, Any]:
        from optuna.distributions import CategoricalDistribution

        return {each.name: CategoricalDistribution(each.choices) for each in self.parameters}

    def _key(self, settings: Settings) -> Key:
        return tuple(settings[each.name] for each in self.parameters)


def _told(cost: float | None) -> dict[str, Any]:
    from optuna.trial import TrialState

    return {"state": TrialState.PRUNED} if cost is None else {"values": cost}


def _outcome(cost: float | None) -> dict[str, Any]:
    from optuna.trial import TrialState

    return {"state": TrialState.PRUNED} if cost is None else {"value": cost}
