"""A chart a file: rows of the database or a result of `analysis` in, a Plotly figure out."""
