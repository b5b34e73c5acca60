"""Speed side by side with a plain loop, equal tuning of all methods, and whether bf16 costs quality."""
