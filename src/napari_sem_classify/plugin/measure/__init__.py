"""Parts of the *Measure* widget."""
