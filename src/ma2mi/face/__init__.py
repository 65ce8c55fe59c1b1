"""A face: found in an image, warped to one canonical crop, and watched for the smallest motion."""
