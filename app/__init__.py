"""The dashboard: draws what `analysis` says of the runs in the database. Start it with `streamlit run app`."""
