"""One module per way in: each yields envelopes, still encrypted, and knows nothing of the lake."""
