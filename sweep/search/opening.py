"""How a study begins, and what must be as it was where it is continued."""

import warnings
from pathlib import Path

import optuna
from optuna.storages import BaseStorage
from optuna.study import StudyDirection

from sweep.search.records import OBJECTIVES
from sweep.spec.space.samplers import PRUNERS, SAMPLERS
from sweep.spec.space.section import StudySettings
from sweep.spec.space.space import Space
from trainables.errors import InputError

SPACE = "space"
"""Attribute of a study: digest of its space."""

FLAT = "flat"
"""Attribute of a study: whether every trial has every parameter."""


def begin(storage: BaseStorage, path: Path, space: Space, settings: StudySettings) -> optuna.Study:
    """Optuna's study of that name in the journal, new or continued.

    Raises:
        InputError: it has other objectives, another space or a sampler that needs other parameters.
    """
    with warnings.catch_warnings():  # some pruners are marked experimental
        warnings.simplefilter("ignore")
        pruner = PRUNERS[settings.pruner]()
    kind = SAMPLERS[settings.sampler]
    wanted = {
        OBJECTIVES: objectives_of(settings),
        SPACE: space.digest,
        FLAT: bool(kind.flat),
    }
    names = [item.study_name for item in storage.get_all_studies()]
    if settings.name in names:
        # Asked for with other directions, Optuna would answer with an error of its own.
        study = optuna.load_study(study_name=settings.name, storage=storage, pruner=pruner)
    else:
        directions = [StudyDirection[item.direction.upper()] for item in settings.objectives]
        study = optuna.create_study(
            study_name=settings.name, storage=storage, directions=directions, pruner=pruner
        )
    if not study.get_trials(deepcopy=False):
        # A kill may have come between the study and its attributes.
        for key, value in wanted.items():
            if key not in study.user_attrs:
                study.set_user_attr(key, value)
    found = study.user_attrs
    where = f"{path}: the study {settings.name}"
    means = "; a new study can be warm-started from it"
    if found.get(OBJECTIVES) != wanted[OBJECTIVES]:
        raise InputError(f"{where} has other objectives; allowed: the same ones")
    if found.get(SPACE) != wanted[SPACE]:
        raise InputError(f"{where} was begun with another space; allowed: the same one{means}")
    if kind.flat not in (found.get(FLAT), None):
        same = (name for name, item in SAMPLERS.items() if item.flat in (found.get(FLAT), None))
        raise InputError(
            f"{where} was begun with a sampler of another kind than {settings.sampler};"
            f" allowed: {', '.join(same)}{means}"
        )
    return study


def objectives_of(settings: StudySettings) -> list[list[str]]:
    return [[item.name, item.direction] for item in settings.objectives]
