from tests.sweep.search.conftest import second_method

__all__ = ["second_method"]
