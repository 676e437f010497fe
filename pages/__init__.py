"""HTML pages that need no other file: one template, one style, plots and sortable tables."""
