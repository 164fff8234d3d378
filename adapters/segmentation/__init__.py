"""Networks for semantic segmentation: DeepLabv3, FCN, and a light one."""
