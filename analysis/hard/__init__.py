"""Tables, findings and the section of hard prompts."""
