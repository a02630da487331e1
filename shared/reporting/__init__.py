"""What people read: status, run report, restore report."""
