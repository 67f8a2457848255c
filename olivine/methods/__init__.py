"""What a pretraining method is: terms, each of which matches, samples, pools and compares."""
