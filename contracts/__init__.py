"""What the parts say to each other: plain typed data, and the catalog of lanes and workflows."""
