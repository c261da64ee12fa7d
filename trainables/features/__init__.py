"""What can be told of a source set, a target and a task without a label of the target's test split.

``models`` compares backbones, ``texts`` what they make of unlabelled texts, ``before`` puts both
together for a source set before any tuning; ``neurons`` looks at tuned prompts.
:mod:`analysis.forecast.features` says what each feature means.
"""
