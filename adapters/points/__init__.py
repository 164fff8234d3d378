"""Networks for point clouds: PointNet for classes and for parts."""
