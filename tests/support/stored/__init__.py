"""What buckets and disks hold: made and looked at without the code under test."""
