"""Is a card right, how fast is it, and how long would paper A take on it.

``python -m benchmarks.gpu`` needs torch, transformers, pydantic and this repository, and downloads
nothing: models are the embedded ones, or of the paper's sizes with random weights.
``--device cpu --tiny`` tries the code anywhere and measures nothing.
"""
