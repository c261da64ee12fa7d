"""What a user writes: the spec, its parsing, its errors and its JSON Schema."""
