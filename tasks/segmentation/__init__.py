"""Semantic segmentation: maps of classes, mean IoU, the layouts of VOC, COCO and CamVid, drawn scenes."""
