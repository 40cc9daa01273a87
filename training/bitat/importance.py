"""Loss (1): what an error of the weights does to a layer's output; its inputs' H = E[x x^T]."""

from torch import Tensor


def output_error(second_moment: Tensor, difference: Tensor) -> Tensor:
    """Loss (1) [D]: E||x^T Delta||^2 = tr(Delta^T H Delta) = ||diag(s)^(1/2) V^T Delta||^2.

    ``second_moment`` [groups, d, d]; ``difference`` Delta = W - Q(W), [groups, d, outputs].
    V and s are H's eigenvectors and eigenvalues; the trace needs neither. Gives a scalar, summed
    over groups and outputs.
    """
    return (difference * (second_moment @ difference)).sum()
