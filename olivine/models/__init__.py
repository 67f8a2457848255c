"""Networks: 3D backbones, image teachers, sparse convolution, published 2D models."""
