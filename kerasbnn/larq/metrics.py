"""How many quantized weights change, counted as Larq counts."""

from kerasbnn import metrics
from kerasbnn.larq.registration import register

__all__ = ["FlipRatio"]


@register
class FlipRatio(metrics.FlipRatio):
    """Mean fraction of values that changed from one update to the next.

    As `kerasbnn.metrics.FlipRatio`, but the first update after each reset does not
    count: an epoch of `n` steps averages `n - 1` ratios.

    Args:
        values_dtype: Dtype to compare values in.
        name: Name of the metric.
        dtype: Dtype of the result.

    Example:
        >>> import numpy as np
        >>> import kerasbnn.larq as lq
        >>> metric = lq.metrics.FlipRatio()
        >>> for signs in ([1, 1, 1, 1], [1, 1, -1, -1], [1, 1, -1, -1]):
        ...     metric.update_state(np.array(signs))
        >>> float(metric.result())
        0.25

    Reference:
        Helwegen et al., Latent Weights Do Not Exist, arXiv 1906.02107 (flips per
        update).
    """

    def reset_state(self):
        """Forget the ratios seen so far, and that there are values to compare with."""
        super().reset_state()
        if self.state is not None:
            self.state.has_previous.assign(False)
