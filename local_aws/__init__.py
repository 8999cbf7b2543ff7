"""One folder of this laptop as AWS; imports nothing of Daylight."""
