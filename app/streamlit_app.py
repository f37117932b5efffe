"""Navigation between the pages, one question each."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

# A file of ours: Streamlit fetches the icons it has names for from the web.
st.set_page_config(page_icon=str(Path(__file__).with_name("icon.svg")), layout="wide")

PAGES = (
    ("runs", "Runs", ":material/stairs_2:", "What have I tried, and what won?"),
    ("compare", "Compare", ":material/compare_arrows:", "Did it help, where, and am I sure?"),
    ("rewrite", "Rewrite next", ":material/format_list_numbered:", "Which kernel do I rewrite next?"),
    ("kernel", "Kernel", ":material/memory:", "Why is this kernel slow?"),
    ("tune", "Tune", ":material/tune:", "Which settings make this kernel fastest?"),
    ("fidelity", "Fidelity", ":material/straighten:", "How true are the simulated times?"),
)

st.navigation(
    [
        st.Page(f"app_pages/{name}.py", title=title, icon=icon, help=question, default=name == "runs")
        for name, title, icon, question in PAGES
    ],
    position="top",
).run()
