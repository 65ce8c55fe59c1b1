"""Training: MA2MI pre-training, fine-tuning, and the frozen backbone under a ridge, as Learners."""
