"""Tables and figures, made only from what earlier steps have written."""
