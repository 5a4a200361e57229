"""The most that an option or a key may ask for: a typo must not eat the memory or the week."""

MOST_COUNTED = 2**31 - 1
MOST_SEED = 2**32 - 1
MOST_STEPS = 10_000  # of a sampler; diffusion models need 1000 at most
MOST_ROWS = 65_536  # of a batch
MOST_SAMPLES = 1_000_000  # images drawn; published FIDs need 50,000
MOST_PROCESSES = 1024
LONGEST_TEXT = 4096  # characters: no path is longer
