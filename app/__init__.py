"""The dashboard: draws what `analysis` says of the runs. Start it with `streamlit run app`."""
