"""The code of registered models, which MLflow keeps beside them as text and runs to load them.

It needs ``trainables``, which the model carries, and nothing else of this project.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from trainables.interchange.classifier import Classifier

ARTIFACT = "classifier"
TEXT_COLUMNS = ("text",)
PAIR_COLUMNS = ("text_a", "text_b")


class PromptModel(PythonModel):  # type: ignore[misc]
    """A classifier of texts as MLflow serves it."""

    def load_context(self, context: Any) -> None:
        """Load prompt and backbone; raises InputError where one of them is not to be had."""
        self._classifier = Classifier.load(Path(context.artifacts[ARTIFACT]))

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Class and probabilities of every row.

        Args:
            context: not used, the classifier is loaded already.
            model_input: a column ``text``, or ``text_a`` and ``text_b`` for tasks on pairs.

        Returns:
            ``label`` and a column ``probability_CLASS`` for each class.
        """
        classifier = self._classifier
        columns = PAIR_COLUMNS if classifier.pair else TEXT_COLUMNS
        # As the task's own rows are read.
        texts = [[str(text).strip() for text in model_input[name]] for name in columns]
        contents = list(zip(*texts, strict=True)) if classifier.pair else texts[0]
        answers = classifier.classify(contents)
        found = pd.DataFrame({"label": pd.Series(answers.labels, dtype=object)})
        for place, name in enumerate(classifier.classes):
            found[f"probability_{name}"] = answers.probabilities[:, place].numpy()
        return found


set_model(PromptModel())
