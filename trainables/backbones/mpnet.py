"""MPNet: RoBERTa's head and positions; its embedding layer fixes the padding index at 1."""

from trainables.backbones.roberta import Roberta


class MPNet(Roberta):
    """``MPNetForMaskedLM``."""

    model_type = "mpnet"

    @property
    def first_position(self) -> int:
        """MPNet's embedding layer has its padding index (1) built in, whatever the config says."""
        return 2
