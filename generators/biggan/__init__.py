"""BigGAN-deep: a z and a class vector for every block."""
