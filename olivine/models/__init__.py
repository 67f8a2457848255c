"""Networks: 3D backbones, image teachers, sparse convolution and published 2D models."""
