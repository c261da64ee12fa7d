"""Files read and written safely: whole or not at all, refused in one sentence."""
