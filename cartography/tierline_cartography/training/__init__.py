"""Fine-tuning every exit at once, and writing down how each sample fared."""
