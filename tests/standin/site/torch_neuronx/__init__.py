"""Stand-in for torch_neuronx: notes the environment it was imported in, as the runtime does."""

import os

SEEN_AT_IMPORT = dict(os.environ)
