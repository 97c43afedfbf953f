"""Gamma functions of half-integers, where differences of logarithms lose digits."""

import math


def log_gamma_ratio(d: int) -> float:
    """Logarithm of `sqrt(d / 2) Gamma(d / 2) / Gamma((d + 1) / 2)`.

    It is about `1 / (4 d)`, with all of its digits however large `d` is.

    Args:
        d: Integer from 1 on.

    Returns:
        Float greater than 0.

    Example:
        >>> import math
        >>> from kerasbnn.geometry.theory._gamma import log_gamma_ratio
        >>> round(math.exp(log_gamma_ratio(1)) ** 2, 6)  # pi / 2
        1.570796

    Reference:
        Abramowitz & Stegun, Handbook of Mathematical Functions, 6.1.40 (Stirling's
        series) for the difference of the two logarithms.
    """
    if d < 128:
        ratio = math.sqrt(d / 2) * math.gamma(d / 2) / math.gamma((d + 1) / 2)
        return math.log(ratio)
    # Stirling's series: exact to double precision here, where Gamma would overflow
    # and differences of its logarithm would lose digits.
    return 1 / (4 * d) - 1 / (24 * d**3) + 1 / (20 * d**5) - 17 / (112 * d**7)


def trigamma(x: float) -> float:
    """Second derivative of the logarithm of the gamma function.

    `psi'(x) = sum over k >= 0 of 1 / (x + k)^2`.

    Args:
        x: Number greater than 0.

    Returns:
        Float greater than 0, about `1 / x + 1 / (2 x^2)`.

    Example:
        >>> from kerasbnn.geometry.theory._gamma import trigamma
        >>> round(trigamma(1.0), 6)  # pi^2 / 6
        1.644934

    Reference:
        Abramowitz & Stegun, Handbook of Mathematical Functions, 6.4.10 and 6.4.12.
    """
    total = 0.0
    while x < 16:
        total += 1 / x**2
        x += 1
    # The asymptotic series, whose next term is below 1e-16 from 16 on.
    y = 1 / x**2
    series = 1 / 6 - y * (1 / 30 - y * (1 / 42 - y * (1 / 30 - y * (5 / 66))))
    return total + 1 / x + y / 2 + y / x * series
