"""The parts of the *Teach* widget."""
