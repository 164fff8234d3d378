"""Image classifiers: residual networks and VGG for CIFAR, torchvision's, and one for the digits."""
