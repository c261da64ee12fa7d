"""Search: which points of a space to run next, and what became of them (Optuna, the driver only).

Several points may be out at a time: ask a study as often as there is room, and tell in any order.
A budget of n trials is kept exactly by asking while ``finished + running < n`` or
``study.running()`` is not empty.
"""
