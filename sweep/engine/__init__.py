"""From packs to outcomes: Ray Tune, workers, clusters, progress."""
