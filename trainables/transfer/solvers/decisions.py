"""Vectors in closed form; what decides about them is learnt on the target, without labels."""

from trainables.transfer.solvers.closed_form import ClosedForm


class Decisions(ClosedForm):
    """The closed form for the vectors of prompts whose heads :mod:`trainables.soft.decided` learns.

    Of prompts that decide nothing it is the closed form.
    """
