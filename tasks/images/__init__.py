"""Image classification: labelled images in memory or in folders, CIFAR, the digits."""
