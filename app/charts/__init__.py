"""A chart a file: what was asked of the database or of `analysis` in, a Plotly figure out. Nothing is drawn here."""
