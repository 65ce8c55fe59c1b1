"""Prepared clips: face crops under one warp each, the pairs drawn from them, and their batches."""
