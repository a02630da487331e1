"""The stores. Each has the same face: inspect, back_up, verify, restore."""
