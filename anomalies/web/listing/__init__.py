"""The list of anomalies: its filters, columns, exports and saved views."""
