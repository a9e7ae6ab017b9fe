"""The report as a page: one HTML file that a browser opens without a network."""
