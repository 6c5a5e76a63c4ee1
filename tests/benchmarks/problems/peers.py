"""The libraries as their users call them, behind our protocol only so that one loop counts all."""

from typing import Literal

import numpy as np
import optuna
from problems import cim4
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.core.evaluator import Evaluator
from pymoo.core.problem import Problem as PymooProblem
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from pymoo.problems.static import StaticProblem
from pymoo.util.ref_dirs import get_reference_directions

from dse.core.parameters import Categorical


def _existing(problem, levels):
    """Levels as the problem numbers them; where two cells mean one design, the first of them."""
    if problem.space is cim4.SPACE:
        levels = cim4.canonical_levels(levels)
    return problem.space.canonical(levels.astype(np.float64))


class BarePymoo:
    """pymoo by ask and tell: integer sampling, SBX and PM with rounding, population 50."""

    def __init__(self, problem, seed, kind, population=50):
        self.problem = problem
        counts = np.array([p.count for p in problem.space.parameters])
        self.shape = PymooProblem(
            n_var=len(counts),
            n_obj=len(problem.objectives),
            n_ieq_constr=len(problem.constraints),
            xl=0,
            xu=counts - 1,
            vtype=int,
        )
        options = {
            "pop_size": population,
            "sampling": IntegerRandomSampling(),
            "crossover": SBX(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair()),
            "mutation": PM(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair()),
            "eliminate_duplicates": True,
        }
        if kind == "nsga2":
            self.algorithm = NSGA2(**options)
        else:
            directions = get_reference_directions(
                "energy", len(problem.objectives), population, seed=1
            )
            self.algorithm = NSGA3(directions, **options)
        self.algorithm.setup(self.shape, seed=seed, termination=("n_gen", 10**9), verbose=False)

    def ask(self):
        self.asked = self.algorithm.ask()
        if self.asked is None:
            return np.empty((0, len(self.problem.space.parameters)))
        return _existing(self.problem, np.asarray(self.asked.get("X")).astype(np.int64))

    def tell(self, answers):
        values = {"F": answers.losses}
        if len(self.problem.constraints):
            values["G"] = answers.violations
        Evaluator().eval(StaticProblem(self.shape, **values), self.asked)
        self.algorithm.tell(infills=self.asked)


class BareOptuna:
    """An Optuna study in memory, one trial after the other."""

    def __init__(self, problem, seed, kind):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = {
            "nsga2": lambda: optuna.samplers.NSGAIISampler(seed=seed, population_size=50),
            "tpe": lambda: optuna.samplers.TPESampler(seed=seed),
            "tpe-mv": lambda: optuna.samplers.TPESampler(seed=seed, multivariate=True),
            "gp": lambda: optuna.samplers.GPSampler(seed=seed, deterministic_objective=True),
        }[kind]()
        self.problem = problem
        directions: list[Literal["minimize"]] = ["minimize"] * len(problem.objectives)
        self.study = optuna.create_study(directions=directions, sampler=sampler)
        self.distributions: dict[str, optuna.distributions.BaseDistribution] = {
            p.name: optuna.distributions.CategoricalDistribution(tuple(range(p.count)))
            if isinstance(p, Categorical)
            else optuna.distributions.IntDistribution(0, p.count - 1)
            for p in problem.space.parameters
        }

    def ask(self):
        self.trial = self.study.ask(self.distributions)
        levels = [[self.trial.params[name] for name in self.problem.space.names]]
        return _existing(self.problem, np.array(levels))

    def tell(self, answers):
        for i, value in enumerate(answers.violations[0]):
            self.trial.set_constraint(f"c{i}", float(value))
        self.study.tell(self.trial, answers.losses[0].tolist())
