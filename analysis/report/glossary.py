"""What the words of the report mean."""

from trainables.core.ceiling import LEAST_GAP
from trainables.scoring.calibration import CALIBRATIONS

GLOSSARY = {
    "Empty": "the model on the task's text alone, without any prompt.",
    "Manual": "the model on the text with the task's hand-written template, no tuned prompt.",
    "Constant": "always the most frequent class of the training split: the score that needs no "
    "model.",
    "Direct": "a prompt tuned on the target itself with the same settings and seeds: the ceiling "
    "that a transfer is measured against, not a transfer.",
    "Single": "a prompt tuned on one source model, carried over.",
    "Baseline": "prompts tuned on each model of the source set independently (λ = 0), carried over "
    "together.",
    "Ours": "prompts tuned jointly on the source set with the alignment loss at weight λ (constant "
    "or annealing), carried over together. λ is chosen per target and source set by the "
    '{criterion}, for each seed on the other seeds ("λ per seed" where they differ); the test '
    "split chooses nothing.",
    "Independent, Joint": "the same tuned prompts, evaluated on the source models themselves.",
    "Gap recovered": "(score − Empty) / (Direct − Empty) on the same task: 100 % is the ceiling, "
    "0 % no better than Empty. Only where Direct is at least "
    f"{100 * LEAST_GAP:g} points above Empty; a share of a smaller gap would be a share of noise. "
    "Direct is its mean over seeds and taken as exact: its own spread is not in the ±.",
    "Calibration": "a correction that needs no labels, the same for every row: "
    + "; ".join(f"{item.title} subtracts {item.meaning}" for item in CALIBRATIONS.values())
    + ". All other numbers of this report are uncalibrated, and so is the choice of λ.",
    "Mean ± sd, n": "mean and sample standard deviation over n seeds, in points (100 times the "
    "metric); – where there is one seed. References need no seed.",
    "Bold": "in score tables the better of Baseline and Ours, nothing else; among differences, "
    "intervals that exclude 0.",
    "†": "more than half of the seeds predict a single class for the whole test split.",
    "Similarity": "how well the carried-over prompt keeps its relative position among the common "
    "words of both models (1 is perfect).",
}
COMMON_WORDS = ("Empty", "Manual", "Constant", "Mean ± sd, n", "†")
"""Words of the glossary that a report of hard prompts alone needs, too."""
