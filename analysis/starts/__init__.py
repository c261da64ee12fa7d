"""Task transfer: what starts from other tasks' prompts bring, and whether retrieval finds them."""
