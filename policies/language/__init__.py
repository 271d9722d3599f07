"""The expression language: a CEL profile, from text to typed trees to Python code. It knows no policies, no facts."""
