"""The solvers, one a file."""

from trainables.transfer.solver import Solver
from trainables.transfer.solvers.adam import Adam
from trainables.transfer.solvers.closed_form import ClosedForm
from trainables.transfer.solvers.lin_comb import LinComb
from trainables.transfer.solvers.projector import Projector
from trainables.transfer.solvers.ridge import Ridge
from trainables.transfer.solvers.v2v_lin import V2vLin
from trainables.transfer.solvers.v2v_nn import V2vNn

SOLVERS: dict[str, Solver] = {
    solver.name: solver
    for solver in (ClosedForm(), Ridge(), Adam(), V2vLin(), V2vNn(), LinComb(), Projector())
}
"""Every solver by name; the same names as in :data:`trainables.core.settings.SOLVER_SETTINGS`."""
