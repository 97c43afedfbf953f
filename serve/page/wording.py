"""How the pages write numbers and code."""

from markupsafe import Markup

from kerasbnn.geometry.views.wording import code_segments

_MINUS = "\N{MINUS SIGN}"


def with_minus(text: str) -> str:
    r"""Give a written number the sign of subtraction, as wide as the plus.

    Args:
        text: The number, or "-" where there is none, which stays.

    Example:
        >>> from kerasbnn.serve.page.wording import with_minus
        >>> with_minus("-1.5") == "\N{MINUS SIGN}1.5", with_minus("2"), with_minus("-")
        (True, '2', '-')
    """
    return _MINUS + text[1:] if text[:1] == "-" and text != "-" else text


def with_code(text: str) -> Markup:
    """Turn what stands between backticks into code; the rest is escaped.

    Args:
        text: A sentence.

    Example:
        >>> from kerasbnn.serve.page.wording import with_code
        >>> print(with_code("Call `audit` < twice."))
        Call <code>audit</code> &lt; twice.
    """
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if is_code else piece
        for piece, is_code in code_segments(text)
    )
