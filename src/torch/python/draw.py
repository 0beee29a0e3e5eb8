"""Biform's numbers by chance (splitmix32 for the state, xoshiro128** for the stream): the same seed draws the same everywhere."""

WORD = 0xFFFFFFFF


class Random:
    def __init__(self, seed):
        z, self.state = seed & WORD, []
        for _ in range(4):
            z = (z + 0x9E3779B9) & WORD
            x = ((z ^ (z >> 16)) * 0x21F0AAAD) & WORD
            x = ((x ^ (x >> 15)) * 0x735A2D97) & WORD
            self.state.append(x ^ (x >> 15))

    def bits(self):
        a, b, c, d = self.state
        x = (b * 5) & WORD
        result = (((x << 7) | (x >> 25)) * 9) & WORD
        c ^= a
        d ^= b
        b_next, a_next = b ^ c, a ^ d
        c ^= (b << 9) & WORD
        self.state = [a_next, b_next, c, ((d << 11) | (d >> 21)) & WORD]
        return result

    def integer(self, n):
        """A whole number in 0 to n - 1."""
        return int(self.bits() / 2**32 * n)


def step_random(seed, step):
    """What the rows of a training step are drawn with."""
    z = seed & WORD
    z = ((z ^ (z >> 16)) * 0x21F0AAAD) & WORD
    z = ((z ^ (z >> 15)) * 0x735A2D97) & WORD
    return Random(((z ^ (z >> 15)) + 2 * step) & WORD)
