"""How far colours stand out from a page, by WCAG 2."""


def linear(color):
    """Linear red, green and blue of #rrggbb."""
    parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]


def luminance(color):
    red, green, blue = linear(color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(color, page):
    """1 for the same colour, 21 for black on white."""
    low, high = sorted((luminance(color), luminance(page)))
    return (high + 0.05) / (low + 0.05)
