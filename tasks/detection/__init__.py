"""Object detection: boxes, average precision, the layouts of VOC and COCO, drawn scenes."""
