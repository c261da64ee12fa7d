"""How long packs take: measured rates and estimates."""
