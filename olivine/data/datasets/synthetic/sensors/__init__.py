"""The cameras and the LiDAR: what they record of a scene."""
