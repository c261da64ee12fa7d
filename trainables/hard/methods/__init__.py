"""One module a hard method, and what several share."""
