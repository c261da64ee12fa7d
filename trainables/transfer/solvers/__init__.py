"""The solvers, one a file; :data:`trainables.core.registries.SOLVERS` names them."""
