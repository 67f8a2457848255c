"""OLIVINE on Ray: which pretraining makes a LiDAR network best with the fewest labels, and why."""

from olivine import names_of_0_1

names_of_0_1.install()
