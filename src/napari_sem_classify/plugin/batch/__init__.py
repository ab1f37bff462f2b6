"""Parts of the *Batch* widget: what comes in, what goes out, the work, and what came of it."""
