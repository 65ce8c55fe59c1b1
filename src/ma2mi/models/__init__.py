"""The networks: they know tensors only, and turn (position, action) into a grid and logits."""
