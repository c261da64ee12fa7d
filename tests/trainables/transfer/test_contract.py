"""Every solver of the registry against the contract."""

import pytest

from trainables.core.registries import SOLVERS
from trainables.core.settings import TransferSettings
from trainables.testing.solver_contract import SolverContract
from trainables.transfer import solver_named
from trainables.transfer.solver import Way


def test_every_name_leads_to_a_way() -> None:
    assert all(isinstance(solver_named(name), Way) for name in SOLVERS)


class TestClosedForm(SolverContract):
    settings = TransferSettings()


class TestClosedFormMasked(SolverContract):
    settings = TransferSettings(top_k=40)


class TestDecisions(SolverContract):
    settings = TransferSettings(solver="decisions")


class TestRidge(SolverContract):
    settings = TransferSettings(solver="ridge", selection="target_validation")


class TestRidgeOfLastMask(SolverContract):
    settings = TransferSettings(solver="ridge", gammas=(0.1, 0.0), top_k=40, mask="ptfer_release")
    order_free = False


@pytest.mark.slow
class TestAdam(SolverContract):
    settings = TransferSettings(solver="adam", steps=120)
    stochastic = True


@pytest.mark.slow
class TestAdamMasked(SolverContract):
    settings = TransferSettings(solver="adam", steps=60, top_k=40, learning_rate=1e-2)
    stochastic = True


class TestV2vLin(SolverContract):
    settings = TransferSettings(solver="v2v_lin")


class TestLinComb(SolverContract):
    settings = TransferSettings(solver="lin_comb", norm="mean")


@pytest.mark.slow
class TestV2vNn(SolverContract):
    settings = TransferSettings(solver="v2v_nn")
    stochastic = True
