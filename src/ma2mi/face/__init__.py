"""A face: found in an image, tracked, and warped to one canonical crop."""
