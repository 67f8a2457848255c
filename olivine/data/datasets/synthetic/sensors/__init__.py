"""What the cameras and the LiDAR see of a scene."""
