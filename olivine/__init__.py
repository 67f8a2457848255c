"""OLIVINE on Ray: which pretraining makes a LiDAR network best with the fewest labels, and why."""
