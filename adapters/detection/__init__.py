"""Detectors: YOLOv2 with its anchors, backbones and loss, and those of ultralytics."""
