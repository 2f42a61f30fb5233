"""Access requests, the flows that govern them and the grants they gave."""
