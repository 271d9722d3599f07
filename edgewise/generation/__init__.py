"""Pure functions that every runtime must agree on to the bit: state, noise, sampling, text, stops, template."""
