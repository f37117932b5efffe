"""Stand-in for neuronx_distributed_inference.modules.generation.sampling."""


def prepare_sampling_params(batch_size, top_k=(1,), top_p=(1.0,), temperature=(1.0,)):
    """One row a sequence."""
    assert len(top_k) == len(top_p) == len(temperature) == 1
    return [(top_k[0], top_p[0], temperature[0])] * batch_size
