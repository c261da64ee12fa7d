"""Transfer of soft prompts from source models to a target model.

``problem`` says what is asked, ``solvers`` holds one file a way of answering, ``norms`` the length
of what was found, ``selection`` the choice among a solver's candidates; ``solving`` puts them
together.
"""

from trainables.transfer.problem import Candidates, Lesson, Problem, Space, TargetTask
from trainables.transfer.selection import Judgement, Judges
from trainables.transfer.solver import Found, Predicted, Predictor, Solver, solver_named
from trainables.transfer.solving import Carried, Transferred, carry, solve, transfer

__all__ = [
    "Candidates",
    "Carried",
    "Found",
    "Judgement",
    "Judges",
    "Lesson",
    "Predicted",
    "Predictor",
    "Problem",
    "Solver",
    "Space",
    "TargetTask",
    "Transferred",
    "carry",
    "solve",
    "solver_named",
    "transfer",
]
