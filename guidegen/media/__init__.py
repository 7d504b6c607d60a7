"""Image and video files in and out."""
