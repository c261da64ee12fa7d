"""Notes of the report on models that were not all read alike."""

import pandas as pd

from analysis.report.reading import read_notes


def test_models_in_chat_templates_and_from_gguf_files_are_named():
    frame = pd.DataFrame({"target": ["a", "b", "a"], "frame": ["chat", "plain", None]})
    models = {"a": {"alias": "a", "stored": "Q4_K, F32"}, "b": {"alias": "b", "stored": None}}
    assert read_notes(frame, {"spec": {"models": models}}) == [
        "Template chat: a reads in its own chat template; b has none and reads the same words"
        " without (as template all).",
        "a was read from a GGUF file, its weights dequantised from Q4_K, F32: scores are those of"
        " the dequantised model.",
    ]
    assert read_notes(frame.assign(frame=None), {}) == []
    both = frame.assign(frame="chat")
    assert read_notes(both, {}) == ["Template chat: a, b read in their own chat templates."]
