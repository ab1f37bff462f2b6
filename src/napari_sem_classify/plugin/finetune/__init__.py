"""Parts of the *Fine-tune* widget."""
