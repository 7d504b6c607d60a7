"""Training of the embedded CLIP: text tower, image tower, adversarial fine-tuning, evaluation."""
