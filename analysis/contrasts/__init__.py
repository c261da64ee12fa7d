"""What is compared with what: pairs, choices, effects and the verdict on them."""
