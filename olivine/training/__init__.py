"""The stages that train: pretraining, and evaluation by linear probe or fine-tuning."""
