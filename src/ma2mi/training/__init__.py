"""Training: MA2MI pre-training, fine-tuning, and the frozen trunk under a ridge, as Learners."""
