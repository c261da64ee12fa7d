"""Tables and figures of soft prompts."""
