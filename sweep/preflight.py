"""What can go wrong with models and tasks, found before anything is trained."""

from sweep.plan import Plan


def check_plan(plan: Plan) -> None:
    """Read every split and every label word on every model that meets the task.

    Imports torch and transformers, but loads no weights.

    Raises:
        InputError: an empty split, a label outside the classes, or a label word that is not one
            token of a model; names model, task and word.
    """
    from trainables.backbones import load_reader
    from trainables.tasks import load_task

    readers = {alias: load_reader(model) for alias, model in plan.resolved.models.items()}
    for reference in plan.resolved.tasks:
        task = load_task(reference)
        for reader in readers.values():
            reader.label_ids(task.label_words, task.name)
        task.check()
