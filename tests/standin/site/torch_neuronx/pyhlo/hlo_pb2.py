"""Stand-in for torch_neuronx.pyhlo.hlo_pb2: HLO modules as JSON, with the real message's field names."""

import json
from types import SimpleNamespace


class HloModuleProto:
    """An HLO module."""

    def ParseFromString(self, data):  # noqa: N802 (protobuf's name)
        """Fill `computations` from bytes."""
        parsed = json.loads(data, object_hook=lambda fields: SimpleNamespace(**fields))
        self.computations = parsed.computations
