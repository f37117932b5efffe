"""Stand-in for torch_neuronx.testing.validation.logit_validation, same arguments and result."""

import torch


def logit_validation(input_ids, generate_fn, expected_logits, tol_map, divergence_difference_tol):
    """(passed, results, status): largest relative difference of all logits against the widest tolerance."""
    assert set(tol_map) == {None, 1000, 50, 5}
    assert 0 < divergence_difference_tol < 1
    actual = generate_fn(input_ids)
    assert actual.shape == expected_logits.shape
    absolute, relative = tol_map[None]
    passed = torch.allclose(actual, expected_logits, atol=absolute, rtol=relative)
    if passed:
        return True, [], "Passed."
    error = float(((actual - expected_logits) / expected_logits).abs().max())
    return False, [], f"Test failed at batch 0 token 0. Top k = None error {error:.4f} > {relative}."
