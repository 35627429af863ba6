"""Training: one Accelerate loop, a task for each train_*.py, augmentations that they share."""
