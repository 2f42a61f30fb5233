"""What the panel and the page of an anomaly tell."""
